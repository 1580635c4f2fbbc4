package deploy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// These tests play the steps of docs/deploying.md, with the command, a producer in Go and
// real workers.

func contains(t testing.TB, what, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%s: %q is not in\n%s", what, part, text)
	}
}

// A first installation: migrations, then producers and workers, in any order.
func TestOrderFirst(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	s := newSite(t, nil)
	if _, err := s.producer.AddJob(s.ctx, "work", nil, nil); !errors.Is(err, admin.ErrNotInstalled) {
		t.Errorf("a producer before the migrations: %v, want ErrNotInstalled", err)
	}
	s.run(3, "migrate", "status")
	s.run(0, "migrate", "up", "--wait-idle", "5m")
	s.run(0, "migrate", "status")
	s.run(0, "migrate", "validate")
	ledger := s.ledger()
	first := s.add("work", false) // the client that was refused looks again
	w := s.worker("0.18.0", "work")
	w.finishes(first)
	w.finishes(s.add("work", false))
	if diff := cmp.Diff(ledger, s.ledger()); diff != "" {
		t.Errorf("the worker has migrated something: -before +after\n%s", diff)
	}
	if logs := w.driver.Logs(); len(logs) > 0 {
		t.Errorf("the worker logged %v", logs)
	}
}

// An upgrade: producers, migrations, workers. Every job runs once.
func TestOrderUpgrade(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	for _, tc := range []struct {
		from  string
		stops bool // whether the migrations stop its workers
	}{{"0.16.6", true}, {"0.17.3", false}} {
		t.Run(tc.from, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, testdb.Upstream(t, tc.from, ""))
			old := s.worker(tc.from, "work")

			// 1. Producers: this gwadmin works on the old schema.
			old.finishes(s.add("work", false))
			held := s.add("work", true)
			old.holds(held)

			// 2. Migrations, which wait for workers only before a breaking revision.
			dry := s.run(3, "migrate", "up", "--dry-run")
			if tc.stops {
				contains(t, "a dry run says", dry.Stderr, "a breaking revision is pending while worker-")
				contains(t, "up says", s.run(7, "migrate", "up").Stderr, "holds 1 since")
				old.finishes(s.add("work", false)) // the others go on
				old.release(held)
				old.finishes(held)
			}
			s.run(0, "migrate", "up", "--wait-idle", "5m")
			s.run(0, "migrate", "validate")
			if tc.stops {
				old.stops()
				contains(t, "an old worker that is started again", s.refused(tc.from), "breaking migration 19")
			} else {
				old.release(held)
				old.finishes(held)
				old.finishes(s.add("work", false))
				old.stop()
				old = s.worker(tc.from, "work") // it starts on the new schema, too
				old.finishes(s.add("work", false))
			}

			// 3. Workers, beside those that are left.
			ledger, waits := s.ledger(), int64(0)
			if tc.stops {
				waits = s.add("work", false)
			}
			young := s.worker("0.18.0", "work", "new")
			if tc.stops {
				young.finishes(waits)
			} else {
				young.finishes(s.add("new", false))
				old.stop()
			}
			young.finishes(s.add("work", false))
			if diff := cmp.Diff(ledger, s.ledger()); diff != "" {
				t.Errorf("the worker has migrated something: -before +after\n%s", diff)
			}
			if n := s.jobs(); n > 0 {
				t.Errorf("%d jobs are left", n)
			}
		})
	}
}

// --force does not wait: the old workers finish what they hold, and stop.
func TestOrderForce(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	s := newSite(t, testdb.Upstream(t, "0.16.6", ""))
	old := s.worker("0.16.6", "work")
	held := s.add("work", true)
	old.holds(held)
	s.run(0, "migrate", "up", "--force")
	old.logs("breaking migration")
	next := s.add("work", false)
	s.worker("0.18.0", "work").finishes(next)
	old.release(held)
	old.finishes(held)
	old.stops()
	if n := s.jobs(); n > 0 {
		t.Errorf("%d jobs are left", n)
	}
}

// A new worker that is started before the migrations migrates by itself, and waits for
// nobody. up then only records what it finds.
func TestOrderWorkersFirst(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	for _, tc := range []struct {
		from  string
		stops bool
	}{{"0.16.6", true}, {"0.17.3", false}} {
		t.Run(tc.from, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, testdb.Upstream(t, tc.from, ""))
			old := s.worker(tc.from, "work")
			held := s.add("work", true)
			old.holds(held)
			young := s.worker("0.18.0", "new")
			ledger := s.ledger()
			if len(ledger) != 20 {
				t.Errorf("the ledger has %d revisions, want 20", len(ledger))
			}
			s.run(0, "migrate", "validate")
			s.run(3, "migrate", "status")
			s.run(0, "migrate", "up")
			s.run(0, "migrate", "status")
			if diff := cmp.Diff(ledger, s.ledger()); diff != "" {
				t.Errorf("up has changed the ledger: -before +after\n%s", diff)
			}
			old.release(held)
			old.finishes(held)
			if tc.stops {
				old.stops()
			} else {
				old.finishes(s.add("work", false))
			}
			young.finishes(s.add("new", false))
		})
	}
}

