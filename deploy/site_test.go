package deploy

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// A site is a database of the test's own, with a Go producer, the command, and workers.
type site struct {
	testing.TB
	ctx      context.Context
	url      string
	pool     *pgxpool.Pool
	producer *admin.Client
}

// newSite makes a database, which is empty unless there is a template.
func newSite(t *testing.T, template *pgtest.Template) *site {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // for a busy machine
	t.Cleanup(cancel)
	pool := pgtest.Pool(t, template)
	return &site{t, ctx, pool.Config().ConnString(), pool, admin.New(pool)}
}

// run runs the command, which must end with a code.
func (s *site) run(code int, args ...string) gwadmincmd.Result {
	s.Helper()
	got := gwadmincmd.Run(s.ctx, s, s.url, args...)
	if got.Code != code {
		s.Fatalf("gwadmin %q ended with %d, want %d\n%s%s", args, got.Code, code, got.Stdout, got.Stderr)
	}
	return got
}

func (s *site) exec(sql string) {
	s.Helper()
	if _, err := s.pool.Exec(s.ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		s.Fatal(err)
	}
}

// add lets the producer add a job, which a worker of the task finishes at once or holds.
func (s *site) add(task string, held bool) int64 {
	s.Helper()
	job, err := s.producer.AddJob(s.ctx, task, map[string]bool{"holdUntilReleased": held}, nil)
	if err != nil {
		s.Fatal(err)
	}
	return job.ID
}

// jobs is how many there are.
func (s *site) jobs() (n int) {
	s.Helper()
	if err := s.pool.QueryRow(s.ctx, "select count(*) from graphile_worker._private_jobs").Scan(&n); err != nil {
		s.Fatal(err)
	}
	return n
}

// ledger is Graphile Worker's, with the times when it was written.
func (s *site) ledger() []string {
	s.Helper()
	rows, err := s.pool.Query(s.ctx, "select m::text from graphile_worker.migrations as m order by id")
	if err != nil {
		s.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.Fatal(err)
	}
	return lines
}

// A worker is a JavaScript worker of a release.
type worker struct {
	*upstream.Worker
	s      *site
	driver *upstream.Driver
}

// worker starts a worker.
func (s *site) worker(release string, tasks ...string) *worker {
	s.Helper()
	driver := upstream.Start(s, release, s.url, "")
	w, err := driver.StartWorker(s.ctx, upstream.WorkerOptions{Tasks: tasks, Concurrency: 2})
	if err != nil {
		s.Fatal(err)
	}
	return &worker{w, s, driver}
}

// holds waits until the worker has started a job.
func (w *worker) holds(id int64) {
	w.s.Helper()
	for {
		job, err := w.Started(w.s.ctx)
		if err != nil {
			w.s.Fatal(err)
		}
		if job.ID == id {
			return
		}
	}
}

// release lets the worker go on with a job.
func (w *worker) release(id int64) {
	w.s.Helper()
	if err := w.Release(w.s.ctx, id); err != nil {
		w.s.Fatal(err)
	}
}

// finishes waits for the next job that the worker finishes, which must be that one, at its
// first attempt.
func (w *worker) finishes(id int64) {
	w.s.Helper()
	job, err := w.Finished(w.s.ctx)
	if err != nil {
		w.s.Fatal(err)
	}
	job.Payload, job.LockedBy = json.RawMessage(nil), ""
	if diff := cmp.Diff(upstream.Job{ID: id, Task: job.Task, Attempts: 1}, job); diff != "" {
		w.s.Errorf("the job that the worker finished: -want +got\n%s", diff)
	}
}

// stops waits until the worker has stopped by itself.
func (w *worker) stops() {
	w.s.Helper()
	if err := w.Wait(w.s.ctx); err != nil {
		w.s.Fatal(err)
	}
}

// stop stops the worker, and waits for it.
func (w *worker) stop() {
	w.s.Helper()
	if err := w.Stop(w.s.ctx); err != nil {
		w.s.Fatal(err)
	}
}

// logs waits until the worker has logged a text.
func (w *worker) logs(text string) {
	w.s.Helper()
	for !slices.ContainsFunc(w.driver.Logs(), func(l upstream.Log) bool { return strings.Contains(l.Message, text) }) {
		select {
		case <-w.s.ctx.Done():
			w.s.Fatalf("the worker has not logged %q", text)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// refused starts a worker of a release, which must not start, and returns why.
func (s *site) refused(release string) string {
	s.Helper()
	_, err := upstream.Start(s, release, s.url, "").StartWorker(s.ctx, upstream.WorkerOptions{Tasks: []string{"work"}})
	if err == nil {
		s.Fatalf("a worker of %s started", release)
	}
	return err.Error()
}
