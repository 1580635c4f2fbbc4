package uitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/ui"
)

// text is the text of an element.
func (b *browser) text(selector string) string {
	b.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// press clicks on an element, and waits until the page that follows has the text.
func (b *browser) press(selector, then string) {
	b.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
	b.shows(then)
}

func (b *browser) typeInto(selector, text string) {
	b.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

func (b *browser) scripts(on bool) {
	b.Helper()
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	}))
}

// Every action works at every width, with and without JavaScript, and no page on the way has a
// fault that axe-core finds.
func TestActions(t *testing.T) {
	t.Parallel()
	source, err := axe()
	if err != nil {
		t.Fatal(err)
	}
	for width, scheme := range map[int64]string{360: "dark", 1024: "light", 1920: "dark"} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			t.Parallel()
			b := open(t, &ui.Options{Crontab: func() (string, error) {
				return "0 4 * * * nightly_report ?id=nightly&max=3 {to:\"ada\"}\n", nil
			}}, nil)
			b.seed()
			for _, scripts := range []bool{true, false} {
				b.scripts(scripts)
				b.look(width, scheme)
				name := fmt.Sprintf("%d-%t", width, scripts)
				b.actions(name, func(page string) {
					if scripts {
						b.do(chromedp.Evaluate[chromedp.Void](source))
						b.check(page + " at " + name)
						b.picture(page, width, scheme)
					}
				})
			}
			b.quiet()
		})
	}
}

