package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// psql runs a script with psql, or through the pool if psql is not installed.
func (b *bench) psql(script string) error {
	path, err := exec.LookPath("psql")
	if err != nil {
		_, err := b.pool.Exec(b.ctx, script, pgx.QueryExecModeSimpleProtocol)
		return err
	}
	cmd := exec.CommandContext(b.ctx, path, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", b.url)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w\n%s", err, out)
	}
	return nil
}

func (b *bench) plan() *migrations.Plan {
	b.Helper()
	plan, err := b.migrator.Plan(b.ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	return plan
}

// script is the plan's script for this database.
func (b *bench) script() string {
	b.Helper()
	return b.plan().Script
}

// A gooseTable is Goose's version table: what it is made of, and its rows.
type gooseTable struct {
	Columns, Constraints []string
	Sequence             string
	Rows                 []gooseRow
}

type gooseRow struct {
	ID, Version int64
	Applied     bool
	At          time.Time
}

func (b *bench) gooseTable() gooseTable {
	b.Helper()
	name := pgx.Identifier{b.schema, migrations.VersionTable}.Sanitize()
	of := func(sql string) []string {
		b.Helper()
		return rowsOf[string](b, sql, name)
	}
	rows, err := b.pool.Query(b.ctx, "select id::bigint, version_id, is_applied, tstamp at time zone 'UTC' from "+name+" order by id")
	if err != nil {
		b.Fatal(err)
	}
	records, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r gooseRow, err error) {
		err = row.Scan(&r.ID, &r.Version, &r.Applied, &r.At)
		r.At = r.At.UTC()
		return r, err
	})
	if err != nil {
		b.Fatal(err)
	}
	return gooseTable{
		Columns: of(`
			select pg_catalog.concat_ws(' ', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
				a.attidentity, pg_catalog.pg_get_expr(d.adbin, d.adrelid))
			from pg_catalog.pg_attribute as a
			left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
			where a.attrelid = $1::text::regclass and a.attnum > 0 order by a.attnum`),
		Constraints: of(`select conname || ' ' || pg_catalog.pg_get_constraintdef(oid)
			from pg_catalog.pg_constraint where conrelid = $1::text::regclass order by 1`),
		Sequence: of("select pg_catalog.pg_get_serial_sequence($1, 'id')")[0],
		Rows:     records,
	}
}

// A script that psql runs has the same result as Up.
func TestScript(t *testing.T) {
	t.Parallel()
	type start struct{ on, schema string }
	starts := []start{{"", schemaNames[1]}, {"", schemaNames[2]}, {"", schemaNames[3]}, {"0.16.6", schemaNames[1]}, {"0.16.6", schemaNames[2]}}
	for _, on := range slices.Concat([]string{""}, upstream.Versions) {
		starts = append(starts, start{on, schemaNames[0]})
	}
	for _, s := range starts {
		t.Run(fmt.Sprintf("%q in %s", s.on, s.schema), func(t *testing.T) {
			t.Parallel()
			begin := func() *bench {
				switch {
				case s.on == "":
					return benchOn(t, pgtest.Pool(t, nil), s.schema)
				case s.schema == schemaNames[0]:
					return newBench(t, seeded(t, s.on))
				}
				upstream.Ensure(t)
				b := benchOn(t, pgtest.Pool(t, nil), s.schema)
				b.install(s.on)
				return b
			}
			up, b := begin(), begin()
			up.up()

			var rows map[string][]string
			if s.on != "" {
				rows = b.rows()
			}
			script := b.script()
			if s.on == "" {
				install, err := migrations.InstallPlan(&migrations.Options{Schema: s.schema})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(install, b.plan()); diff != "" {
					t.Errorf("on nothing: -InstallPlan +Plan\n%s", diff)
				}
			}
			if err := b.psql(script); err != nil {
				t.Fatal(err)
			}
			b.checkCatalog()
			if diff := cmp.Diff(up.ledger(), b.ledger()); diff != "" {
				t.Errorf("ledger: -Up +script\n%s", diff)
			}
			if diff := cmp.Diff(up.gooseTable(), b.gooseTable(), justNow); diff != "" {
				t.Errorf("Goose's table: -Up +script\n%s", diff)
			}
			if rows != nil {
				if diff := cmp.Diff(rows, b.rows()); diff != "" {
					t.Errorf("rows: -before +after\n%s", diff)
				}
			}
			unchanged := b.unchanged()
			if diff := cmp.Diff(&migrations.UpResult{Applied: []migrations.Migration{}, Before: 20, After: 20}, b.up()); diff != "" {
				t.Errorf("Up after it: -want +got\n%s", diff)
			}
			unchanged()
			if b.script() != "" {
				t.Error("there is still something to run")
			}

			before := b.allRows()
			if err := b.psql(script); err != nil {
				t.Fatalf("again: %v", err)
			}
			b.checkCatalog()
			if diff := cmp.Diff(before, b.allRows()); diff != "" {
				t.Errorf("again, rows: -before +after\n%s", diff)
			}
			if diff := cmp.Diff(downwards(), b.down(migrations.DownOptions{LoseJobs: 1000})); diff != "" {
				t.Errorf("Down after it: -want +got\n%s", diff)
			}
		})
	}
}

