package upstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/pgtest"
)

const oddSchema = `we"ird-Schéma 1`

// testDatabase returns the URL of an empty database of the test's own.
func testDatabase(t *testing.T) string {
	t.Helper()
	return pgtest.URL(t, nil)
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	// Nothing may lean on the search path.
	if _, err := conn.Exec(t.Context(), "set search_path to ''"); err != nil {
		t.Fatal(err)
	}
	return conn
}

func value[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// eachVersion runs a test with each release, all at once.
func eachVersion(t *testing.T, test func(t *testing.T, version string)) {
	t.Parallel()
	Ensure(t)
	for _, version := range Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(t, version)
		})
	}
}

func TestInstallPackagesAtOnce(t *testing.T) {
	t.Parallel()
	Ensure(t)
	cache := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			dir, err := installPackages(t.Context(), cache)
			if err != nil {
				t.Error(err)
				return
			}
			for _, version := range Versions {
				cli := filepath.Join(dir, "node_modules", "graphile-worker-"+version, "dist", "cli.js")
				if _, err := os.Stat(cli); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || len(got) != 2 {
		t.Errorf("the cache holds %q (%v), want the packages and their lock", got, err)
	}
}

// verdict is a test that only records how it ended.
type verdict struct {
	testing.TB
	skipped, failed bool
}

func (v *verdict) Helper()                  {}
func (v *verdict) Context() context.Context { return context.Background() }
func (v *verdict) Skip(...any)              { v.skipped = true; runtime.Goexit() }
func (v *verdict) Fatal(...any)             { v.failed = true; runtime.Goexit() }

func TestEnsureWithoutNode(t *testing.T) {
	t.Setenv("PATH", "")
	for _, tc := range []struct {
		reason string
		ci     string
		want   verdict
	}{
		{"a contributor may have no node", "", verdict{skipped: true}},
		{"a pipeline that skips would pass in silence", "true", verdict{failed: true}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Setenv("CI", tc.ci)
			var got verdict
			var wg sync.WaitGroup
			wg.Go(func() { Ensure(&got) })
			wg.Wait()
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
	if err := Install(t.Context(), "0.18.0", "", ""); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Install: got %v, want ErrUnavailable", err)
	}
}

func TestConnectionEnv(t *testing.T) {
	for _, tc := range []struct {
		reason, url string
		want        []string
	}{
		{
			"the socket form has no host that a URL parser knows",
			"postgres://postgres@/db?host=/run/pg&port=5433",
			[]string{"PGHOST=/run/pg", "PGPORT=5433", "PGUSER=postgres", "PGDATABASE=db", "PGSSLMODE=disable"},
		},
		{
			"node-postgres does not read keywords and values",
			"host=db.example user=me dbname='my db' sslmode=require password=s3cret",
			[]string{"PGHOST=db.example", "PGPORT=5432", "PGUSER=me", "PGDATABASE=my db", "PGSSLMODE=no-verify", "PGPASSWORD=s3cret"},
		},
		{
			"settings of the session are carried over",
			"postgres://me@h/db?sslmode=disable&search_path=a%20b%5C&application_name=x&options=-c%20geqo%3Doff",
			[]string{
				"PGHOST=h", "PGPORT=5432", "PGUSER=me", "PGDATABASE=db", "PGSSLMODE=disable",
				`PGOPTIONS=-c application_name=x -c geqo=off -c search_path=a\ b\\`,
			},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			got, err := connectionEnv(tc.url)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestInstall(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		ctx, url := testContext(t), testDatabase(t)
		conn := connect(t, url)
		for schema, table := range map[string]string{
			"":        `graphile_worker.migrations`,
			oddSchema: `"we""ird-Schéma 1".migrations`,
		} {
			if err := Install(ctx, version, url, schema); err != nil {
				t.Fatal(err)
			}
			got := value[int](t, conn, "select max(id) from "+table)
			if got != Revision(version) {
				t.Errorf("schema %q is at revision %d, want %d", schema, got, Revision(version))
			}
		}
	})
}

func TestInstallRefuses(t *testing.T) {
	t.Parallel()
	Ensure(t)
	if err := Install(t.Context(), "0.1.0", "postgres://localhost/", ""); err == nil {
		t.Error("an unknown release is installed")
	}
	err := Install(t.Context(), "0.18.0", "postgres://u@/db?host=/nowhere", "")
	if err == nil || !strings.Contains(err.Error(), "/nowhere/.s.PGSQL.5432") {
		t.Errorf("a server that is not there: got %v, want an error that names its socket", err)
	}
}

func TestCall(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		ctx, url := testContext(t), testDatabase(t)
		d := Start(t, version, url, oddSchema)
		type row struct {
			ID         string         `json:"id"`
			Task       string         `json:"task_identifier"`
			Payload    map[string]any `json:"payload"`
			RunAt      string         `json:"run_at"`
			Priority   int            `json:"priority"`
			Attempts   int            `json:"attempts"`
			MaxAttempt int            `json:"max_attempts"`
			LastError  *string        `json:"last_error"`
		}
		call := func(result any, method string, args ...any) {
			t.Helper()
			if err := d.Call(ctx, method, args, result); err != nil {
				t.Fatal(err)
			}
		}

		call(nil, "migrate")
		var added row
		call(&added, "addJob", "greet", map[string]any{"to": "a\u2028b"}, map[string]any{
			"runAt": "2030-01-02T03:04:05Z", "priority": 3, "queueName": "q",
		})
		id := added.ID
		want := row{
			ID: id, Task: "greet", Payload: map[string]any{"to": "a\u2028b"},
			RunAt: "2030-01-02T03:04:05.000Z", Priority: 3, MaxAttempt: 25,
		}
		if diff := cmp.Diff(want, added); diff != "" {
			t.Errorf("addJob: -want +got\n%s", diff)
		}

		var changed []row
		call(&changed, "rescheduleJobs", []string{id}, map[string]any{"runAt": "infinity", "attempts": 2})
		want.Task, want.RunAt, want.Attempts = "", "infinity", 2
		if diff := cmp.Diff([]row{want}, changed); diff != "" {
			t.Errorf("rescheduleJobs: -want +got\n%s", diff)
		}

		changed = nil
		call(&changed, "permanentlyFailJobs", []string{id}, "enough")
		reason := "enough"
		want.Attempts, want.LastError = 25, &reason
		if diff := cmp.Diff([]row{want}, changed); diff != "" {
			t.Errorf("permanentlyFailJobs: -want +got\n%s", diff)
		}

		changed = nil
		call(&changed, "completeJobs", []string{id})
		if len(changed) != 1 || changed[0].ID != id {
			t.Errorf("completeJobs: got %v, want job %s", changed, id)
		}
		call(nil, "forceUnlockWorkers", []string{"nobody"})
		call(nil, "cleanup", map[string]any{"tasks": []string{"GC_TASK_IDENTIFIERS", "GC_JOB_QUEUES"}})
		conn := connect(t, url)
		if n := value[int](t, conn, `select count(*)::int from "we""ird-Schéma 1"._private_tasks`); n != 0 {
			t.Errorf("cleanup left %d tasks", n)
		}

		specs := []any{
			map[string]any{"identifier": "one"},
			map[string]any{"identifier": "two", "runAt": "infinity"},
		}
		var jobs []row
		err := d.Call(ctx, "addJobs", []any{specs}, &jobs)
		if version == "0.16.6" {
			if err == nil {
				t.Error("addJobs is newer than 0.16.6, but works")
			}
		} else if err != nil || len(jobs) != 2 {
			t.Errorf("addJobs: got %v and %v, want two jobs", jobs, err)
		}

		err = d.Call(ctx, "addJob", []any{"greet", nil, map[string]any{"jobKey": "k", "jobKeyMode": "nonsense"}}, nil)
		var thrown *Error
		if !errors.As(err, &thrown) || thrown.Code != "GWBKM" {
			t.Errorf("a bad mode: got %v, want SQLSTATE GWBKM", err)
		}
		if err := d.Call(ctx, "constructor", nil, nil); err == nil {
			t.Error("an unknown method is called")
		}
		if logs := d.Logs(); len(logs) > 0 {
			t.Errorf("logged %v", logs)
		}
	})
}

func TestWorker(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		ctx, url := testContext(t), testDatabase(t)
		d := Start(t, version, url, "")
		w, err := d.StartWorker(ctx, WorkerOptions{
			Tasks:        []string{"run", ""},
			Concurrency:  2,
			PollInterval: time.Hour, // so that only a notification wakes it
		})
		if err != nil {
			t.Fatal(err)
		}
		conn := connect(t, url)
		add := func(task, payload string) int64 {
			t.Helper()
			return value[int64](t, conn, "select id from graphile_worker.add_job($1, $2::text::json)", task, payload)
		}
		started := func(id int64) Job {
			t.Helper()
			job, err := w.Started(ctx)
			if err != nil || job.ID != id {
				t.Fatalf("started: got %+v and %v, want job %d", job, err, id)
			}
			return job
		}
		finished := func(id int64) Job {
			t.Helper()
			job, err := w.Finished(ctx)
			if err != nil || job.ID != id {
				t.Fatalf("finished: got %+v and %v, want job %d", job, err, id)
			}
			return job
		}
		const state = "select coalesce((select (locked_by is not null)::text || coalesce(last_error, '') from graphile_worker._private_jobs where id = $1), 'gone')"

		held := add("run", `{"holdUntilReleased": true}`)
		job := started(held)
		lockedBy := value[string](t, conn, "select locked_by from graphile_worker._private_jobs where id = $1", held)
		want := Job{
			ID: held, Task: "run", Payload: []byte(`{"holdUntilReleased":true}`), Attempts: 1, LockedBy: lockedBy,
		}
		if diff := cmp.Diff(want, job); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}

		quick := add("", `[1, 2]`)
		started(quick)
		finished(quick)
		if got := value[string](t, conn, state, quick); got != "gone" {
			t.Errorf("a job that succeeded is %s", got)
		}

		failing := add("run", `{"sleepMs": 1, "fail": "no luck"}`)
		started(failing)
		if job := finished(failing); job.Error != "no luck" {
			t.Errorf("a job failed with %q, want %q", job.Error, "no luck")
		}
		if got := value[string](t, conn, state, failing); got != "falseno luck" {
			t.Errorf("a job that failed is %s", got)
		}
		if logs := d.Logs(); len(logs) != 1 || logs[0].Level != "error" || !strings.Contains(logs[0].Message, "no luck") {
			t.Errorf("logged %v, want the failure", logs)
		}

		if got := value[string](t, conn, state, held); got != "true" {
			t.Errorf("a job that is held is %s", got)
		}
		if err := w.Release(ctx, held); err != nil {
			t.Error(err)
		}
		finished(held)
		if err := w.Release(ctx, held); err == nil {
			t.Error("a job is released twice")
		}

		for range 2 {
			if err := w.Stop(ctx); err != nil {
				t.Error(err)
			}
		}
		if job, err := w.Started(ctx); err == nil {
			t.Errorf("a stopped worker started %+v", job)
		}
	})
}

