package ui

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
)

var filterAll admin.Filter

// Markup in everything that others can write shows as text.
func TestHostileContent(t *testing.T) {
	t.Parallel()
	const evil = `<script>alert(1)</script><img src=x onerror=alert(2)>"'`
	s := newSite(t, Options{})
	s.addJobs(t, admin.JobSpec{
		TaskIdentifier: evil, QueueName: new(evil), JobKey: new(evil), Flags: []string{evil},
		Payload: map[string]any{evil: []any{evil, map[string]any{evil: evil}}},
	})
	s.exec(t, `update graphile_worker._private_jobs set last_error = $1, attempts = max_attempts, locked_by = $1, locked_at = now()`, evil)
	if _, err := s.client.PauseQueue(admin.WithActor(t.Context(), evil), "other", &admin.PauseOptions{Reason: evil}); err != nil {
		t.Fatal(err)
	}
	s.exec(t, `insert into graphile_worker._private_known_crontabs (identifier, known_since) values ($1, now())`, evil)
	all := "column=" + strings.Join([]string{"state", "task", "queue", "key", "error", "locked_by", "flags", "payload"}, "&column=")
	for _, path := range []string{
		"/", "/jobs?" + all, "/jobs/1", "/queues", "/tasks", "/workers", "/crontabs", "/add?task=" + url.QueryEscape(evil),
		"/jobs?q=" + url.QueryEscape("task:"+quoteValue(evil)), "/queues?name=" + url.QueryEscape(evil), "/tasks?name=" + url.QueryEscape(evil),
	} {
		got := s.send(t, "GET", path, nil)
		lacks(t, got.text, "<script>", "<img", "onerror=alert(2)>\"'\"")
	}
	got := s.send(t, "POST", "/workers/unlock", url.Values{"worker": {evil}})
	lacks(t, got.text, "<script>", "<img")
	got = s.send(t, "POST", "/jobs/preview", url.Values{"scope": {"matching"}, "verb": {"fail"}, "reason": {evil}, "q": {"task:" + quoteValue(evil)}})
	lacks(t, got.text, "<script>", "<img")
	contains(t, got.text, "locked")
}

// Numbers of payloads are shown as they are, however large.
func TestLargeNumbers(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a", Payload: json.RawMessage(`{"id": 12345678901234567890, "rate": 1.10, "deep": {"n": 9007199254740993}}`)})
	contains(t, s.page(t, "/jobs/1"), "12345678901234567890", "1.10", "9007199254740993")
}

// A very large payload is cut, and says so.
func TestHugePayload(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	rows := make([]string, 50_000)
	for i := range rows {
		rows[i] = "a row of a payload"
	}
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a", Payload: map[string]any{"rows": rows}})
	text := s.page(t, "/jobs/1")
	contains(t, text, "49\u202f800 more values")
	if len(text) > 1<<20 {
		t.Errorf("the page has %d bytes", len(text))
	}
	if list := s.page(t, "/jobs?column=payload"); len(list) > 64<<10 {
		t.Errorf("the list has %d bytes", len(list))
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	want := &node{Kind: "object", Open: true, Children: []node{
		{Name: "a", Kind: "array", Open: true, Children: []node{{Name: "0", Kind: "number", Text: "1.0"}, {Name: "1", Kind: "null", Text: "null"}}},
		{Name: "b", Kind: "boolean", Text: "true"},
		{Name: "b", Kind: "string", Text: "x"},
	}}
	if diff := cmp.Diff(want, tree([]byte(`{"a": [1.0, null], "b": true, "b": "x"}`))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, text := range []string{"", "{", "redacted", "{} {}", `{"a":}`} {
		if got := tree([]byte(text)); got != nil {
			t.Errorf("tree(%q): %v", text, got)
		}
	}
	if got := tree([]byte(strings.Repeat("[", 9000) + strings.Repeat("]", 9000))); got == nil {
		t.Error("deep arrays have no tree")
	}
}

// What is redacted leaves the server nowhere, and cannot be searched.
func TestRedact(t *testing.T) {
	t.Parallel()
	const secret = "4111-1111"
	s := newSite(t, Options{Redact: func(task string, field Field, text string) string {
		if field == Payload {
			return `{"redacted": true}`
		}
		return "redacted"
	}})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "charge", Payload: map[string]any{"card": secret}})
	s.exec(t, `update graphile_worker._private_jobs set last_error = 'card ' || $1, attempts = max_attempts`, secret)
	for _, path := range []string{"/", "/jobs?column=payload&column=error", "/jobs/1", "/add?payload_of=1", "/tasks"} {
		lacks(t, s.page(t, path), secret)
	}
	for _, q := range []string{"error:card", `payload:{"card":"4"}`, "path:$.card"} {
		if got := s.send(t, "GET", "/jobs?q="+url.QueryEscape(q), nil); got.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("search %s: %s", q, got.Status)
		}
	}
	got := s.send(t, "POST", "/jobs/preview", url.Values{"verb": {"retry"}, "id": {"1"}})
	lacks(t, got.text, secret)
	contains(t, got.text, "redacted")
	s.send(t, "POST", "/jobs/retry", url.Values{"id": {"1"}, "previewed": {"1"}})
	s.waitForOperation(t, 1)
	lacks(t, s.page(t, "/operations/1"), secret)
	lacks(t, s.page(t, "/operations/1/result.ndjson"), secret)
	lacks(t, s.log.String(), secret)
}

