package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/migrations"
)

// busyBench is a seeded database whose fresh locks are as old as they say.
func busyBench(t *testing.T, version string) (*bench, []migrations.Holder) {
	t.Helper()
	b := newBench(t, seeded(t, version))
	b.exec(`update graphile_worker._private_jobs as jobs
		set locked_at = case locked_by when 'worker-busy' then now() - interval '3 hours' when 'worker-other' then now() end
		where locked_by in ('worker-busy', 'worker-other');
		update graphile_worker._private_jobs set locked_at = now() where locked_by = 'worker-busy' and payload->>'state' = 'running'`)
	since := func(worker string) time.Time {
		return rowsOf[time.Time](b, "select min(locked_at) from graphile_worker._private_jobs where locked_by = $1", worker)[0].UTC()
	}
	return b, []migrations.Holder{
		{WorkerID: "worker-busy", Jobs: 3, Oldest: since("worker-busy")},
		{WorkerID: "worker-other", Jobs: 1, Oldest: since("worker-other")},
	}
}

const unlock = "update graphile_worker._private_jobs set locked_at = null, locked_by = null where locked_by in ('worker-busy', 'worker-other')"

func (b *bench) upIdle(ctx context.Context, wait *time.Duration) (*migrations.UpResult, error) {
	return b.migrator.Up(ctx, &migrations.UpOptions{WaitIdle: wait})
}

func TestWaitIdleRefuses(t *testing.T) {
	t.Parallel()
	b, holders := busyBench(t, "0.16.6")
	unchanged := b.unchanged()
	want := migrations.BusyError{Schema: b.schema, Revision: 19, Holders: holders}
	for _, wait := range []time.Duration{0, 300 * time.Millisecond} {
		start := time.Now()
		result, err := b.upIdle(b.ctx, &wait)
		if took := time.Since(start); took < wait || took > wait+10*time.Second {
			t.Errorf("it waited %s, want %s", took, wait)
		}
		var got *migrations.BusyError
		if !errors.As(err, &got) || !errors.Is(err, migrations.ErrBusy) {
			t.Fatalf("wait %s: got %+v and %v, want a BusyError", wait, result, err)
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("wait %s: -want +got\n%s", wait, diff)
		}
		text := fmt.Sprintf(`migrate up: workers hold jobs in schema "graphile_worker", and the pending revision 19 is a breaking one: `+
			"worker-busy holds 3 since %s, worker-other holds 1 since %s: stop the workers, wait for them, or go on regardless",
			holders[0].Oldest.Format(time.RFC3339), holders[1].Oldest.Format(time.RFC3339))
		if diff := cmp.Diff(text, err.Error()); diff != "" {
			t.Errorf("wait %s: text: -want +got\n%s", wait, diff)
		}
		unchanged()
	}
	if _, err := b.upIdle(b.ctx, nil); err != nil {
		t.Errorf("who does not ask is kept: %v", err)
	}
	b.checkCatalog()
}

// Up holds no lock while it waits, and goes on when no worker holds a job.
func TestWaitIdleWaits(t *testing.T) {
	t.Parallel()
	b, _ := busyBench(t, "0.16.6")
	other, result := b.another(), make(chan error, 1)
	go func() {
		_, err := other.upIdle(b.ctx, new(time.Minute))
		result <- err
	}()
	for other.pool.Stat().AcquireCount() < 2 { // the second look
		time.Sleep(time.Millisecond)
	}
	b.exec(unlock + " and locked_by <> 'worker-other'")
	for looks := other.pool.Stat().AcquireCount(); other.pool.Stat().AcquireCount() < looks+2; {
		time.Sleep(time.Millisecond)
	}
	for held := 1; held > 0; { // but for the moment of a look
		held = rowsOf[int](b, `select count(*)::int from pg_locks
			where database = (select oid from pg_database where datname = current_database()) and pid <> pg_backend_pid()`)[0]
	}
	select {
	case err := <-result:
		t.Fatalf("it did not wait for the other worker: %v", err)
	default:
	}
	rows := b.rows()["_private_job_queues"]
	b.exec(unlock)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	b.checkCatalog()
	b.checkLedger()
	if diff := cmp.Diff(rows, b.rows()["_private_job_queues"]); diff != "" {
		t.Errorf("queues: -before +after\n%s", diff)
	}
}

