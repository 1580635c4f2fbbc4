package migrations_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// downwards are all migrations in the order in which Down undoes them.
func downwards() []migrations.Migration {
	undone := slices.Clone(allMigrations)
	slices.Reverse(undone)
	return undone
}

func TestDownLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, schema := range schemaNames {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			b := benchOn(t, pgtest.Pool(t, nil), schema)
			unchanged := b.unchanged()
			for range 2 {
				if diff := cmp.Diff(allMigrations, b.up().Applied); diff != "" {
					t.Errorf("up: -want +got\n%s", diff)
				}
				b.checkCatalog()
				if diff := cmp.Diff(downwards(), b.down(migrations.DownOptions{})); diff != "" {
					t.Errorf("down: -want +got\n%s", diff)
				}
				unchanged()
			}
			if undone := b.down(migrations.DownOptions{}); len(undone) > 0 {
				t.Errorf("down where nothing is: undone %v", undone)
			}
			unchanged()
		})
	}
}

func TestDownWithJobs(t *testing.T) {
	t.Parallel()
	for _, version := range upstream.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, seeded(t, version))
			b.up()
			unchanged := b.unchanged()
			want := migrations.JobsLeftError{
				Schema: b.schema,
				Jobs:   rowsOf[int64](b, "select count(*) from graphile_worker._private_jobs")[0],
				Locked: rowsOf[int64](b, "select count(*) from graphile_worker._private_jobs where locked_at is not null")[0],
			}
			if want.Jobs <= want.Locked || want.Locked == 0 {
				t.Fatalf("the seed is no test: %+v", want)
			}
			undone, err := b.migrator.Down(b.ctx, migrations.DownOptions{})
			if undone != nil {
				t.Errorf("undone %v", undone)
			}
			var got *migrations.JobsLeftError
			if !errors.As(err, &got) || !errors.Is(err, migrations.ErrJobsLeft) {
				t.Fatalf("got %v, want a JobsLeftError", err)
			}
			if diff := cmp.Diff(want, *got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			unchanged()

			b.down(migrations.DownOptions{LoseJobs: 1_000_000})
			if rowsOf[bool](b, "select exists (select from pg_namespace where nspname = $1)", b.schema)[0] {
				t.Error("the schema is still there")
			}
			b.up()
			b.checkCatalog()
			if jobs := rowsOf[int](b, "select count(*)::int from graphile_worker._private_jobs")[0]; jobs > 0 {
				t.Errorf("%d jobs came back", jobs)
			}
		})
	}
	t.Run("text", func(t *testing.T) {
		err := &migrations.JobsLeftError{Schema: "jobs", Jobs: 3, Locked: 1}
		want := `jobs would be lost: schema "jobs" holds 3 jobs, 1 of them locked by workers: set LoseJobs to drop so many`
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// Each migration is undone and applied again on a schema with data, which stays.
func TestDownTo(t *testing.T) {
	t.Parallel()
	var (
		view      = []string{"view jobs ", "relation jobs ", "column jobs."}
		admins    = []string{"function complete_jobs", "function permanently_fail_jobs", "function reschedule_jobs", "function force_unlock_workers"}
		producers = []string{"function add_job", "function remove_job"}
	)
	for _, tc := range []struct {
		to   int64
		gone []string
	}{
		{4, nil},
		{3, view},
		{2, slices.Concat(view, admins)},
		{1, slices.Concat(view, admins, producers)},
	} {
		t.Run(allMigrations[tc.to-1].Name, func(t *testing.T) {
			t.Parallel()
			for _, version := range upstream.Versions {
				b := newBench(t, seeded(t, version))
				rows := b.rows()
				b.up()
				undone := b.down(migrations.DownOptions{To: tc.to})
				if diff := cmp.Diff(downwards()[:4-tc.to], undone, equateEmpty); diff != "" {
					t.Errorf("undone: -want +got\n%s", diff)
				}
				if diff := cmp.Diff(linesWithout(wantCatalog(t), tc.gone...), b.catalog()); diff != "" {
					t.Errorf("catalog: -want +got\n%s", diff)
				}
				b.checkLedger()
				if diff := cmp.Diff(allMigrations[tc.to:], b.up().Applied, equateEmpty); diff != "" {
					t.Errorf("applied: -want +got\n%s", diff)
				}
				b.checkCatalog()
				b.checkLedger()
				if diff := cmp.Diff(rows, b.rows()); diff != "" {
					t.Errorf("rows: -before +after\n%s", diff)
				}
			}
		})
	}
}

// Down does not drop what others have put beside the tables or built on them.
func TestDownSparesOthers(t *testing.T) {
	t.Parallel()
	t.Run("a table in the schema", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, nil)
		b.up()
		b.exec("create table graphile_worker.mine as select 'kept' as text")
		b.down(migrations.DownOptions{})
		want := map[string][]string{"mine": {`{"text":"kept"}`}}
		if diff := cmp.Diff(want, b.allRows()); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		b.up()
		if diff := cmp.Diff(wantCatalog(t), linesWithout(b.catalog(), " mine ", " mine.")); diff != "" {
			t.Errorf("catalog: -want +got\n%s", diff)
		}
	})
	t.Run("a function in the schema", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, nil)
		b.up()
		b.exec("create function graphile_worker.mine() returns text language sql as $$ select 'kept'::text $$")
		b.down(migrations.DownOptions{})
		if diff := cmp.Diff([]string{"kept"}, rowsOf[string](b, "select graphile_worker.mine()")); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
	t.Run("a view of the jobs", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, nil)
		b.up()
		b.exec("create view public.mine as select id from graphile_worker.jobs")
		unchanged := b.unchanged()
		var pgErr *pgconn.PgError
		if _, err := b.migrator.Down(b.ctx, migrations.DownOptions{}); !errors.As(err, &pgErr) || pgErr.Code != "2BP01" {
			t.Errorf("got %v, want SQLSTATE 2BP01 (dependent_objects_still_exist)", err)
		}
		unchanged()
	})
}

