package ui

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/netfault"
)

// Close ends a bulk change after whole batches, and reports it. It starts no other.
func TestClose(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.exec(t, `select graphile_worker.add_job('a', '{}') from generate_series(1, 2500)`)
	// The second batch waits for this trigger.
	s.exec(t, `create function public.wait() returns trigger language plpgsql as $$ begin if old.id = 1500 then perform pg_advisory_xact_lock(7); end if; return new; end $$`)
	s.exec(t, `create trigger wait before update on graphile_worker._private_jobs for each row execute function public.wait()`)
	blocker, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Rollback(context.WithoutCancel(t.Context()))
	if _, err := blocker.Exec(t.Context(), `select pg_advisory_xact_lock(7)`); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"scope": {"matching"}, "q": {"task:a"}, "verb": {"fail"}, "previewed": {"2500"}, "confirm": {"2500"}}
	if got := s.send(t, "POST", "/jobs/fail", form); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s\n%s", got.Status, got.text)
	}
	for s.operations.all()[0].Result.Changed == 0 { // the first batch
		time.Sleep(time.Millisecond)
	}
	stopped, err := s.Close(t.Context())
	if err != nil || len(stopped) != 1 {
		t.Fatalf("%v %v", stopped, err)
	}
	got := stopped[0]
	if got.Change != "fail" || got.Changed == 0 || got.Changed >= 2500 || got.Aim != 2500 || got.Running || got.Jobs != "all jobs that match task:a" {
		t.Errorf("%+v", got)
	}
	if err := blocker.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	stats, err := s.client.Stats(t.Context(), nil)
	if err != nil || stats.Jobs[admin.Permafailed] != got.Changed {
		t.Errorf("%d jobs are failed, and %d are reported: %v", stats.Jobs[admin.Permafailed], got.Changed, err)
	}
	contains(t, s.log.String(), "change=fail", "failed=true")
	if got := s.send(t, "POST", "/jobs/fail", form); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Close: %s", got.Status)
	}
	if again, err := s.Close(t.Context()); again != nil || err != nil {
		t.Errorf("a second Close: %v %v", again, err)
	}
}

// Close ends the streams of open pages, or the server would wait for them.
func TestCloseEndsStreams(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	response, err := http.Get(s.server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Errorf("the stream: %v", err)
	}
	if got := s.send(t, "GET", "/events", nil); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a stream after Close: %s", got.Status)
	}
	if err := s.server.Config.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// A change by ids that Close ends before its answer may be done or not, and Close says so.
func TestCloseSaysWhatIsUnknown(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a"})
	proxy, through := s.through(t)
	through.page(t, "/jobs")
	trap := proxy.At(netfault.Containing("-- name: JobReschedule "), netfault.Stall)
	if got := through.send(t, "POST", "/jobs/retry", url.Values{"id": {"1"}, "previewed": {"1"}}); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s\n%s", got.Status, got.text)
	}
	<-trap.Sprung()
	stopped, err := through.Close(t.Context())
	if err != nil || len(stopped) != 1 || stopped[0].Running || !errors.Is(stopped[0].Err, admin.ErrOutcomeUnknown) {
		t.Errorf("%+v %v", stopped, err)
	}
}

// Close waits no longer than its context, and says what still runs.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	var o operations
	running := &operation{Verb: verbs[0], What: "all jobs", Aim: 5, Began: time.Now(), done: make(chan struct{}), cancel: func() {}}
	o.kept = append(o.kept, running)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stopped, err := o.close(ctx)
	if !errors.Is(err, context.Canceled) || len(stopped) != 1 || !stopped[0].Running {
		t.Errorf("%+v %v", stopped, err)
	}
}