func TestWorkerStopsOnBreakingMigration(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		ctx, url := testContext(t), testDatabase(t)
		d := Start(t, version, url, "")
		w, err := d.StartWorker(ctx, WorkerOptions{Tasks: []string{"run"}})
		if err != nil {
			t.Fatal(err)
		}
		conn := connect(t, url)
		notify := func(breaking bool) {
			t.Helper()
			payload := fmt.Sprintf(`{"migrationNumber": 99, "breaking": %t}`, breaking)
			if _, err := conn.Exec(ctx, "select pg_notify('worker:migrate', $1)", payload); err != nil {
				t.Fatal(err)
			}
		}

		notify(false)
		if _, err := conn.Exec(ctx, "select graphile_worker.add_job('run')"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Finished(ctx); err != nil {
			t.Fatalf("after a migration that does not break: %v", err)
		}
		notify(true)
		if err := w.Wait(ctx); err != nil {
			t.Errorf("the worker stopped with %v", err)
		}
		if logs := d.Logs(); len(logs) == 0 || logs[0].Level != "warning" {
			t.Errorf("logged %v, want a warning first", logs)
		}

		if _, err := conn.Exec(ctx, "insert into graphile_worker.migrations (id, breaking) values (99, true)"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.StartWorker(ctx, WorkerOptions{}); err == nil {
			t.Error("a worker starts on a schema that is too new")
		}
	})
}

