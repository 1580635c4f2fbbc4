package migrations_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/migrations"
)

// An application's own table migrations is not taken for a ledger.
func TestForeign(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason, sql string
		believed    bool // by Validate, which says what is missing
	}{
		{reason: "names and dates", sql: `
			create table graphile_worker.migrations (id serial primary key, name text not null, run_on timestamp not null);
			insert into graphile_worker.migrations (name, run_on) select 'm' || n, now() from generate_series(1, 25) as n`},
		{reason: "nothing is in it yet", sql: `
			create table graphile_worker.migrations (id serial primary key, migration text, batch int)`},
		{reason: "ids that are no numbers", sql: `
			create table graphile_worker.migrations (id text, breaking text);
			insert into graphile_worker.migrations values ('0018_init', 'maybe'), (null, null)`},
		{reason: "times that are numbers", sql: `
			create table graphile_worker.migrations (id int primary key, ts bigint not null);
			insert into graphile_worker.migrations select n, n from generate_series(1, 25) as n`},
		{reason: "the columns of the first ledgers, in an application with jobs", sql: `
			create table graphile_worker.jobs (id int);
			create table graphile_worker.migrations (id int primary key, ts timestamptz not null default now());
			insert into graphile_worker.migrations select generate_series(1, 25)`},
		{reason: "the same in its first days", sql: `
			create table graphile_worker.jobs (id int);
			create table graphile_worker.migrations (id int primary key, ts timestamptz not null default now());
			insert into graphile_worker.migrations select generate_series(1, 7)`},
		{reason: "all of the columns, and no table of jobs", believed: true, sql: `
			create table graphile_worker.migrations (id int primary key, ts timestamptz not null default now(), breaking boolean not null default false);
			insert into graphile_worker.migrations select generate_series(1, 20)`},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.exec("create schema graphile_worker; " + tc.sql)
			role := b.role("foreign")
			unchanged := b.unchanged()
			status, err := b.migrator.Status(b.ctx)
			if err != nil {
				t.Fatal(err)
			}
			want := &migrations.Status{Schema: b.schema, Foreign: true, Migrations: allMigrations}
			if diff := cmp.Diff(want, status); diff != "" {
				t.Errorf("status: -want +got\n%s", diff)
			}
			if status.Newer() {
				t.Error("the revision is said to be newer")
			}
			const text = `schema "graphile_worker" has a table migrations that is not Graphile Worker's: choose another schema`
			for prefix, call := range map[string]func(context.Context) error{
				"":             func(context.Context) error { return status.Supported() },
				"migrate up: ": func(ctx context.Context) error { _, err := b.migrator.Up(ctx, nil); return err },
				"migrate down: ": func(ctx context.Context) error {
					_, err := b.migrator.Down(ctx, migrations.DownOptions{})
					return err
				},
				"plan: ":     func(ctx context.Context) error { _, err := b.migrator.Plan(ctx, nil); return err },
				"validate: ": func(ctx context.Context) error { _, err := b.migrator.Validate(ctx); return err },
				`grant reader to role "` + role + `": `: func(ctx context.Context) error {
					return b.migrator.Grants().Grant(ctx, migrations.Reader, role)
				},
			} {
				err := call(b.ctx)
				if tc.believed && prefix == "validate: " {
					if err != nil {
						t.Error(err)
					}
				} else if !errors.Is(err, migrations.ErrForeign) {
					t.Errorf("%sgot %v, want ErrForeign", prefix, err)
				} else if diff := cmp.Diff(prefix+text, err.Error()); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			}
			unchanged()
		})
	}
}

// Down does not drop a table migrations that has replaced the ledger since Up.
func TestForeignAfterUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.up()
	b.exec(`drop table graphile_worker.migrations;
		create table graphile_worker.migrations (id serial primary key, name text)`)
	unchanged := b.unchanged()
	for _, dryRun := range []bool{false, true} {
		if _, err := b.migrator.Down(b.ctx, migrations.DownOptions{DryRun: dryRun}); !errors.Is(err, migrations.ErrForeign) {
			t.Errorf("dry run %t: got %v, want ErrForeign", dryRun, err)
		}
	}
	unchanged()
}

// The ledgers of Graphile Worker's first releases are recognized.
func TestOldLedgers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ reason, sql string }{
		{"0.13: no breaking revisions, other names", `
			create table graphile_worker.migrations (id int primary key, ts timestamptz default now() not null);
			insert into graphile_worker.migrations select n, '2020-01-01' from generate_series(1, 10) as n`},
		{"0.15: breaking revisions, other names", `
			create table graphile_worker.migrations (id int primary key, ts timestamptz default now() not null, breaking boolean not null default false);
			insert into graphile_worker.migrations select n, '2020-01-01', n in (1, 3, 11, 13, 14) from generate_series(1, 15) as n`},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.exec("create schema graphile_worker; create table graphile_worker.job_queues (); create table graphile_worker.jobs (); " + tc.sql)
			unchanged := b.unchanged()
			status, err := b.migrator.Status(b.ctx)
			if err != nil {
				t.Fatal(err)
			}
			for name, call := range map[string]func(context.Context) error{
				"supported": func(context.Context) error { return status.Supported() },
				"up":        func(ctx context.Context) error { _, err := b.migrator.Up(ctx, nil); return err },
				"plan":      func(ctx context.Context) error { _, err := b.migrator.Plan(ctx, nil); return err },
				"down":      func(ctx context.Context) error { _, err := b.migrator.Down(ctx, migrations.DownOptions{}); return err },
				"grants":    func(ctx context.Context) error { return b.migrator.Grants().Grant(ctx, migrations.Reader, "x") },
				"indexes":   func(ctx context.Context) error { _, err := b.migrator.Indexes().List(ctx); return err },
				"validate":  func(ctx context.Context) error { _, err := b.migrator.Validate(ctx); return err },
			} {
				if err := call(b.ctx); !errors.Is(err, migrations.ErrRevisionTooOld) {
					t.Errorf("%s: got %v, want ErrRevisionTooOld", name, err)
				}
			}
			unchanged()
		})
	}
}