// Each page says what to do where there is nothing to show.
func TestEmpty(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	for path, want := range map[string]string{
		"/": "There are no jobs.", "/jobs": "There are no jobs.", "/jobs?q=task%3Anone": "No job matches.", "/queues": "There is no queue",
		"/tasks": "No job has been added yet", "/workers": "No worker holds a job now.", "/crontabs": "No worker has recorded a cron item.", "/operations": "Nothing has been changed in bulk",
	} {
		contains(t, s.page(t, path), want)
	}
	if got := s.send(t, "GET", "/jobs/7", nil); got.StatusCode != http.StatusNotFound || !strings.Contains(got.text, "There is no such job.") {
		t.Errorf("a job that is not there: %s", got.Status)
	}
}

func TestJobsPages(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	specs := make([]admin.JobSpec, 120)
	for i := range specs {
		specs[i] = admin.JobSpec{TaskIdentifier: "t"}
	}
	s.addJobs(t, specs...)
	seen := 0
	path := "/jobs?q=task%3At"
	for pages := 1; ; pages++ {
		text := s.page(t, path)
		seen += strings.Count(text, "data-row")
		before, _, found := strings.Cut(text, `rel="next"`)
		if !found {
			if pages != 3 {
				t.Errorf("%d pages, want 3", pages)
			}
			break
		}
		href := before[strings.LastIndex(before, `href="`)+6:]
		path = "/" + strings.ReplaceAll(strings.TrimSuffix(strings.TrimSpace(href), `"`), "&amp;", "&")
	}
	if seen != 120 {
		t.Errorf("the pages have %d jobs, want 120", seen)
	}
	for _, sort := range []string{"run_at", "-priority", "attempts", "-created_at", "id", "-id"} {
		s.page(t, "/jobs?sort="+sort)
	}
	if got := s.send(t, "GET", "/jobs?sort=payload", nil); got.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("sorted by payload: %s", got.Status)
	}
}

