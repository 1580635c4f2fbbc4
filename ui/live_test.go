package ui

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// Requests that want the same share one read.
func TestReadsAreShared(t *testing.T) {
	t.Parallel()
	var r reads
	var made atomic.Int64
	release := make(chan struct{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got, _, err := read(t.Context(), &r, "key", time.Hour, func(context.Context) (int64, error) {
				<-release
				return made.Add(1), nil
			})
			if got != 1 || err != nil {
				t.Errorf("%d %v", got, err)
			}
		})
	}
	close(release)
	all.Wait()
	r.forget()
	if got, _, _ := read(t.Context(), &r, "key", time.Hour, func(context.Context) (int64, error) { return made.Add(1), nil }); got != 2 {
		t.Errorf("after forget: %d", got)
	}
}

// A search that nobody waits for any more is cancelled in PostgreSQL.
func TestReadIsCancelled(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, _, err := read(ctx, &s.reads, "slow", 0, func(ctx context.Context) (int, error) {
			_, err := s.pool.Exec(ctx, "select pg_sleep(600) /* search */")
			ended <- err
			return 0, err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the request: %v", err)
		}
	}()
	running := func() (n int) {
		if err := s.pool.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and query like '%/* search */%' and state = 'active' and pid <> pg_backend_pid()`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for running() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("the statement was not cancelled")
	}
	for running() > 0 {
		time.Sleep(time.Millisecond)
	}
}

// A slow search shows that it searches, and can be cancelled.
func TestSlowSearch(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a"})
	s.page(t, "/jobs") // the client has checked the schema
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := tx.Exec(t.Context(), `lock table graphile_worker._private_jobs`); err != nil {
		t.Fatal(err)
	}
	contains(t, s.page(t, "/jobs?q=state%3Aready"), "Searching for", `data-reload="1"`, "jobs/stop?q=state%3Aready")
	got := s.send(t, "POST", "/jobs/stop?q=state%3Aready", map[string][]string{})
	contains(t, got.text, "the search was cancelled")
	var waiting int
	for {
		if err := tx.QueryRow(t.Context(), `select count(*) from pg_locks where not granted and database = (select oid from pg_database where datname = current_database()) and pid in (select pid from pg_stat_activity where query like '%JobList%')`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	contains(t, s.page(t, "/jobs?q=state%3Aready"), `id="job-1"`)
}

// All watchers share one poller, which ends with the last of them.
func TestOnePoller(t *testing.T) {
	t.Parallel()
	var reads, at atomic.Int64
	l := live{read: func(context.Context) (pulse, error) {
		reads.Add(1)
		return pulse{Changes: at.Load()}, nil
	}}
	at.Store(1)
	var watchers []chan string
	for range 20 {
		w, ok := l.watch()
		if !ok {
			t.Fatal("no watcher")
		}
		watchers = append(watchers, w)
	}
	for _, w := range watchers {
		if got := <-w; got != "changed" {
			t.Errorf("%q", got)
		}
	}
	if n := reads.Load(); n > 2 {
		t.Errorf("20 watchers made %d reads", n)
	}
	for _, w := range watchers {
		l.unwatch(w)
	}
	if l.stop != nil {
		t.Error("the poller goes on")
	}
	for range mostWatchers {
		if _, ok := l.watch(); !ok {
			t.Fatal("refused too early")
		}
	}
	if _, ok := l.watch(); ok {
		t.Error("there is no greatest number of watchers")
	}
	l.stop()
}

// Pages that show an error are told when the database answers again, also if nothing has changed.
func TestPollAfterError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pulses := make(chan error, 1)
		l := live{read: func(context.Context) (pulse, error) { return pulse{Changes: 7}, <-pulses }}
		watcher, _ := l.watch()
		for i, step := range []struct {
			err  error
			want string
		}{{nil, "changed"}, {nil, ""}, {errors.New("away"), "gone"}, {errUnread, ""}, {nil, "changed"}, {nil, ""}} {
			pulses <- step.err
			if got := <-watcher; got != step.want {
				t.Errorf("step %d: %q, want %q", i, got, step.want)
			}
		}
		pulses <- nil
		l.unwatch(watcher)
	})
}

// The stream says when the queue changes.
func TestEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.server.URL+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	next := func() string {
		for lines.Scan() {
			if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				return event
			}
		}
		t.Fatal(lines.Err())
		return ""
	}
	s.addJobs(t, admin.JobSpec{TaskIdentifier: "a"})
	got := next()
	for got == "gone" { // a slow machine may not read the numbers in time
		got = next()
	}
	if got != "changed" {
		t.Errorf("event %q", got)
	}
}

// Without the database the page says so, and comes back with it.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.page(t, "/jobs")
	s.pool.Close()
	got := s.send(t, "GET", "/workers", nil)
	if got.StatusCode < 500 || !strings.Contains(got.text, `role="alert"`) {
		t.Errorf("%s\n%s", got.Status, got.text)
	}
}
