package migrations_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

func TestUpOnNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	want := &migrations.UpResult{Applied: allMigrations, Before: 0, After: 20}
	if diff := cmp.Diff(want, b.up()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	testAgain(b)
}

func TestUpConverges(t *testing.T) {
	t.Parallel()
	for _, version := range upstream.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, seeded(t, version))
			rows, ledger := b.rows(), b.allRows()["migrations"]

			want := &migrations.UpResult{Applied: allMigrations, Before: upstream.Revision(version), After: 20}
			if diff := cmp.Diff(want, b.up()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			b.checkCatalog()
			b.checkLedger()
			if diff := cmp.Diff(rows, b.rows()); diff != "" {
				t.Errorf("rows: -before +after\n%s", diff)
			}
			// Text sorts {"id":19 behind {"id":1, so look for each old row.
			kept := make(map[string]bool)
			for _, row := range b.allRows()["migrations"] {
				kept[row] = true
			}
			for _, row := range ledger {
				if !kept[row] {
					t.Errorf("the ledger's row %s has changed", row)
				}
			}
			testAgain(b)
		})
	}
}

// testAgain runs both installers on a migrated schema, where there is nothing to
// do, and then a JavaScript worker.
func testAgain(b *bench) {
	b.Helper()
	unchanged := b.unchanged()
	want := &migrations.UpResult{Applied: []migrations.Migration{}, Before: 20, After: 20}
	if diff := cmp.Diff(want, b.up()); diff != "" {
		b.Errorf("Up again: -want +got\n%s", diff)
	}
	unchanged()
	upstream.Ensure(b)
	b.install("0.18.0")
	unchanged()

	driver := upstream.Start(b, "0.18.0", b.url, b.schema)
	worker, err := driver.StartWorker(b.ctx, upstream.WorkerOptions{Tasks: []string{"greet"}})
	if err != nil {
		b.Fatal(err)
	}
	id := rowsOf[int64](b, "select id from graphile_worker.add_job('greet')")[0]
	job, err := worker.Finished(b.ctx)
	if err != nil || job.ID != id || job.Error != "" {
		b.Errorf("the worker finished %+v (%v), want job %d", job, err, id)
	}
	if left := rowsOf[int](b, "select count(*)::int from graphile_worker._private_jobs where id = $1", id); left[0] > 0 {
		b.Error("the job is still there")
	}
	if logs := driver.Logs(); len(logs) > 0 {
		b.Errorf("the worker logged %v", logs)
	}
}

// An installer that broke off between creating its ledger and the first
// revision left nothing to take over.
func TestUpOnEmptyLedger(t *testing.T) {
	t.Parallel()
	for reason, sql := range map[string]string{
		"only the schema": "create schema graphile_worker",
		"an empty ledger": `create schema graphile_worker;
			create table graphile_worker.migrations (id int primary key, ts timestamptz default now() not null);
			alter table graphile_worker.migrations add column breaking boolean not null default false`,
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.exec(sql)
			want := &migrations.UpResult{Applied: allMigrations, Before: 0, After: 20}
			if diff := cmp.Diff(want, b.up()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			b.checkCatalog()
			b.checkLedger()
		})
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	pending := &migrations.Status{Schema: "graphile_worker", Migrations: allMigrations}
	b := newBench(t, nil)
	check := func(want *migrations.Status) {
		t.Helper()
		got, err := b.migrator.Status(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, justNow); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
	check(pending)
	b.install("0.16.6")
	check(&migrations.Status{Schema: "graphile_worker", Revision: 18, Breaking: 16, Migrations: allMigrations})
	b.up()
	check(&migrations.Status{Schema: "graphile_worker", Revision: 20, Breaking: 19, Migrations: appliedMigrations()})
	b.down(migrations.DownOptions{To: 2})
	half := append(appliedMigrations()[:2:2], allMigrations[2:]...)
	check(&migrations.Status{Schema: "graphile_worker", Revision: 20, Breaking: 19, Migrations: half})
	got, err := b.migrator.Status(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(allMigrations[2:], got.Pending()); diff != "" {
		t.Errorf("pending: -want +got\n%s", diff)
	}
	b.down(migrations.DownOptions{})
	check(pending)
}

func TestUpNotifies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason, on string
		from       int // the first revision that is announced
	}{
		{"all revisions are new to an empty database", "", 1},
		{"0.16.6 lacks two", "0.16.6", 19},
		{"0.17.3 lacks one", "0.17.3", 20},
		{"0.18.0 lacks none", "0.18.0", 21},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			var template *pgtest.Template
			if tc.on != "" {
				template = seeded(t, tc.on)
			}
			b := newBench(t, template)
			conn, err := b.pool.Acquire(b.ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			if _, err := conn.Exec(b.ctx, `listen "worker:migrate"`); err != nil {
				t.Fatal(err)
			}
			b.up()
			b.up()
			b.exec(`notify "worker:migrate", 'the end'`)

			var want, got []string
			for _, r := range ledgerTo(20)[tc.from-1:] {
				want = append(want, fmt.Sprintf(`{"migrationNumber":%d,"breaking":%t}`, r.ID, r.Breaking))
			}
			for {
				n, err := conn.Conn().WaitForNotification(b.ctx)
				if err != nil {
					t.Fatal(err)
				}
				if n.Payload == "the end" {
					break
				}
				got = append(got, n.Payload)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// Workers obey the notifications: the breaking revision 19 stops those of 0.16,
// and revision 20 leaves those of 0.17 at work.
func TestUpStopsWorkers(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	start := func(t *testing.T, version string) (*bench, *upstream.Worker) {
		t.Parallel()
		b := newBench(t, nil)
		b.install(version)
		worker, err := upstream.Start(t, version, b.url, b.schema).
			StartWorker(b.ctx, upstream.WorkerOptions{Tasks: []string{"greet"}})
		if err != nil {
			t.Fatal(err)
		}
		return b, worker
	}
	t.Run("0.16.6", func(t *testing.T) {
		b, worker := start(t, "0.16.6")
		b.up()
		select {
		case <-worker.Done():
		case <-b.ctx.Done():
			t.Error("the worker goes on")
		}
	})
	t.Run("0.17.3", func(t *testing.T) {
		b, worker := start(t, "0.17.3")
		b.up()
		id := rowsOf[int64](b, "select id from graphile_worker.add_job('greet')")[0]
		if job, err := worker.Finished(b.ctx); err != nil || job.ID != id || job.Error != "" {
			t.Errorf("the worker finished %+v (%v), want job %d", job, err, id)
		}
	})
}