// What was typed is still there after an error.
func TestAddKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Declared: []string{"declared_task"}})
	got := s.send(t, "POST", "/add", url.Values{"task": {"mail"}, "payload": {"{\n \"a\": 1,\n}"}, "queue": {"slow"}, "run_at": {"+5m"}})
	if got.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("%s", got.Status)
	}
	contains(t, got.text, "the payload is not JSON: line 3, column 1", `value="mail"`, `value="slow"`, `value="&#43;5m"`, "declared_task")
	got = s.send(t, "POST", "/add", url.Values{"task": {"mail"}, "payload": {`{"a": 1}`}, "queue": {"slow"}, "run_at": {"+5m"}, "key": {"k"}, "mode": {"preserve_run_at"}, "priority": {"-3"}, "max_attempts": {"4"}, "flag": {"x y"}})
	if location := got.Header.Get("Location"); got.StatusCode != http.StatusSeeOther || location != "./jobs/1" {
		t.Fatalf("%s to %q\n%s", got.Status, location, got.text)
	}
	job, err := s.client.GetJob(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	type added struct {
		Task, Queue, Key, Payload string
		Priority, Max             int
		Flags                     []string
	}
	want := added{"mail", "slow", "k", `{"a": 1}`, -3, 4, []string{"x", "y"}}
	if diff := cmp.Diff(want, added{job.TaskIdentifier, *job.QueueName, *job.Key, string(job.Payload), job.Priority, job.MaxAttempts, job.Flags}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "send_email", QueueName: new("a b")}, admin.JobSpec{TaskIdentifier: "send_sms"})
	for term, want := range map[string]string{
		"ta": `["task:"]`, "state:p": `["state:paused","state:permafailed"]`, "task:send_": `["task:send_email","task:send_sms"]`, "queue:a": `["queue:\"a b\""]`, "task:zzz": `[]`, "nothing": `[]`,
	} {
		got := strings.TrimSpace(s.page(t, "/complete?term="+url.QueryEscape(term)))
		if got != want && !(want == "[]" && got == "null") {
			t.Errorf("%s: %s, want %s", term, got, want)
		}
	}
}

// Lists say where it stands why a job does not run, and the numbers of queues by state.
func TestLinks(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a", QueueName: new("q")}, admin.JobSpec{TaskIdentifier: "a", QueueName: new("q"), RunAt: admin.In(time.Hour)}, admin.JobSpec{TaskIdentifier: "b"})
	s.exec(t, `update graphile_worker._private_jobs set locked_at = now(), locked_by = 'w' where id = 3`)
	list := s.page(t, "/jobs")
	contains(t, list, `href="jobs/1#why"`, `href="jobs/2#why"`)
	lacks(t, list, `href="jobs/3#why"`)
	contains(t, s.page(t, "/jobs/1"), `id="why"`, `href="tasks?name=a"`, `href="queues?name=q"`)
	contains(t, s.page(t, "/jobs/3"), `href="workers"`)
	contains(t, s.page(t, "/queues"), "1 ready</a>", "1 scheduled</a>", `href="jobs?q=queue%3Aq&#43;state%3Ascheduled"`)
	contains(t, s.page(t, "/"), "has revision ")
}

// A page does not wait for a slow part of the first snapshot, and loads again for it.
func TestFirstSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.page(t, "/jobs")
	h := New(s.client, nil)
	t.Cleanup(h.observer.Close)
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := tx.Exec(t.Context(), `lock table graphile_worker._private_jobs`); err != nil {
		t.Fatal(err)
	}
	page := serve(h, "GET", "/", nil).Body.String()
	contains(t, page, "The jobs are being counted.", `data-reload="1"`)
	lacks(t, page, "Nothing needs a look", ">0</a>", ">none<")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for strings.Contains(page, "data-reload") {
		page = serve(h, "GET", "/", nil).Body.String()
	}
	contains(t, page, "Nothing needs a look", "Counted exactly")
}