// Up sees a job that is locked while it waits for another migrator.
func TestWaitIdleLooksAgain(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, wait time.Duration) (b, other *bench, result chan error) {
		b, _ = busyBench(t, "0.16.6")
		b.exec(unlock)
		plan, err := migrations.InstallPlan(nil)
		if err != nil {
			t.Fatal(err)
		}
		lock, _, _ := strings.Cut(plan.Body, "\n")
		tx := b.begin()
		if _, err := tx.Exec(b.ctx, lock); err != nil {
			t.Fatal(err)
		}
		other, result = b.another(), make(chan error, 1)
		go func() {
			_, err := other.upIdle(b.ctx, &wait)
			result <- err
		}()
		b.awaitLocks(1)
		b.exec(`update graphile_worker._private_jobs set locked_at = now(), locked_by = 'worker-other'
			where id = (select min(id) from graphile_worker._private_jobs)`)
		if err := tx.Rollback(b.ctx); err != nil {
			t.Fatal(err)
		}
		return b, other, result
	}
	t.Run("and waited for", func(t *testing.T) {
		t.Parallel()
		b, other, result := start(t, time.Minute)
		for other.pool.Stat().AcquireCount() < 3 { // it has looked, and looks again
			select {
			case err := <-result:
				t.Fatalf("it did not wait: %v; the ledger is at %v", err, b.ledger())
			case <-time.After(time.Millisecond):
			}
		}
		if diff := cmp.Diff(ledgerTo(18), b.ledger()); diff != "" {
			t.Errorf("while a job is held: -want +got\n%s", diff)
		}
		b.exec(unlock)
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		b.checkCatalog()
		b.checkLedger()
	})
	for _, wait := range []time.Duration{0, 300 * time.Millisecond} {
		t.Run("and refused after "+wait.String(), func(t *testing.T) {
			t.Parallel()
			b, _, result := start(t, wait)
			var busy *migrations.BusyError
			if err := <-result; !errors.As(err, &busy) || len(busy.Holders) != 1 || busy.Holders[0].WorkerID != "worker-other" {
				t.Errorf("got %v, want a BusyError", err)
			}
			if diff := cmp.Diff(ledgerTo(18), b.ledger()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestWaitIdleCancelled(t *testing.T) {
	t.Parallel()
	b, _ := busyBench(t, "0.16.6")
	unchanged := b.unchanged()
	ctx, cancel := context.WithTimeout(b.ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := b.upIdle(ctx, new(time.Minute)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
	unchanged()
}

// Held jobs matter only if a breaking revision is pending.
func TestWaitIdlePasses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		start  func(*testing.T) *bench
	}{
		{"nothing is installed", func(t *testing.T) *bench { return newBench(t, nil) }},
		{"an empty ledger", func(t *testing.T) *bench {
			b := newBench(t, nil)
			b.exec("create schema graphile_worker; create table graphile_worker.migrations (id int primary key, ts timestamptz default now() not null, breaking boolean not null default false)")
			return b
		}},
		{"stale locks do not count", func(t *testing.T) *bench {
			b, _ := busyBench(t, "0.16.6")
			b.exec(unlock)
			if rowsOf[int](b, "select count(*)::int from graphile_worker._private_jobs where locked_at is not null")[0] == 0 {
				t.Fatal("the seed has no stale lock")
			}
			return b
		}},
		{"0.17 has been through it", func(t *testing.T) *bench { b, _ := busyBench(t, "0.17.3"); return b }},
		{"0.18, too", func(t *testing.T) *bench { b, _ := busyBench(t, "0.18.0"); return b }},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := tc.start(t)
			for _, want := range [][]migrations.Migration{allMigrations, {}} {
				got, err := b.upIdle(b.ctx, new(time.Duration(0)))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got.Applied); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			}
			b.checkCatalog()
		})
	}
}

// Up refuses an unsupported revision without waiting for workers.
func TestWaitIdleOfOtherRevisions(t *testing.T) {
	t.Parallel()
	b, _ := busyBench(t, "0.16.6")
	b.exec("delete from graphile_worker.migrations where id > 17; update graphile_worker.migrations set ts = now() - interval '1 year'")
	if _, err := b.upIdle(b.ctx, new(time.Minute)); !errors.Is(err, migrations.ErrRevisionTooOld) {
		t.Errorf("got %v, want ErrRevisionTooOld", err)
	}
}
