package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
)

func (s *site) waitForOperation(t *testing.T, id int64) standing {
	t.Helper()
	for {
		for _, o := range s.operations.all() {
			if o.ID == id && !o.Running {
				return o
			}
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the operation did not end")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// The jobs of a search are changed after a preview: those that match, on all pages, and no
// locked one.
func TestChangeMatching(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Authenticate: Basic(func(user, password string) bool { return user == "ada" })})
	ada := []string{"Authorization", "Basic YWRhOng="}
	specs := make([]admin.JobSpec, 300)
	for i := range specs {
		specs[i] = admin.JobSpec{TaskIdentifier: []string{"mail", "image"}[i%2]}
	}
	s.addJobs(t, specs...)
	s.exec(t, `update graphile_worker._private_jobs set locked_at = now(), locked_by = 'w' where id in (1, 3)`)
	form := url.Values{"scope": {"matching"}, "q": {"task:mail"}, "verb": {"complete"}}
	got := s.send(t, "POST", "/jobs/preview", form, ada...)
	contains(t, got.text, "148 jobs would be completed, and so deleted, 2 jobs would be left alone", "2 locked", `name="previewed" value="148"`, "Type 148 to confirm")

	form.Set("previewed", "148")
	form.Set("confirm", "147")
	got = s.send(t, "POST", "/jobs/complete", form, ada...)
	if got.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("with a wrong number: %s", got.Status)
	}
	contains(t, got.text, "type the number of jobs, 148, to complete them", `value="147"`)
	if stats, err := s.client.Stats(t.Context(), nil); err != nil || stats.Jobs.Total() != 300 {
		t.Fatalf("%v %v", stats, err)
	}

	form.Set("confirm", "148")
	got = s.send(t, "POST", "/jobs/complete", form, ada...)
	if location := got.Header.Get("Location"); got.StatusCode != http.StatusSeeOther || location != "../operations/1" {
		t.Fatalf("%s to %q", got.Status, location)
	}
	if o := s.waitForOperation(t, 1); o.Result.Changed != 148 || o.Err != nil {
		t.Errorf("%d changed, error %v", o.Result.Changed, o.Err)
	}
	contains(t, s.send(t, "GET", "/operations/1", nil, ada...).text, "148 jobs completed, and so deleted, 2 jobs left alone", "by ada", "gwadmin jobs complete --task mail")
	result := s.send(t, "GET", "/operations/1/result.ndjson", nil, ada...).text
	contains(t, result, `"changed":148`, `"skipped_job":{"id":1,"reason":"locked"`)
	for id := 5; id < 300; id += 2 { // all, and not only the first 100
		contains(t, result, fmt.Sprintf("{\"changed_id\":%d}\n", id))
	}
	contains(t, s.log.String(), "change=complete", "user=ada", "confirmed=148", "changed=148")
	stats, err := s.client.Stats(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]admin.Counts{"mail": {admin.Running: 2}, "image": {admin.Ready: 150}}
	if diff := cmp.Diff(want, stats.Tasks); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A destructive change stops at the number that was confirmed.
func TestConfirmedNumberBinds(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	specs := []admin.JobSpec{{TaskIdentifier: "a"}, {TaskIdentifier: "a"}, {TaskIdentifier: "a"}, {TaskIdentifier: "a"}, {TaskIdentifier: "a"}}
	s.addJobs(t, specs[:2]...)
	form := url.Values{"scope": {"matching"}, "q": {"task:a"}, "verb": {"complete"}}
	contains(t, s.send(t, "POST", "/jobs/preview", form).text, "Type 2 to confirm")
	jobs := s.addJobs(t, specs...)
	form.Set("previewed", "0") // which is no number of jobs
	form.Set("confirm", "0")
	contains(t, s.send(t, "POST", "/jobs/complete", form).text, "Type 7 to confirm")
	form.Set("previewed", "2")
	form.Set("confirm", "2")
	s.send(t, "POST", "/jobs/complete", form)
	if o := s.waitForOperation(t, 1); o.Result.Changed != 2 || !o.Result.More {
		t.Errorf("%+v, want 2 jobs and more", o.Result)
	}
	contains(t, s.page(t, "/operations/1"), "2 jobs completed", "It ended at the number that was confirmed")

	s.exec(t, `update graphile_worker._private_jobs set locked_at = now(), locked_by = 'w' where id = $1`, jobs[0].ID)
	form = url.Values{"id": {fmt.Sprint(jobs[0].ID), fmt.Sprint(jobs[1].ID)}, "verb": {"fail"}}
	contains(t, s.send(t, "POST", "/jobs/preview", form).text, "Type 1 to confirm")
	s.exec(t, `update graphile_worker._private_jobs set locked_at = null, locked_by = null`)
	form.Set("previewed", "1")
	form.Set("confirm", "1")
	got := s.send(t, "POST", "/jobs/fail", form)
	if got.StatusCode != http.StatusConflict || len(s.operations.all()) != 1 {
		t.Errorf("%s", got.Status)
	}
	contains(t, got.text, "it would be 2 jobs now, and not 1", "Type 2 to confirm")
}

// Times of a search that count from now are those of the preview, not of the click.
func TestPreviewFixesTimes(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a"})
	got := s.send(t, "POST", "/jobs/preview", url.Values{"scope": {"matching"}, "q": {"created:..now"}, "verb": {"retry"}})
	_, rest, _ := strings.Cut(got.text, `name="q" value="created:..2`)
	if !strings.HasPrefix(rest, "0") {
		t.Errorf("the form has no absolute time:\n%s", got.text)
	}
}

func TestChangeSelected(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	jobs := s.addJobs(t, admin.JobSpec{TaskIdentifier: "a"}, admin.JobSpec{TaskIdentifier: "a"}, admin.JobSpec{TaskIdentifier: "a"})
	ids := []string{fmt.Sprint(jobs[0].ID), fmt.Sprint(jobs[2].ID)}
	for i, tc := range []struct {
		verb string
		form url.Values
		want func(admin.Job) bool
	}{
		{"fail", url.Values{"reason": {"by hand"}, "confirm": {"2"}}, func(j admin.Job) bool {
			return j.Permafailed() && *j.LastError == "by hand"
		}},
		{"retry", nil, func(j admin.Job) bool { return !j.Permafailed() && j.Attempts == 0 }},
		{"reschedule", url.Values{"run_at": {"2030-01-01T00:00:00Z"}, "priority": {"7"}}, func(j admin.Job) bool {
			return j.RunAt.Time.Year() == 2030 && j.Priority == 7
		}},
	} {
		form := url.Values{"id": ids, "verb": {tc.verb}, "previewed": {"2"}}
		for name, values := range tc.form {
			form[name] = values
		}
		preview := s.send(t, "POST", "/jobs/preview", form)
		contains(t, preview.text, "2 jobs would be")
		if got := s.send(t, "POST", "/jobs/"+tc.verb, form); got.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %s\n%s", tc.verb, got.Status, got.text)
		}
		if o := s.waitForOperation(t, int64(i+1)); o.Err != nil || o.Result.Changed != 2 {
			t.Fatalf("%s: %v", tc.verb, o.Err)
		}
		for i, job := range jobs {
			now, err := s.client.GetJob(t.Context(), job.ID)
			if err != nil {
				t.Fatal(err)
			}
			if tc.want(now.Job) != (i != 1) && tc.verb != "retry" {
				t.Errorf("%s: job %d is %+v", tc.verb, job.ID, now.Job)
			}
		}
	}
}

func TestChangeRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a"})
	for _, tc := range []struct {
		path string
		form url.Values
		want string
	}{
		{"/jobs/preview", url.Values{"verb": {"retry"}}, "no job is selected"},
		{"/jobs/preview", url.Values{"verb": {"destroy"}, "id": {"1"}}, "choose what to do"},
		{"/jobs/preview", url.Values{"verb": {"retry"}, "id": {"one"}}, "not a number"},
		{"/jobs/preview", url.Values{"verb": {"retry"}, "scope": {"matching"}, "q": {"colour:red"}}, "there is no field"},
		{"/jobs/preview", url.Values{"verb": {"reschedule"}, "id": {"1"}, "run_at": {"soon"}}, "is no time to run at"},
		{"/jobs/preview", url.Values{"verb": {"reschedule"}, "id": {"1"}, "priority": {"99999"}}, "-32768"},
		{"/jobs/reschedule", url.Values{"id": {"1"}, "previewed": {"1"}, "priority": {"high"}}, "is no number"},
		{"/jobs/fail", url.Values{"id": {"1"}, "previewed": {"1"}}, "type the number of jobs"},
		{"/workers/unlock", url.Values{}, "no worker is given"},
	} {
		got := s.send(t, "POST", tc.path, tc.form)
		if got.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s %v: %s", tc.path, tc.form, got.Status)
		}
		contains(t, got.text, tc.want)
	}
	if len(s.operations.all()) > 0 {
		t.Error("an operation was started")
	}
}

