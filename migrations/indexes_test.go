package migrations_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// indexStates are the indexes' states by their names.
func (b *bench) indexStates() map[string]migrations.IndexState {
	b.Helper()
	indexes, err := b.migrator.Indexes().List(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	states := map[string]migrations.IndexState{}
	for _, index := range indexes {
		states[index.Name] = index.State
		if index.Bytes > 0 && index.State == migrations.IndexAbsent || index.Bytes == 0 && index.State == migrations.IndexPresent {
			b.Errorf("%s is %s and has %d bytes", index.Name, index.State, index.Bytes)
		}
	}
	return states
}

// allIndexes are all of them in one state, but for some.
func allIndexes(state migrations.IndexState, but map[string]migrations.IndexState) map[string]migrations.IndexState {
	states := map[string]migrations.IndexState{}
	for _, name := range migrations.IndexNames() {
		states[name] = state
		if other, ok := but[name]; ok {
			states[name] = other
		}
	}
	return states
}

func (b *bench) checkIndexes(reason string, want map[string]migrations.IndexState) {
	b.Helper()
	if diff := cmp.Diff(want, b.indexStates()); diff != "" {
		b.Errorf("%s: -want +got\n%s", reason, diff)
	}
}

func touched(steps []migrations.IndexStep) (names []string) {
	for _, step := range steps {
		names = append(names, step.Index)
	}
	return names
}

// addIndexes adds all, and compares the plan with what was started and done.
func (b *bench) addIndexes(m *migrations.Migrator) []migrations.IndexStep {
	b.Helper()
	planned, err := m.Indexes().Add(b.ctx, migrations.IndexNames(), &migrations.IndexOptions{DryRun: true})
	if err != nil {
		b.Fatal(err)
	}
	started := []migrations.IndexStep{}
	done, err := m.Indexes().Add(b.ctx, migrations.IndexNames(), &migrations.IndexOptions{
		Started: func(step migrations.IndexStep) { started = append(started, step) },
	})
	if err != nil {
		b.Fatal(err)
	}
	if diff := cmp.Diff(planned, done); diff != "" {
		b.Errorf("AddIndexes: -planned +done\n%s", diff)
	}
	if diff := cmp.Diff(planned, started); diff != "" {
		b.Errorf("AddIndexes: -planned +started\n%s", diff)
	}
	return done
}

// testIndexes adds and removes all indexes of an installed schema.
func testIndexes(b *bench) {
	b.Helper()
	before := b.objects()
	b.checkIndexes("at first", allIndexes(migrations.IndexAbsent, nil))
	if diff := cmp.Diff(migrations.IndexNames(), touched(b.addIndexes(b.migrator))); diff != "" {
		b.Errorf("AddIndexes: -want +got\n%s", diff)
	}
	b.checkIndexes("added", allIndexes(migrations.IndexPresent, nil))
	if again := b.addIndexes(b.migrator); len(again) > 0 {
		b.Errorf("adding them again did %v", again)
	}
	removed, err := b.migrator.Indexes().Remove(b.ctx, migrations.IndexNames(), nil)
	if err != nil {
		b.Fatal(err)
	}
	if diff := cmp.Diff(migrations.IndexNames(), touched(removed)); diff != "" {
		b.Errorf("RemoveIndexes: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(len(before), len(b.objects())); diff != "" {
		b.Errorf("objects after removing: -want +got\n%s", diff)
	}
	if again, err := b.migrator.Indexes().Remove(b.ctx, migrations.IndexNames(), nil); err != nil || len(again) > 0 {
		b.Errorf("removing them again did %v (%v)", again, err)
	}
}

func TestIndexes(t *testing.T) {
	t.Parallel()
	for _, schema := range schemaNames {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			b := benchOn(t, pgtest.Pool(t, nil), schema)
			b.up()
			testIndexes(b)
		})
	}
	for _, version := range []string{"0.16.6", "0.17.3", "0.18.0"} {
		t.Run("npm "+version, func(t *testing.T) {
			t.Parallel()
			testIndexes(newBench(t, testdb.Upstream(t, version, "")))
		})
	}
	t.Run("a single connection", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, testdb.Ours(""), func(c *pgxpool.Config) { c.MaxConns = 1 })
		settings := "select string_agg(name || '=' || setting, ' ' order by name) from pg_catalog.pg_settings where source = 'session'"
		before := rowsOf[*string](b, settings)
		testIndexes(b)
		if diff := cmp.Diff(before, rowsOf[*string](b, settings)); diff != "" {
			t.Errorf("the session's settings: -before +after\n%s", diff)
		}
	})
}