// A plan begins with the first pending migration.
func TestPlan(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	all := b.plan().Steps
	var got []migrations.Migration
	for _, step := range all {
		got = append(got, migrations.Migration{Version: step.Version, Name: step.Name})
		if step.SQL == "" || strings.Contains(step.SQL, "+goose") {
			t.Errorf("step %d is %q", step.Version, step.SQL)
		}
	}
	if diff := cmp.Diff(allMigrations, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	b.up()
	if diff := cmp.Diff(&migrations.Plan{Steps: []migrations.Step{}}, b.plan()); diff != "" {
		t.Errorf("after Up: -want +got\n%s", diff)
	}
	b.down(migrations.DownOptions{To: 2})
	unchanged := b.unchanged()
	rest := b.plan()
	if diff := cmp.Diff(all[2:], rest.Steps); diff != "" {
		t.Errorf("after Down to 2: -want +got\n%s", diff)
	}
	upToThree, err := b.migrator.Plan(b.ctx, &migrations.UpOptions{To: new(int64(3))})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all[2:3], upToThree.Steps); diff != "" {
		t.Errorf("up to 3: -want +got\n%s", diff)
	}
	unchanged()
	if err := b.psql(rest.Script); err != nil {
		t.Fatal(err)
	}
	b.checkCatalog()
	if applied := b.up().Applied; len(applied) > 0 {
		t.Errorf("Up applied %v", applied)
	}
}

func TestPlanOfOtherRevisions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason, sql string
		want        error
	}{
		{"too old for Up", "delete from graphile_worker.migrations where id > 17", migrations.ErrRevisionTooOld},
		{"too new for Up", "insert into graphile_worker.migrations (id, breaking) values (21, true)", migrations.ErrRevisionTooNew},
		{"Up leaves it as it is", "insert into graphile_worker.migrations (id, breaking) values (21, false)", nil},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, seeded(t, "0.18.0"))
			b.exec(tc.sql)
			unchanged := b.unchanged()
			plan, err := b.migrator.Plan(b.ctx, nil)
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			var want *migrations.Plan
			if tc.want == nil {
				want = &migrations.Plan{Steps: []migrations.Step{}}
			}
			if diff := cmp.Diff(want, plan); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			unchanged()
		})
	}
}

// A script sends workers the same notifications as Up.
func TestScriptNotifies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		on   string
		from int // the first revision that is announced
	}{{"", 1}, {"0.16.6", 19}, {"0.17.3", 20}, {"0.18.0", 21}} {
		t.Run(tc.on, func(t *testing.T) {
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
			script := b.script()
			for range 2 {
				if err := b.psql(script); err != nil {
					t.Fatal(err)
				}
			}
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

// Scripts and Up wait for each other.
func TestScriptBesideUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	plan := b.plan()
	first := b.begin()
	if _, err := first.Exec(b.ctx, plan.Body, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := b.psql(plan.Script); err != nil {
				t.Error(err)
			}
		})
		other := b.another()
		wg.Go(func() {
			if _, err := other.migrator.Up(b.ctx, nil); err != nil {
				t.Error(err)
			}
		})
	}
	b.awaitLocks(4)
	if err := first.Commit(b.ctx); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	b.checkCatalog()
	b.checkLedger()
	var versions []int64
	for _, row := range b.gooseTable().Rows {
		versions = append(versions, row.Version)
	}
	if diff := cmp.Diff([]int64{0, 1, 2, 3, 4}, versions); diff != "" {
		t.Errorf("versions: -want +got\n%s", diff)
	}
}

// A script that fails changes nothing, and it needs the rights that Up needs.
func TestScriptAsRole(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	role := b.role("owner")
	script := "set role " + pgx.Identifier{role}.Sanitize() + ";\n" + b.script()
	unchanged := b.unchanged()
	if err := b.psql(script); err == nil {
		t.Error("a role without rights may run it")
	}
	unchanged()
	b.exec("create schema graphile_worker authorization " + pgx.Identifier{role}.Sanitize())
	if err := b.psql(script); err != nil {
		t.Error(err)
	}
	b.checkCatalog()
}