// actions does every action once, with jobs of its own.
func (b *browser) actions(name string, check func(page string)) {
	b.Helper()
	task, queue, worker := "task-"+name, "queue-"+name, "worker-"+name
	specs := make([]admin.JobSpec, 8)
	for i := range specs {
		specs[i] = admin.JobSpec{TaskIdentifier: task, Payload: map[string]int{"n": i}, QueueName: &queue}
	}
	jobs, err := b.client.AddJobs(b.ctx, specs, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.exec(`update graphile_worker._private_jobs set locked_by = $1, locked_at = now() - interval '6 hours' where id = $2`, worker, jobs[7].ID)
	at := func(i int) string { return fmt.Sprint("jobs/", jobs[i].ID) }
	get := func(i int) *admin.ListedJob {
		b.Helper()
		job, err := b.client.GetJob(b.ctx, jobs[i].ID)
		if err != nil {
			b.Fatal(err)
		}
		return job
	}
	holds := func(what string, is bool) {
		b.Helper()
		if !is {
			b.Errorf("%s: %s has not done what it says", name, what)
		}
	}

	b.to(at(0))
	b.press(`button[value="hold"]`, "1 job would be put on hold")
	check("preview")
	b.press("form.confirm button", "1 job put on hold")
	check("operation")
	holds("hold", get(0).Hold != nil)
	b.to(at(0))
	b.press(`button[value="release"]`, "1 job would be released")
	b.press("form.confirm button", "1 job released")
	holds("release", get(0).Hold == nil)

	b.to(at(1))
	b.press(`button[value="reschedule"]`, "Change when the jobs run")
	b.typeInto(`form.fields input[name=priority]`, "7")
	b.press("form.fields button", "1 job would be rescheduled")
	check("preview-reschedule")
	b.press("form.confirm button", "1 job rescheduled")
	holds("reschedule", get(1).Priority == 7)

	b.to(at(2))
	b.press(`button[value="fail"]`, "1 job would be failed permanently")
	check("preview-fail")
	b.typeInto(`form.confirm input[name=reason]`, "by hand")
	b.typeInto(`form.confirm input[name=confirm]`, "1")
	b.press("form.confirm button", "1 job failed permanently")
	holds("fail", get(2).Permafailed() && *get(2).LastError == "by hand")
	b.to(at(2))
	b.press(`button[value="retry"]`, "1 job would be given all attempts again")
	b.press("form.confirm button", "1 job given all attempts again")
	holds("retry", !get(2).Permafailed())

	b.to("jobs?q=task%3A" + task)
	b.do(chromedp.Click(chromedp.CSS(fmt.Sprintf("#job-%d input", jobs[3].ID))), chromedp.Click(chromedp.CSS(fmt.Sprintf("#job-%d input", jobs[7].ID))))
	b.press(`button[value="complete"]`, "2 jobs would be completed")
	b.typeInto(`form.confirm input[name=confirm]`, "2")
	b.press("form.confirm button", "2 jobs completed")
	left, err := b.client.ListJobs(b.ctx, admin.Filter{IDs: []int64{jobs[3].ID, jobs[7].ID}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	holds("complete", len(left.Jobs) == 0)

	b.to("queues?name=" + queue)
	b.do(chromedp.Click(chromedp.CSS("details.pause summary")))
	b.typeInto("details.pause[open] input[name=reason]", "moves "+name)
	b.press("details.pause[open] button", "moves "+name)
	check("queues-paused")
	b.to("jobs?q=state%3Apaused+queue%3A" + queue)
	b.press(fmt.Sprintf("#job-%d .why", jobs[4].ID), "moves "+name)
	b.to("queues?name=" + queue)
	b.press("td.actions form button", "Pause")
	queues, err := b.client.ListQueues(b.ctx, &admin.ListQueuesOptions{Prefix: queue})
	if err != nil || len(queues) != 1 {
		b.Fatalf("%v %v", queues, err)
	}
	holds("resume", queues[0].Paused == nil)

	b.exec(`update graphile_worker._private_jobs set locked_by = $1, locked_at = now() - interval '3 hours' where id = $2`, worker, jobs[6].ID)
	b.to("workers")
	b.press("#worker-"+worker+" button", "This clears all locks of "+worker)
	check("unlock")
	b.typeInto(`form.confirm input[name=confirm]`, "1")
	b.press("form.confirm button", "1 job and 0 queues of "+worker+" unlocked")
	holds("unlock", get(6).LockedBy == nil)

	b.to("crontabs")
	check("crontabs-next")
	b.press("#cron-nightly button", "A job would be added")
	check("cron-run")
	b.press("form.confirm button", "nightly_report")
	b.shows("Why it is not running")

	b.to(at(4))
	b.press("form.bar a", "Payload") // duplicate
	b.do(chromedp.SetValue(chromedp.CSS("input[name=key]"), "copy-"+name))
	b.press("form.add button", "copy-"+name)
	copied, err := b.client.GetJobByKey(b.ctx, "copy-"+name)
	if err != nil {
		b.Fatal(err)
	}
	holds("duplicate", copied.TaskIdentifier == task && compact(copied.Payload) == compact(get(4).Payload) && *copied.QueueName == queue)
	b.to("operations")
	b.shows("Complete")
	check("operations-list")
}

func compact(payload []byte) string {
	var text bytes.Buffer
	_ = json.Compact(&text, payload)
	return text.String()
}

// The rows of a search that takes long can be waited for and cancelled, with and without
// JavaScript.
func TestSlowSearchIsCancelled(t *testing.T) {
	t.Parallel()
	b := open(t, nil, nil)
	b.seed()
	b.to("jobs")
	for _, scripts := range []bool{true, false} {
		b.scripts(scripts)
		tx, err := b.pool.Begin(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(b.ctx, `lock table graphile_worker._private_jobs`); err != nil {
			t.Fatal(err)
		}
		b.to(fmt.Sprintf("jobs?q=priority%%3A1&scripts=%t", scripts))
		b.shows("Searching for")
		for first := b.text(".slow p"); b.text(".slow p") == first; { // it looks again
			time.Sleep(50 * time.Millisecond)
		}
		b.press(".slow button", "the search was cancelled")
		if err := tx.Rollback(b.ctx); err != nil {
			t.Fatal(err)
		}
	}
}