// Every page can be copied as a command and as Go.
func TestSnippetsOfEveryPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a", QueueName: new("q")}, admin.JobSpec{TaskIdentifier: "a", QueueName: new("q2")})
	if got := s.send(t, "POST", "/jobs/retry", url.Values{"id": {"1"}, "previewed": {"1"}}); got.StatusCode != http.StatusSeeOther {
		t.Fatal(got.Status)
	}
	s.waitForOperation(t, 1)
	has := func(text string, command, code string) {
		t.Helper()
		contains(t, text, `aria-label="Command">`+command, `aria-label="Go">`+code, "data-copy>Copy as command", "data-copy>Copy as Go")
	}
	has(s.page(t, "/"), "gwadmin stats --errors 20<", "stats, err := ")
	has(s.page(t, "/jobs?q=task%3Aa"), "gwadmin jobs list --task a --sort -id --limit 50<", "page, err := ")
	has(s.page(t, "/jobs/1"), "gwadmin jobs explain 1<", "explanation, err := ")
	has(s.page(t, "/queues"), "gwadmin queues<", "queues, err := ")
	has(s.page(t, "/queues?name=q2"), "gwadmin queues<", "queues, err := ") // and no change, though there is only one
	has(s.page(t, "/tasks"), "gwadmin tasks<", "tasks, err := ")
	has(s.page(t, "/workers"), "gwadmin workers<", "workers, err := ")
	has(s.page(t, "/crontabs"), "gwadmin crontabs<", "crontabs, err := ")
	has(s.page(t, "/operations"), "gwadmin jobs retry 1<", "result, err := ")
	has(s.page(t, "/operations/1"), "gwadmin jobs retry 1<", "result, err := ")
	has(s.page(t, "/add"), "gwadmin jobs add TASK &#39;{}&#39;<", "job, err := ")
	has(s.send(t, "POST", "/jobs/preview", url.Values{"id": {"1"}, "verb": {"hold"}}).text, "gwadmin jobs hold 1<", "result, err := ")
	has(s.send(t, "POST", "/workers/unlock", url.Values{"worker": {"w"}}).text, "gwadmin workers unlock w<", "result, err := ")
}

// Every link to jobs finds jobs, and the names in it are those of the page.
func TestLinksFindJobs(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Crontab: func() (string, error) { return "0 4 * * * nightly ?id=report\n", nil }})
	const queue, task, worker, busy = "a \"queue\"", "0x-task", "wörker", "busy"
	s.addJobs(t,
		admin.JobSpec{TaskIdentifier: task, QueueName: new(queue), Flags: []string{"f"}},
		admin.JobSpec{TaskIdentifier: task, QueueName: new(queue)}, admin.JobSpec{TaskIdentifier: "nightly", QueueName: new(busy)})
	s.exec(t, `update graphile_worker._private_jobs set locked_at = now(), locked_by = $1 where id in (1, 3)`, worker)
	s.exec(t, `update graphile_worker._private_jobs set attempts = max_attempts, last_error = 'the server is away' where id = 2`)
	s.exec(t, `update graphile_worker._private_job_queues set locked_at = now(), locked_by = $1 where queue_name = $2`, worker, busy)
	links, found := regexp.MustCompile(`href="(jobs\?q=[^"]+)"`), map[string]bool{}
	for _, path := range []string{"/", "/jobs?column=task&column=queue&column=locked_by", "/jobs/1", "/queues", "/tasks", "/workers", "/crontabs"} {
		text := s.page(t, path)
		for _, link := range links.FindAllStringSubmatch(text, -1) {
			address, err := url.Parse(html.UnescapeString(link[1]))
			if err != nil {
				t.Fatal(err)
			}
			filter, err := parseSearch(address.Query().Get("q"), searchNow)
			if err != nil {
				t.Errorf("%s has a link to %s: %v", path, address.Query().Get("q"), err)
			}
			if len(filter.States) > 0 && filter.TaskIdentifiers == nil && filter.QueueNames == nil {
				continue // there may be no job in that state
			}
			if page, err := s.client.ListJobs(t.Context(), filter, nil); err != nil || len(page.Jobs) == 0 {
				t.Errorf("%s has a link to %s, which finds no job: %v", path, address.Query().Get("q"), err)
			}
			found[path+" "+address.Query().Get("q")] = true
		}
	}
	for _, want := range []string{`/jobs/1 queue:"a \"queue\""`, "/jobs/1 worker:wörker", "/jobs/1 task:0x-task", "/queues worker:wörker", "/crontabs task:nightly", "/workers worker:wörker"} {
		if !found[want] {
			t.Errorf("there is no link %s: %v", want, found)
		}
	}
}
