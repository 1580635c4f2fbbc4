package uitest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// counts are the numbers of jobs by state.
func (b *browser) counts() admin.Counts {
	b.Helper()
	stats, err := b.client.Stats(b.ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	return stats.Jobs
}

// click clicks on an element and waits for the page that follows.
func (b *browser) click(selector string) {
	b.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](`window.before = true`), chromedp.Click(chromedp.CSS(selector)))
	b.wait(`window.before === undefined && document.readyState === "complete"`)
}

// Without JavaScript a bulk change works by its forms.
func TestWithoutJavaScript(t *testing.T) {
	t.Parallel()
	b := open(t, nil, nil)
	b.seed()
	failed := b.counts()[admin.Permafailed]
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	b.to("jobs?q=state%3Apermafailed")
	for _, step := range []struct{ click, then string }{
		{"#select-matching", ""},
		{`button[value="retry"]`, fmt.Sprintf("%d jobs would be given all attempts again", failed)},
		{"form.confirm button", fmt.Sprintf("%d jobs given all attempts again", failed)},
	} {
		b.do(chromedp.Click(chromedp.CSS(step.click)))
		b.shows(step.then)
	}
	if counts := b.counts(); counts[admin.Permafailed] != 0 {
		t.Errorf("%d jobs are still failed", counts[admin.Permafailed])
	}
	// What only a script can do is not there.
	for _, path := range []string{"jobs", "jobs/1"} {
		const seen = `[...document.querySelectorAll("#select-page, #raw [data-copy]")].filter((e) => getComputedStyle(e.closest("label, button")).display !== "none").length`
		b.to(path)
		if n := eval[int](b, seen); n != 0 {
			t.Errorf("%s has %d fields that do nothing", path, n)
		}
		b.scripts(true)
		b.to(path)
		if n := eval[int](b, seen); n != 1 {
			t.Errorf("%s with scripts has %d of these fields", path, n)
		}
		b.scripts(false)
	}
}

// A page of a form's answer is not fetched again when the browser goes back to it: its address
// is no page.
func TestRestoredPages(t *testing.T) {
	t.Parallel()
	b := open(t, nil, nil)
	b.seed()
	b.to("jobs/1")
	b.press(`button[value="hold"]`, "1 job would be put on hold")
	b.wait(`document.querySelector("#help-button").hidden === false`)
	const fetches = `(() => {
		let n = 0;
		const real = window.fetch;
		window.fetch = (...request) => { n++; return real(...request); };
		dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
		window.fetch = real;
		return n;
	})()`
	if n := eval[int](b, fetches); n != 0 {
		t.Error("the preview is fetched")
	}
	b.to("queues")
	b.wait(`document.querySelector("#live").textContent === "live"`)
	b.wait(fetches + ` === 1`)
}

// What has changed while the stream of changes was cut off is seen when it is there again.
func TestStreamComesBack(t *testing.T) {
	t.Parallel()
	b := open(t, nil, nil)
	b.to("jobs")
	b.wait(`document.querySelector("#live").textContent === "live"`)
	const fetches = `performance.getEntriesByType("resource").filter((e) => e.initiatorType === "fetch").length`
	before := eval[int](b, fetches)
	b.server.CloseClientConnections()
	b.wait(fmt.Sprintf("%s > %d", fetches, before))
}