// Down counts a job that is added meanwhile.
func TestDownWaitsForProducers(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.up()
	tx := b.begin()
	if _, err := tx.Exec(b.ctx, "select graphile_worker.add_job('late')"); err != nil {
		t.Fatal(err)
	}
	other, result := b.another(), make(chan error, 1)
	go func() {
		_, err := other.migrator.Down(b.ctx, migrations.DownOptions{})
		result <- err
	}()
	b.awaitLocks(1)
	if err := tx.Commit(b.ctx); err != nil {
		t.Fatal(err)
	}
	var got *migrations.JobsLeftError
	if err := <-result; !errors.As(err, &got) {
		t.Fatalf("got %v, want a JobsLeftError", err)
	}
	if diff := cmp.Diff(migrations.JobsLeftError{Schema: b.schema, Jobs: 1}, *got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	b.checkCatalog()
}

// Down would leave behind what a newer revision has added.
func TestDownRefusesRevisions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason, sql string
		want        error
		text        string
	}{
		{"a newer breaking revision", "insert into graphile_worker.migrations (id, breaking) values (21, true)", migrations.ErrRevisionTooNew,
			`migrate down: revision too new: schema "graphile_worker" is at Graphile Worker revision 21 (breaking since 21) ` +
				"and this gwadmin knows revisions up to 20: use a gwadmin that knows it"},
		{"a newer revision", "insert into graphile_worker.migrations (id, breaking) values (21, false)", migrations.ErrRevisionTooNew,
			`migrate down: revision too new: schema "graphile_worker" is at Graphile Worker revision 21 ` +
				"and this gwadmin knows revisions up to 20: use a gwadmin that knows it"},
		{"too old", "delete from graphile_worker.migrations where id > 17", migrations.ErrRevisionTooOld,
			`migrate down: revision too old: schema "graphile_worker" is at Graphile Worker revision 17 and gwadmin needs 18 or newer: ` +
				"upgrade it with Graphile Worker 0.16.6 or newer (graphile-worker --schema-only), then try again"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, seeded(t, "0.18.0"))
			b.up()
			b.exec(tc.sql)
			unchanged := b.unchanged()
			for _, options := range []migrations.DownOptions{{LoseJobs: 1_000_000}, {To: 3}, {DryRun: true}} {
				result, err := b.migrator.Down(b.ctx, options)
				if result != nil || !errors.Is(err, tc.want) {
					t.Errorf("%+v: got %+v and %v, want %v", options, result, err, tc.want)
				} else if diff := cmp.Diff(tc.text, err.Error()); diff != "" {
					t.Errorf("%+v: -want +got\n%s", options, diff)
				}
			}
			unchanged()
		})
	}
}

func TestDownRefusesStrangeTargets(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.up()
	unchanged := b.unchanged()
	if undone, err := b.migrator.Down(b.ctx, migrations.DownOptions{To: -1}); err == nil {
		t.Errorf("to -1: undone %v", undone)
	}
	unchanged()
}