func TestScriptLimits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason  string
		options migrations.Options
		want    []string
	}{
		{"the default", migrations.Options{}, []string{"set local lock_timeout = '5000ms';"}},
		{
			"a part of a second is not none",
			migrations.Options{LockTimeout: 300 * time.Millisecond, StatementTimeout: time.Microsecond},
			[]string{"set local lock_timeout = '300ms';", "set local statement_timeout = '1ms';"},
		},
		{
			"more than PostgreSQL takes",
			migrations.Options{LockTimeout: 1e6 * time.Hour},
			[]string{"set local lock_timeout = '2147483647ms';"},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			plan, err := migrations.InstallPlan(&tc.options)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(plan.Script) {
				if strings.Contains(line, "_timeout") {
					got = append(got, strings.TrimSpace(line))
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestInstallPlanRefuses(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"pg_jobs", "a\nb", strings.Repeat("x", 64)} {
		if plan, err := migrations.InstallPlan(&migrations.Options{Schema: schema}); err == nil || plan != nil {
			t.Errorf("schema %q: got a plan and the error %v", schema, err)
		}
	}
}

func TestDownDryRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, seeded(t, "0.17.3"))
	check := func(to int64, want migrations.DownResult) {
		t.Helper()
		want.DryRun = true
		unchanged := b.unchanged()
		got, err := b.migrator.Down(b.ctx, migrations.DownOptions{To: to, DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got, justNow); diff != "" {
			t.Errorf("to %d: -want +got\n%s", to, diff)
		}
		unchanged()
	}
	check(0, migrations.DownResult{Undone: []migrations.Migration{}}) // Graphile Worker's, of which nothing is ours
	b.up()
	jobs := rowsOf[int64](b, "select count(*) from graphile_worker._private_jobs")[0]
	locked := rowsOf[int64](b, "select count(*) from graphile_worker._private_jobs where locked_by is not null")[0]
	if jobs <= locked || locked == 0 {
		t.Fatalf("the seed is no test: %d jobs, %d locked", jobs, locked)
	}
	undo := appliedMigrations()
	slices.Reverse(undo)
	check(0, migrations.DownResult{Undone: undo, Jobs: jobs, Locked: locked})
	for to := range int64(4) {
		check(to+1, migrations.DownResult{Undone: undo[: 3-to : 3-to]})
	}
	for _, to := range []int64{-1, 5} {
		if plan, err := b.migrator.Down(b.ctx, migrations.DownOptions{To: to, DryRun: true}); !errors.Is(err, migrations.ErrNoMigration) {
			t.Errorf("to %d: got %+v and %v, want ErrNoMigration", to, plan, err)
		}
	}
}

func TestUpTo(t *testing.T) {
	t.Parallel()
	for _, version := range slices.Concat([]string{""}, upstream.Versions) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var template *pgtest.Template
			before := upstream.Revision(version)
			if version != "" {
				template = seeded(t, version)
			}
			for to := range int64(4) {
				b := newBench(t, template)
				want := &migrations.UpResult{Applied: allMigrations[:to+1], Before: before, After: 20}
				got, err := b.migrator.Up(b.ctx, &migrations.UpOptions{To: new(to + 1)})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("to %d: -want +got\n%s", to+1, diff)
				}
				unchanged := b.unchanged()
				for back := range to + 1 { // which is behind it already
					got, err := b.migrator.Up(b.ctx, &migrations.UpOptions{To: new(back + 1)})
					if err != nil || len(got.Applied) > 0 {
						t.Errorf("to %d after %d: got %+v and %v", back+1, to+1, got, err)
					}
				}
				unchanged()
				if diff := cmp.Diff(allMigrations[to+1:], b.up().Applied, equateEmpty); diff != "" {
					t.Errorf("after %d: -want +got\n%s", to+1, diff)
				}
				b.checkCatalog()
				b.checkLedger()
			}
		})
	}
	t.Run("no such migration", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, nil)
		unchanged := b.unchanged()
		for _, to := range []int64{-1, 0, 5} {
			got, err := b.migrator.Up(b.ctx, &migrations.UpOptions{To: new(to)})
			if got != nil || !errors.Is(err, migrations.ErrNoMigration) {
				t.Errorf("to %d: got %+v and %v, want ErrNoMigration", to, got, err)
			}
		}
		unchanged()
		b.up()
		if _, err := b.migrator.Up(b.ctx, &migrations.UpOptions{To: new(int64(5))}); !errors.Is(err, migrations.ErrNoMigration) {
			t.Errorf("to 5 after all: got %v, want ErrNoMigration", err)
		}
		if _, err := b.migrator.Down(b.ctx, migrations.DownOptions{To: 5}); !errors.Is(err, migrations.ErrNoMigration) {
			t.Errorf("down to 5: got %v, want ErrNoMigration", err)
		}
	})
}

// Calls that only read work while the schema is created and dropped.
func TestLooksBesideUpAndDown(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var wg sync.WaitGroup
	for name, look := range map[string]func(*migrations.Migrator) error{
		"status": func(m *migrations.Migrator) error { _, err := m.Status(b.ctx); return err },
		"plan":   func(m *migrations.Migrator) error { _, err := m.Plan(b.ctx, nil); return err },
		"down": func(m *migrations.Migrator) error {
			_, err := m.Down(b.ctx, migrations.DownOptions{DryRun: true})
			return err
		},
	} {
		other := b.another()
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := look(other.migrator); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	for range 10 {
		b.up()
		b.down(migrations.DownOptions{})
	}
	cancel()
	wg.Wait()
}