// shows waits until the page has the text. It does not need JavaScript in the page.
func (b *browser) shows(text string) {
	b.Helper()
	for {
		got, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("main")))
		if err == nil && strings.Contains(got, text) {
			return
		}
		if b.ctx.Err() != nil {
			b.Fatalf("the page does not show %q but:\n%s", text, got)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// With keys alone somebody finds the failed jobs and retries one of them.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	b := open(t, nil, nil)
	b.seed()
	b.to("")
	b.do(chromedp.KeyEvent("?"))
	b.wait(`document.querySelector("#help").open`)
	b.do(chromedp.KeyEvent("\u001b"))
	b.wait(`!document.querySelector("#help").open`)
	b.do(chromedp.KeyEvent("/"))
	b.wait(`document.activeElement.id === "q"`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.value = ""`)) // the tool types the slash all the same
	b.do(chromedp.KeyEvent("state:permafailed"), chromedp.KeyEvent("\r"))
	b.wait(`location.search.includes("permafailed") && document.querySelectorAll("[data-row]").length > 2 && document.querySelector("#help-button").hidden === false`)
	b.do(chromedp.KeyEvent("j"), chromedp.KeyEvent("j"), chromedp.KeyEvent("x"))
	b.wait(`document.querySelector("#selected").textContent === "1 selected"`)
	id := eval[string](b, `document.querySelector("#selection input[name=id]:checked").value`)
	b.do(chromedp.Focus(chromedp.CSS(`button[value="retry"]`)), chromedp.KeyEvent("\r"))
	b.wait(`document.querySelector("form.confirm") !== null`)
	b.do(chromedp.Focus(chromedp.CSS("form.confirm button")), chromedp.KeyEvent("\r"))
	b.shows("1 job given all attempts again")
	var number int64
	if _, err := fmt.Sscan(id, &number); err != nil {
		t.Fatal(err)
	}
	job, err := b.client.GetJob(b.ctx, number)
	if err != nil || job.Permafailed() {
		t.Errorf("job %d: %+v %v", number, job, err)
	}
	b.to("operations")
	b.wait(`document.querySelector("#help-button").hidden === false`)
	b.do(chromedp.KeyEvent("j"))
	b.wait(`document.querySelector("#operation-1.here") !== null`)
	b.quiet()
}

// The page follows the queue without being loaded again, but leaves rows alone while some are
// selected.
func TestLive(t *testing.T) {
	t.Parallel()
	b := open(t, nil, nil)
	if _, err := b.client.AddJob(b.ctx, "first", nil, nil); err != nil {
		t.Fatal(err)
	}
	b.to("jobs")
	b.wait(`document.querySelector("#live").textContent === "live" && document.querySelectorAll("[data-row]").length === 1`)
	b.do(chromedp.Evaluate[chromedp.Void](`window.same = true`))
	if _, err := b.client.AddJob(b.ctx, "second", nil, nil); err != nil {
		t.Fatal(err)
	}
	b.wait(`document.querySelectorAll("[data-row]").length === 2`)
	b.do(chromedp.Click(chromedp.CSS(`#job-1 input`)))
	b.wait(`document.querySelector("#selected").textContent === "1 selected"`)
	if _, err := b.client.AddJob(b.ctx, "third", nil, nil); err != nil {
		t.Fatal(err)
	}
	b.wait(`document.querySelector("#live").textContent.startsWith("changed")`)
	if rows := eval[int](b, `document.querySelectorAll("[data-row]").length`); rows != 2 {
		t.Errorf("%d rows while one is selected, want 2", rows)
	}
	b.do(chromedp.Click(chromedp.CSS(`#job-1 input`)))
	b.wait(`document.querySelectorAll("[data-row]").length === 3`)
	if !eval[bool](b, `window.same === true`) {
		t.Error("the page was loaded again")
	}
	b.quiet()
}

// A list that is read again keeps its rows until all are there.
func TestLiveListIsSlow(t *testing.T) {
	t.Parallel()
	b := open(t, nil, nil)
	if _, err := b.client.AddJob(b.ctx, "first", nil, nil); err != nil {
		t.Fatal(err)
	}
	b.to("jobs")
	b.wait(`document.querySelector("#live").textContent === "live" && document.querySelectorAll("[data-row]").length === 1`)
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(b.ctx))
	for _, sql := range []string{`select graphile_worker.add_job('second')`, `lock table graphile_worker._private_jobs`} {
		if _, err := tx.Exec(b.ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	b.do(chromedp.Evaluate[chromedp.Void](`window.shrunk = 0; window.asked = 0; window.real = window.fetch;
		window.fetch = (...all) => { window.asked++; return window.real(...all); };
		new MutationObserver(() => { if (document.querySelectorAll("[data-row]").length < 1) window.shrunk++; }).observe(document.body, { childList: true, subtree: true })`))
	b.wait(`document.dispatchEvent(new Event("visibilitychange")), document.querySelector("#live").textContent === "changed, searching again"`)
	b.do(chromedp.Evaluate[chromedp.Void](`window.asked = 0`))
	b.wait(`window.asked >= 3`) // it looks again
	if rows := eval[int](b, `document.querySelectorAll("[data-row]").length`); rows != 1 {
		t.Errorf("%d rows while it searches", rows)
	}
	if err := tx.Commit(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.wait(`document.querySelectorAll("[data-row]").length === 2 && document.querySelector("#live").textContent === "live"`)
	if shrunk := eval[int](b, `window.shrunk`); shrunk != 0 {
		t.Error("the rows vanished for a while")
	}
	b.quiet()
}

// away takes the database away, until it is called back.
func (b *browser) away() (back func()) {
	b.Helper()
	database := b.pool.Config().ConnConfig.Database
	control := pgtest.Pool(b, testdb.Ours(""))
	run := func(sql string) {
		b.Helper()
		if _, err := control.Exec(b.ctx, sql); err != nil {
			b.Fatal(err)
		}
	}
	run(fmt.Sprintf(`alter database %q allow_connections false`, database))
	run(fmt.Sprintf(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '%s'`, database))
	return func() { run(fmt.Sprintf(`alter database %q allow_connections true`, database)) }
}

// A page that is opened while the database is away comes by itself, and follows the queue.
func TestPageOpenedWithoutDatabase(t *testing.T) {
	t.Parallel()
	b := open(t, nil, pgtest.Pool(t, testdb.Ours("")))
	back := b.away()
	b.pool.Reset()
	b.to("jobs?q=task%3Aa")
	b.shows("The page tries again by itself.")
	b.do(chromedp.Evaluate[chromedp.Void](`window.same = true; window.said = [];
		new MutationObserver(() => window.said.push(document.querySelector("#live").textContent)).observe(document.body, { childList: true, subtree: true, characterData: true })`))
	b.wait(`performance.getEntriesByType("resource").filter((entry) => entry.name.includes("jobs?")).length >= 1`)
	if said := eval[string](b, `window.said.join()`); strings.Contains(said, "live") {
		t.Errorf("a page without its rows says %q", said)
	}
	back()
	b.shows("No job matches")
	b.wait(`document.querySelector("#live").textContent === "live"`)
	if _, err := b.client.AddJob(b.ctx, "a", nil, nil); err != nil {
		t.Fatal(err)
	}
	b.wait(`document.querySelectorAll("[data-row]").length === 1 && window.same === true`)
}

// The page says that the database has gone, and goes on when it is back.
func TestDatabaseGoesAndComesBack(t *testing.T) {
	t.Parallel()
	b := open(t, nil, pgtest.Pool(t, testdb.Ours("")))
	b.to("jobs")
	b.wait(`document.querySelector("#live").textContent === "live"`)
	back := b.away()
	b.wait(`/does not answer|cannot be reached|no connection/.test(document.querySelector("#live").textContent + document.querySelector("main").textContent)`)
	back()
	b.pool.Reset()
	if _, err := b.client.AddJob(b.ctx, "after", nil, nil); err != nil {
		t.Fatal(err)
	}
	b.wait(`document.querySelectorAll("[data-row]").length === 1`)
}

// What others write never runs.
func TestHostileContentDoesNotRun(t *testing.T) {
	t.Parallel()
	b := open(t, nil, nil)
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)><a href="javascript:alert(3)">`
	if _, err := b.client.AddJob(b.ctx, evil, map[string]string{evil: evil}, &admin.AddJobOptions{QueueName: new(evil), JobKey: new(evil), Flags: []string{evil}}); err != nil {
		t.Fatal(err)
	}
	b.exec(`update graphile_worker._private_jobs set last_error = $1, attempts = max_attempts`, evil)
	for _, path := range []string{"", "jobs?column=task&column=queue&column=key&column=error&column=payload&column=flags", "jobs/1", "queues", "tasks", "add?payload_of=1"} {
		b.to(path)
		if n := eval[int](b, `document.querySelectorAll("main img, main script, [href^='javascript']").length`); n != 0 {
			t.Errorf("%s: %d elements of others", path, n)
		}
	}
	b.to("jobs")
	b.do(chromedp.SendKeys(chromedp.CSS("#q"), "task:"))
	b.wait(`document.querySelectorAll("#proposals li").length === 1`)
	b.quiet()
}

// JSON is checked as it is typed.
func TestJSONIsChecked(t *testing.T) {
	t.Parallel()
	b := open(t, nil, nil)
	b.to("add")
	clear := chromedp.Evaluate[chromedp.Void](`document.querySelector("textarea").value = ""`)
	b.do(clear, chromedp.SendKeys(chromedp.CSS("textarea"), `{"a": }`))
	b.wait(`document.querySelector("#json").textContent.startsWith("Not JSON") && document.querySelector("textarea").ariaInvalid === "true"`)
	b.do(clear, chromedp.SendKeys(chromedp.CSS("textarea"), `{"a": 1}`))
	b.wait(`document.querySelector("#json").textContent === "JSON"`)
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=task]"), "a_task"))
	b.click("form.add button")
	b.shows("a_task")
	b.quiet()
}