// Graphile Worker has a newer revision than this gwadmin knows, as it is for a producer with
// an old gwadmin on a new schema.
func TestOrderAhead(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	s := newSite(t, testdb.Ours(""))
	s.add("other", false)

	s.exec("insert into graphile_worker.migrations (id, breaking) values (21, false)")
	got := s.run(0, "migrate", "up")
	contains(t, "up says", got.Stderr, "revision 21, newer than this gwadmin knows")
	s.run(0, "migrate", "validate")
	w := s.worker("0.18.0", "work")
	w.finishes(s.add("work", false))
	if _, err := admin.New(s.pool).AddJob(s.ctx, "other", nil, nil); err != nil {
		t.Errorf("a producer that starts: %v", err)
	}
	w.stop()

	s.exec("update graphile_worker.migrations set breaking = true where id = 21")
	s.run(5, "migrate", "up")
	s.run(5, "migrate", "validate")
	s.run(5, "jobs", "add", "other", "--yes")
	contains(t, "a worker that starts", s.refused("0.18.0"), "breaking migration 21")
	if _, err := admin.New(s.pool).AddJob(s.ctx, "other", nil, nil); !errors.Is(err, admin.ErrRevisionTooNew) {
		t.Errorf("a producer that starts: %v, want ErrRevisionTooNew", err)
	}
	s.add("other", false) // a producer that has been running goes on
	if n := s.jobs(); n != 3 {
		t.Errorf("there are %d jobs, want 3", n)
	}
}

// A rollback: workers go back to the release before, unless a breaking revision is between.
// Producers go on, and the schema stays.
func TestOrderRollback(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	s := newSite(t, testdb.Ours(""))
	ledger := s.ledger()
	young := s.worker("0.18.0", "work")
	held := s.add("work", true)
	young.holds(held)
	old := s.worker("0.17.3", "old") // beside the new one, which still holds a job
	old.finishes(s.add("old", false))
	young.release(held)
	young.finishes(held)
	young.stop()
	left := s.add("work", false)
	again := s.worker("0.17.3", "work")
	again.finishes(left)
	again.logs("schema revision 20")
	contains(t, "a worker from before the breaking revision", s.refused("0.16.6"), "breaking migration 19")
	if diff := cmp.Diff(ledger, s.ledger()); diff != "" {
		t.Errorf("the ledger: -before +after\n%s", diff)
	}
	s.run(0, "migrate", "validate")
}

// down is no rollback: it drops the jobs, beneath the workers.
func TestOrderDown(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	s := newSite(t, testdb.Ours(""))
	w := s.worker("0.18.0", "work")
	held := s.add("work", true)
	w.holds(held)

	// Back to an earlier migration no job is lost, and the workers go on.
	s.run(0, "migrate", "down", "--to", "3", "--yes")
	w.finishes(s.add("work", false))
	s.run(0, "migrate", "up")

	got := s.run(7, "migrate", "down")
	contains(t, "down says", got.Stderr, "1 job would be lost, 1 of them held by workers")
	if n := s.jobs(); n != 1 {
		t.Fatalf("there are %d jobs, want 1", n)
	}
	s.run(0, "migrate", "down", "--yes")
	if _, err := s.producer.AddJob(s.ctx, "work", nil, nil); !errors.Is(err, admin.ErrNotInstalled) {
		t.Errorf("a producer afterwards: %v, want ErrNotInstalled", err)
	}
	w.release(held)
	if _, err := w.Finished(s.ctx); err != nil {
		t.Error(err)
	}
	s.run(0, "migrate", "up")
	w.stops() // told so by the first revision
	if n := s.jobs(); n != 0 {
		t.Errorf("%d jobs came back", n)
	}
	s.worker("0.18.0", "work").finishes(s.add("work", false))
}

// A new task: producers may come first, since its jobs wait for workers that know it. A task
// that goes: workers must come last, after its last job.
func TestOrderTasks(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	s := newSite(t, testdb.Ours(""))
	declared := filepath.Join(t.TempDir(), "tasks.txt")
	declare := func(tasks string) {
		if err := os.WriteFile(declared, []byte(tasks), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := s.worker("0.18.0", "gone", "work")
	waits := s.add("new", false)
	old.finishes(s.add("work", false)) // which came later
	declare("gone\nwork\n")
	contains(t, "tasks says", s.run(4, "tasks", "--declared-file", declared).Stdout, "new")
	young := s.worker("0.18.0", "work", "new")
	young.finishes(waits)

	declare("work\nnew\n")
	last := s.add("gone", true)
	old.holds(last)
	s.run(4, "tasks", "--declared-file", declared)
	old.release(last)
	old.finishes(last)
	s.run(0, "tasks", "--declared-file", declared)
}