// The definitions are the same in every server's words.
func TestIndexesOnEveryServer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("may download servers")
	}
	for major := 13; major <= 18; major++ {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			testIndexes(benchOn(t, pgtest.Server(t, major).Pool(t, testdb.Ours("")), graphile.DefaultSchema))
		})
	}
}

// The indexes disturb no other installer and no worker, and Down drops them.
func TestIndexesBesideOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Upstream(t, "0.17.3", ""))
	b.addIndexes(b.migrator)
	b.up()
	b.checkValid()
	unchanged := b.unchanged()
	b.up()
	b.install("0.18.0")
	unchanged()
	worker, err := upstream.Start(b, "0.18.0", b.url, b.schema).StartWorker(b.ctx, upstream.WorkerOptions{Tasks: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	id := rowsOf[int64](b, "select id from graphile_worker.add_job('t', queue_name => 'q', job_key => 'k')")[0]
	if job, err := worker.Finished(b.ctx); err != nil || job.ID != id || job.Error != "" {
		t.Errorf("the worker finished %+v (%v), want job %d", job, err, id)
	}
	if err := worker.Stop(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.checkIndexes("after the worker", allIndexes(migrations.IndexPresent, nil))
	b.down(migrations.DownOptions{})
	if left := rowsOf[string](b, "select nspname::text from pg_catalog.pg_namespace where nspname = $1", b.schema); len(left) > 0 {
		t.Errorf("down left schema %s", left)
	}
}

// A build that is cancelled leaves an invalid index, which the next one replaces.
func TestAddIndexesInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	const name = "gwadmin_jobs_run_at"
	writer := b.begin()
	if _, err := writer.Exec(b.ctx, "insert into graphile_worker._private_tasks (identifier) values ('t')"); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Exec(b.ctx, "insert into graphile_worker._private_jobs (task_id) select id from graphile_worker._private_tasks"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	other := b.another()
	go func() {
		_, err := other.migrator.Indexes().Add(ctx, []string{name}, nil)
		ended <- err
	}()
	for b.indexStates()[name] != migrations.IndexBuilding { // it waits for the writer
		time.Sleep(5 * time.Millisecond)
	}
	for reason, change := range map[string]func(context.Context, []string, *migrations.IndexOptions) ([]migrations.IndexStep, error){
		"add": b.migrator.Indexes().Add, "remove": b.migrator.Indexes().Remove,
	} {
		if _, err := change(b.ctx, []string{name}, nil); !errors.Is(err, migrations.ErrLocked) {
			t.Errorf("%s while it is being built: %v, want ErrLocked", reason, err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the interrupted build ended with %v", err)
	}
	for b.indexStates()[name] == migrations.IndexBuilding {
		time.Sleep(5 * time.Millisecond)
	}
	if err := writer.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	invalid := map[string]migrations.IndexState{name: migrations.IndexInvalid}
	b.checkIndexes("interrupted", allIndexes(migrations.IndexAbsent, invalid))
	done := b.addIndexes(b.migrator)
	for _, step := range done {
		if want := map[bool]int{true: 2, false: 1}[step.Index == name]; len(step.SQL) != want {
			t.Errorf("%s took %q, want %d statements", step.Index, step.SQL, want)
		}
	}
	b.checkIndexes("anew", allIndexes(migrations.IndexPresent, nil))
}

// Something else that has the name of an index is left unchanged.
func TestIndexesTaken(t *testing.T) {
	t.Parallel()
	for reason, sql := range map[string]string{
		"other columns":   "create index gwadmin_jobs_key on graphile_worker._private_jobs (key)",
		"other predicate": "create index gwadmin_jobs_key on graphile_worker._private_jobs (key text_pattern_ops)",
		"unique":          "create unique index gwadmin_jobs_key on graphile_worker._private_jobs (key text_pattern_ops) where key is not null",
		"another table": `create table graphile_worker.gwadmin_other (key text);
			create index gwadmin_jobs_key on graphile_worker.gwadmin_other (key text_pattern_ops) where key is not null`,
		"a table": "create table graphile_worker.gwadmin_jobs_key as select 1 as one",
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			b.exec(sql)
			indexes, err := b.migrator.Indexes().List(b.ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, index := range indexes {
				if (index.State == migrations.IndexTaken) != (index.Name == "gwadmin_jobs_key") {
					t.Errorf("%s is %s", index.Name, index.State)
				}
			}
			unchanged := b.unchanged()
			_, addErr := b.migrator.Indexes().Add(b.ctx, migrations.IndexNames(), nil)
			_, removeErr := b.migrator.Indexes().Remove(b.ctx, migrations.IndexNames(), nil)
			for _, err := range []error{addErr, removeErr} {
				if !errors.Is(err, migrations.ErrIndexTaken) || !strings.Contains(err.Error(), "gwadmin_jobs_key") {
					t.Errorf("%v, want ErrIndexTaken", err)
				}
			}
			unchanged()
		})
	}
}

func TestIndexesAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	ended := make(chan error, 3)
	for range cap(ended) {
		m := b.another().migrator
		go func() {
			_, err := m.Indexes().Add(b.ctx, []string{"gwadmin_jobs_held", "gwadmin_jobs_run_at"}, nil)
			ended <- err
		}()
	}
	for range cap(ended) {
		if err := <-ended; err != nil && !errors.Is(err, migrations.ErrLocked) {
			t.Error(err)
		}
	}
	b.checkIndexes("by three at once", allIndexes(migrations.IndexAbsent, map[string]migrations.IndexState{
		"gwadmin_jobs_held": migrations.IndexPresent, "gwadmin_jobs_run_at": migrations.IndexPresent,
	}))
}

func TestIndexesRefused(t *testing.T) {
	t.Parallel()
	calls := func(m *migrations.Migrator, names ...string) map[string]func(context.Context) error {
		return map[string]func(context.Context) error{
			"add":    func(ctx context.Context) error { _, err := m.Indexes().Add(ctx, names, nil); return err },
			"remove": func(ctx context.Context) error { _, err := m.Indexes().Remove(ctx, names, nil); return err },
			"plan": func(ctx context.Context) error {
				_, err := m.Indexes().Add(ctx, names, &migrations.IndexOptions{DryRun: true})
				return err
			},
		}
	}
	all := migrations.IndexNames()
	for reason, tc := range map[string]struct {
		sql   string
		names []string
		want  error
	}{
		"no name":          {"select", nil, migrations.ErrNoIndex},
		"an unknown name":  {"select", []string{all[0], "jobs_main_index"}, migrations.ErrNoIndex},
		"nothing is there": {"drop schema graphile_worker cascade", all, migrations.ErrNotInstalled},
		"too old":          {"delete from graphile_worker.migrations where id > 17", all, migrations.ErrRevisionTooOld},
		"too new":          {"insert into graphile_worker.migrations (id, breaking) values (21, true)", all, migrations.ErrRevisionTooNew},
		"foreign":          {"drop table graphile_worker._private_jobs cascade", all, migrations.ErrForeign},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			b.exec(tc.sql)
			unchanged := b.unchanged()
			for name, call := range calls(b.migrator, tc.names...) {
				if err := call(b.ctx); !errors.Is(err, tc.want) {
					t.Errorf("%s: %v, want %v", name, err, tc.want)
				}
			}
			unchanged()
		})
	}
	t.Run("the table is not to be had", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, testdb.Ours(""))
		if _, err := b.begin().Exec(b.ctx, "lock table graphile_worker._private_jobs in share update exclusive mode"); err != nil {
			t.Fatal(err)
		}
		_, err := b.limited(migrations.Options{LockTimeout: 5 * time.Millisecond}).Indexes().Add(b.ctx, all, nil)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "55P03" {
			t.Errorf("%v, want a lock timeout", err)
		}
		b.checkIndexes("not had", allIndexes(migrations.IndexAbsent, nil))
	})
}
