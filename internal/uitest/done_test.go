package uitest

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/ui"

	"github.com/gwadmin/gwadmin/internal/pgtest"
)

// manyJobs is the number of jobs of the long form: GWADMIN_UITEST_JOBS=1000000.
func manyJobs(short int) int {
	n, _ := strconv.Atoi(os.Getenv("GWADMIN_UITEST_JOBS"))
	return cmp.Or(n, short)
}

// fill adds jobs of four tasks, of which a thousand have failed because of a declined card,
// four thousand for other reasons, or as many as fit.
func (b *browser) fill(jobs int) {
	b.Helper()
	b.exec(`insert into graphile_worker._private_tasks (identifier) select unnest(array['send_email', 'resize_image', 'charge_card', 'sync_account'])`)
	b.exec(`
		insert into graphile_worker._private_jobs (task_id, payload, run_at, attempts, max_attempts, last_error)
		select 1 + i % 4, json_build_object('order', i), now() + (i % 1000 - 100) * interval '1 minute',
			case when i % ($1 / 5000) = 0 then 25 else 0 end, 25,
			case when i % ($1 / 1000) = 0 then 'card declined for order ' || i
				when i % ($1 / 5000) = 0 then (array['connect ETIMEDOUT after 3000 ms', 'image ' || i || ' is not a picture'])[1 + i % 2] end
		from generate_series(1, $1::int) as i`, jobs)
	b.exec(`vacuum analyze graphile_worker._private_jobs`)
}

// From the link that gwadmin ui prints, somebody who has never seen the page retries the right
// thousand of many jobs, by clicks only, within a minute.
func TestRetryTheRightThousand(t *testing.T) {
	jobs := manyJobs(20_000)
	const token = "a-token"
	b := open(t, &ui.Options{Authenticate: ui.Token(token)}, nil)
	b.fill(jobs)
	before := b.counts()
	if before[admin.Permafailed] != 5000 {
		t.Fatalf("%d jobs have failed", before[admin.Permafailed])
	}
	start := time.Now()
	b.to("?token=" + token)
	const kind = `[...document.querySelectorAll("#errors ~ .scroll tr, section[aria-labelledby=errors] tr")].find(row => row.textContent.includes("card declined"))`
	b.wait(kind + ` !== undefined`)
	b.do(chromedp.Evaluate[chromedp.Void](kind + `.querySelector("button").click()`))
	b.shows("1\u202f000 jobs would be given all attempts again")
	b.press("form.confirm button", "1\u202f000 jobs given all attempts again")
	took := time.Since(start)
	t.Logf("of %d jobs, 1000 were retried %s after the link was opened, by two clicks", jobs, took.Round(100*time.Millisecond))
	if took > time.Minute {
		t.Errorf("it took %s", took)
	}
	var right, wrong int
	if err := b.pool.QueryRow(b.ctx, `
		select count(*) filter (where last_error like 'card declined%' and attempts = 0), count(*) filter (where last_error not like 'card declined%' and attempts < 25)
		from graphile_worker._private_jobs where last_error is not null`).Scan(&right, &wrong); err != nil {
		t.Fatal(err)
	}
	if right != 1000 || wrong != 0 {
		t.Errorf("%d of the right jobs and %d others were retried", right, wrong)
	}
	if after := b.counts(); after[admin.Permafailed] != 4000 || after.Total() != before.Total() {
		t.Errorf("%v became %v", before, after)
	}
	b.quiet()
}

// Beside a real worker at work every page shows, and what is done by the page is done to the
// jobs that the worker does not hold.
func TestBesideWorker(t *testing.T) {
	upstream.Ensure(t)
	b := open(t, nil, pgtest.Pool(t, testdb.Ours("")))
	specs := make([]admin.JobSpec, 400)
	for i := range specs {
		specs[i] = admin.JobSpec{TaskIdentifier: "work", Payload: map[string]int{"sleepMs": 20}, QueueName: []*string{nil, new("serial")}[i%2]}
	}
	if _, err := b.client.AddJobs(b.ctx, specs, nil); err != nil {
		t.Fatal(err)
	}
	held, err := b.client.AddJob(b.ctx, "work", map[string]bool{"holdUntilReleased": true}, &admin.AddJobOptions{Priority: new(-1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.AddJob(b.ctx, "later", nil, &admin.AddJobOptions{RunAt: admin.In(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	worker, err := upstream.Start(t, upstream.Newest, b.pool.Config().ConnString(), "").StartWorker(b.ctx, upstream.WorkerOptions{Tasks: []string{"work"}, Concurrency: 4})
	if err != nil {
		t.Fatal(err)
	}
	for {
		job, err := worker.Started(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if job.ID == held.ID {
			break
		}
	}
	// Completing all jobs leaves the one alone that the worker holds.
	b.to("jobs?q=task%3Awork")
	b.wait(`document.querySelector("#live").textContent === "live"`)
	b.to(fmt.Sprint("jobs/", held.ID))
	b.shows("What it is doing")
	b.press(`button[value="complete"]`, "1 job would be left alone")
	for _, p := range []string{"", "jobs", "queues", "tasks", "workers", "crontabs", "operations"} {
		b.to(p)
		b.shows("as of")
	}
	b.to("queues?name=serial")
	b.do(chromedp.Click(chromedp.CSS("details.pause summary")))
	b.press("details.pause[open] button", "Resume")
	b.press("td.actions form button", "Pause")
	b.to("jobs?q=task%3Awork")
	b.do(chromedp.Evaluate[chromedp.Void](`window.same = true`))
	b.wait(`document.querySelectorAll("[data-row]").length === 1`) // by itself: all others are done
	if !eval[bool](b, `window.same === true`) {
		t.Error("the page was loaded again")
	}
	if err := worker.Release(b.ctx, held.ID); err != nil {
		t.Fatal(err)
	}
	b.shows("No job matches")
	ran := map[int64]int{}
	for range len(specs) + 1 {
		job, err := worker.Finished(b.ctx)
		if err != nil || job.Error != "" {
			t.Fatalf("%+v %v", job, err)
		}
		ran[job.ID]++
	}
	for id, times := range ran {
		if times != 1 {
			t.Errorf("job %d ran %d times", id, times)
		}
	}
	if left := b.counts(); left.Total() != 1 || left[admin.Scheduled] != 1 {
		t.Errorf("left: %v", left)
	}
	if err := worker.Stop(b.ctx); err != nil {
		t.Error(err)
	}
	b.quiet()
}

// Every page shows with as many jobs as GWADMIN_UITEST_JOBS says, at the three widths, and
// its numbers come.
func TestManyJobs(t *testing.T) {
	if os.Getenv("GWADMIN_UITEST_JOBS") == "" {
		t.Skip("GWADMIN_UITEST_JOBS is not set")
	}
	b := open(t, nil, nil)
	b.fill(manyJobs(0))
	for _, p := range []string{"", "jobs", "jobs?q=state%3Apermafailed", "jobs?q=error%3Adeclined", "jobs/5", "queues", "tasks", "workers", "crontabs", "operations", "add"} {
		for _, width := range []int64{360, 1024, 1920} {
			b.look(width, "light")
			start := time.Now()
			b.to(p)
			shown := time.Since(start)
			b.wait(`document.body.dataset.reload === undefined || !/being counted|being read|Searching for|Looking for/.test(document.querySelector("main").textContent)`)
			t.Logf("%-40s at %4d: shown after %s, whole after %s", p, width, shown.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
		}
	}
	b.quiet()
}