func TestUnlock(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a"}, admin.JobSpec{TaskIdentifier: "a"})
	s.exec(t, `update graphile_worker._private_jobs set locked_at = now() - interval '1 day', locked_by = 'dead'`)
	contains(t, s.page(t, "/workers"), "dead", "1 d ago")
	contains(t, s.page(t, "/jobs/1"), "dead")
	got := s.send(t, "POST", "/workers/unlock", url.Values{"worker": {"dead"}})
	contains(t, got.text, "This clears all locks of dead: 2 jobs and 0 queues")
	got = s.send(t, "POST", "/workers/unlock", url.Values{"worker": {"dead"}, "previewed": {"2"}, "confirm": {"3"}})
	contains(t, got.text, "Type the number of locks")
	got = s.send(t, "POST", "/workers/unlock", url.Values{"worker": {"dead"}, "previewed": {"1"}, "confirm": {"1"}})
	contains(t, got.text, "What the worker holds has changed since the preview", `name="previewed" value="2"`)
	if job, err := s.client.GetJob(t.Context(), 1); err != nil || job.LockedBy == nil {
		t.Fatalf("unlocked by another number: %v", err)
	}
	got = s.send(t, "POST", "/workers/unlock", url.Values{"worker": {"dead"}, "previewed": {"2"}, "confirm": {"2"}})
	contains(t, got.text, "2 jobs and 0 queues of dead unlocked")
	workers, err := s.client.Workers(t.Context())
	if err != nil || len(workers) > 0 {
		t.Errorf("%v %v", workers, err)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a", QueueName: new("mails")})
	s.send(t, "POST", "/queues/pause", url.Values{"queue": {"mails"}, "reason": {"the mail server moves"}})
	contains(t, s.page(t, "/queues"), "the mail server moves", "Resume")
	contains(t, s.page(t, "/queues?only=locked"), "mails")
	contains(t, s.page(t, "/jobs/1"), "paused")
	s.send(t, "POST", "/queues/resume", url.Values{"queue": {"mails"}})
	lacks(t, s.page(t, "/queues"), "the mail server moves")
	if got := s.page(t, "/queues?only=locked"); !strings.Contains(got, "No such queue.") {
		t.Errorf("the queue is still held:\n%s", got)
	}
}

// A bulk change stops after the batch in hand.
func TestCancelOperation(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.exec(t, `select graphile_worker.add_job('a', '{}') from generate_series(1, 5000)`)
	s.exec(t, `create function graphile_worker.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.001); return new; end $$`)
	s.exec(t, `create trigger slow before update on graphile_worker._private_jobs for each row execute function graphile_worker.slow()`)
	s.send(t, "POST", "/jobs/retry", url.Values{"scope": {"matching"}, "q": {"task:a"}, "previewed": {"5000"}})
	for s.operations.all()[0].Result.Changed == 0 {
		time.Sleep(time.Millisecond)
	}
	s.send(t, "POST", "/operations/1/cancel", url.Values{})
	o := s.waitForOperation(t, 1)
	if !o.Cancelled || o.Result.Changed%1000 != 0 || o.Result.Changed == 5000 {
		t.Errorf("cancelled %v after %d", o.Cancelled, o.Result.Changed)
	}
	contains(t, s.page(t, "/operations/1"), "It was stopped before the end.")
	contains(t, s.page(t, "/operations"), "stopped")
	var done int64
	if err := s.pool.QueryRow(t.Context(), `select count(*) from graphile_worker._private_jobs where updated_at > created_at`).Scan(&done); err != nil || done != o.Result.Changed {
		t.Errorf("%d jobs were changed, the operation says %d: %v", done, o.Result.Changed, err)
	}
}

// Only who may do a change may stop it.
func TestCancelIsAuthorized(t *testing.T) {
	t.Parallel()
	may := true
	s := newSite(t, Options{Authorize: func(_ *http.Request, action Action) error {
		if action == Retry && !may {
			return errors.New("no")
		}
		return nil
	}})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a"})
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := tx.Exec(t.Context(), `select from graphile_worker._private_jobs for update`); err != nil { // so that the change waits
		t.Fatal(err)
	}
	s.send(t, "POST", "/jobs/retry", url.Values{"id": {"1"}, "previewed": {"1"}})
	contains(t, s.page(t, "/operations/1"), "Stop after this batch")
	may = false
	text := s.page(t, "/operations/1")
	contains(t, text, "so far, of 1")
	lacks(t, text, "Stop after this batch")
	if got := s.send(t, "POST", "/operations/1/cancel", url.Values{}); got.StatusCode != http.StatusForbidden {
		t.Error(got.Status)
	}
}

func TestSnippets(t *testing.T) {
	t.Parallel()
	h := &Handler{client: admin.New(nil, admin.WithSchema("my schema"))}
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	filter, err := parseSearch(`state:permafailed task:a,b key:"it's" priority:1..5 run:..now error:"x y" payload:{"a":1}`, now)
	if err != nil {
		t.Fatal(err)
	}
	got := h.verbSnippet(findVerb("fail"), selection{Filter: filter}, url.Values{"reason": {"why"}})
	want := snippet{
		Command: `gwadmin jobs fail --state permafailed --task '"a,b"' --key 'it'\''s' --priority-from 1 --priority-to 5 --error 'x y' --payload-contains '{"a":1}' --run-before 2026-11-20T08:00:00Z --reason why --schema 'my schema'`,
		Go: "result, err := client.FailWhere(ctx, admin.Filter{States: []admin.State{admin.Permafailed}, TaskIdentifiers: []string{\"a,b\"}, Keys: []string{\"it's\"}, " +
			"Priority: admin.IntRange{From: new(1), To: new(5)}, RunAt: admin.TimeRange{Before: new(time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC))}, ErrorText: new(\"x y\"), " +
			"PayloadContains: json.RawMessage(`{\"a\":1}`)}, new(\"why\"), nil)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	empty := admin.Filter{ErrorText: new("")} // which no flag of the command can say
	if got := []snippet{h.verbSnippet(findVerb("retry"), selection{Filter: empty}, nil), h.listSnippet(empty, "", "")}; got[0].Command+got[1].Command != "" {
		t.Errorf("the command of a search for the empty error: %q", got)
	}
	one := &Handler{client: h.client, target: "eu"}
	if got, want := one.listSnippet(filter, "id", "abc").Command, "--cursor eu=abc --target eu"; !strings.HasSuffix(got, want) {
		t.Errorf("%s does not end with %s", got, want)
	}
	got = h.verbSnippet(findVerb("reschedule"), selection{IDs: []int64{1, 2}}, url.Values{"run_at": {"+5m"}, "attempts": {"0"}})
	want = snippet{
		Command: `gwadmin jobs reschedule --run-at +5m --attempts 0 --schema 'my schema' 1 2`,
		Go:      "result, err := client.RescheduleJobs(ctx, []int64{1, 2}, admin.RescheduleValues{RunAt: admin.In(" + strconv.Itoa(int(5*time.Minute)) + "), Attempts: new(0)}, nil)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A preview that takes long shows that it searches, can be cancelled, and is there when it
// has been made. Another user does not see it.
func TestSlowPreview(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Authenticate: Basic(func(string, string) bool { return true })})
	ada, eve := []string{"Authorization", "Basic YWRhOng="}, []string{"Authorization", "Basic ZXZlOng="}
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a"}, admin.JobSpec{TaskIdentifier: "a"})
	if got := s.send(t, "GET", "/jobs", nil, ada...); got.StatusCode != http.StatusOK { // the client has checked the schema
		t.Fatal(got.Status)
	}
	lock := func() func() {
		tx, err := s.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `lock table graphile_worker._private_jobs`); err != nil {
			t.Fatal(err)
		}
		return func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }
	}
	form := url.Values{"scope": {"matching"}, "q": {"task:a created:..now"}, "verb": {"retry"}}
	preview := func() string {
		got := s.send(t, "POST", "/jobs/preview", form, ada...)
		location, found := strings.CutPrefix(got.Header.Get("Location"), "../")
		if got.StatusCode != http.StatusSeeOther || !found {
			t.Fatalf("%s to %q", got.Status, got.Header.Get("Location"))
		}
		return "/" + location
	}
	unlock := lock()
	defer unlock()
	path := preview()
	contains(t, s.send(t, "GET", path, nil, ada...).text, "Looking for the jobs", `data-reload="1"`, path[1:]+"/stop")
	if got := s.send(t, "GET", path, nil, eve...); got.StatusCode != http.StatusNotFound {
		t.Errorf("another user: %s", got.Status)
	}
	if got := s.send(t, "POST", path+"/stop", url.Values{}, ada...); got.StatusCode != http.StatusSeeOther {
		t.Errorf("stop: %s", got.Status)
	}
	if got := s.send(t, "GET", path, nil, ada...); got.StatusCode != http.StatusNotFound {
		t.Errorf("after stop: %s", got.Status)
	}
	for running := 1; running > 0; { // in PostgreSQL, too
		if err := s.pool.QueryRow(t.Context(), `select count(*) from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`).Scan(&running); err != nil {
			t.Fatal(err)
		}
	}
	path = preview()
	unlock()
	var text string
	for !strings.Contains(text, "2 jobs would be") {
		text = s.send(t, "GET", path, nil, ada...).text
	}
	contains(t, text, `name="previewed" value="2"`, `name="q" value="task:a created:..2`)
}