func TestDriverEnds(t *testing.T) {
	t.Parallel()
	url := testDatabase(t)
	ctx := testContext(t)
	d := Start(t, "0.18.0", url, "")
	w, err := d.StartWorker(ctx, WorkerOptions{Tasks: []string{"run"}})
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	if _, err := conn.Exec(ctx, `select graphile_worker.add_job('run', '{"holdUntilReleased": true}')`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Started(ctx); err != nil {
		t.Fatal(err)
	}

	// What the test process leaves behind when it dies is a closed pipe.
	d.Close()
	d.Close()
	if err := d.cmd.Process.Signal(syscall.Signal(0)); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal to node: got %v, want ErrProcessDone", err)
	}
	if err := d.Call(ctx, "migrate", nil, nil); !errors.Is(err, errClosed) {
		t.Errorf("Call: got %v, want errClosed", err)
	}
	if err := w.Wait(ctx); !errors.Is(err, errClosed) {
		t.Errorf("Wait: got %v, want errClosed", err)
	}
	if _, err := w.Finished(ctx); err == nil {
		t.Error("a job of a worker that is gone finished")
	}
	if n := value[int](t, conn, "select count(*)::int from graphile_worker._private_jobs where locked_at is not null"); n != 1 {
		t.Errorf("%d jobs are locked, want 1", n)
	}
}
