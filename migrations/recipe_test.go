package migrations_test

import (
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// A team copies the files into its own sequence of Goose migrations, under numbers of its
// own and with its own version table.
func TestRecipeVendored(t *testing.T) {
	t.Parallel()
	for _, on := range []string{"", "0.16.6"} {
		t.Run(on, func(t *testing.T) {
			t.Parallel()
			b := recipeBench(t, on)
			files := fstest.MapFS{
				"00001_orders.sql": {Data: []byte("-- +goose Up\ncreate table public.orders ();\n-- +goose Down\ndrop table public.orders;\n")},
				"20000_mail.sql": {Data: []byte("-- +goose Up\nselect graphile_worker.add_job('mail');\n" +
					"-- +goose Down\ndelete from graphile_worker._private_jobs where true;\n")},
			}
			names, err := fs.Glob(migrations.Files, "*.sql")
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range names {
				body, err := fs.ReadFile(migrations.Files, name)
				if err != nil {
					t.Fatal(err)
				}
				files[fmt.Sprintf("%d_graphile_worker%s", 10001+i, name[len("00000"):])] = &fstest.MapFile{Data: body}
			}
			db := stdlib.OpenDBFromPool(b.another(withSearchPath).pool)
			defer db.Close()
			theirs, err := goose.NewProvider(goose.DialectPostgres, db, files)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := theirs.Up(b.ctx); err != nil {
				t.Fatal(err)
			}
			b.checkCatalog()
			b.checkLedger()
			b.checkValid()
			if jobs := rowsOf[int](b, "select count(*)::int from graphile_worker.jobs where task_identifier = 'mail'"); jobs[0] != 1 {
				t.Errorf("their migration after ours added %d jobs, want 1", jobs[0])
			}

			// gwadmin only records that nothing is left to do.
			rows := b.rows()
			if diff := cmp.Diff(&migrations.UpResult{Applied: allMigrations, Before: 20, After: 20}, b.up()); diff != "" {
				t.Errorf("Up: -want +got\n%s", diff)
			}
			b.checkCatalog()
			if diff := cmp.Diff(rows, b.rows()); diff != "" {
				t.Errorf("rows: -before +after\n%s", diff)
			}
			b.exec("drop table graphile_worker." + migrations.VersionTable)
			if _, err := theirs.DownTo(b.ctx, 1); err != nil {
				t.Fatal(err)
			}
			if left := b.catalog(); len(left) > 0 {
				t.Errorf("down left %v", left)
			}
			if _, err := theirs.Up(b.ctx); err != nil {
				t.Fatal(err)
			}
			b.checkCatalog()
		})
	}
}

// A team runs the embedded files by a second Goose provider.
func TestRecipeOwnProvider(t *testing.T) {
	t.Parallel()
	for _, on := range []string{"", "0.16.6"} {
		t.Run(on, func(t *testing.T) {
			t.Parallel()
			b := recipeBench(t, on)
			db := stdlib.OpenDBFromPool(b.another(withSearchPath).pool)
			defer db.Close()
			provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files,
				goose.WithTableName("goose_graphile_worker"))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := provider.Up(b.ctx); err != nil {
					t.Fatal(err)
				}
			}
			b.checkCatalog()
			b.checkLedger()
			b.checkValid()
		})
	}
}

// Other tools run a migration as plain SQL in a transaction of their own, and record it in
// the same transaction.
func TestRecipePlainSQL(t *testing.T) {
	t.Parallel()
	for _, on := range []string{"", "0.16.6", "0.18.0"} {
		for _, schema := range schemaNames[:3] {
			t.Run(on+" "+schema, func(t *testing.T) {
				t.Parallel()
				b := recipeBench(t, on)
				if schema != b.schema {
					if on != "" {
						t.Skip("the seed is in the default schema")
					}
					b = benchOn(t, b.pool, schema)
				}
				plan, err := migrations.InstallPlan(&migrations.Options{Schema: schema})
				if err != nil {
					t.Fatal(err)
				}
				tool := b.another(withSearchPath)
				b.exec("create table public.applied ()")
				unchanged := b.unchanged()
				run := func(end string) {
					t.Helper()
					conn, err := tool.pool.Acquire(b.ctx)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Release()
					exec := func(sql string) {
						t.Helper()
						if _, err := conn.Exec(b.ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
							t.Fatal(err)
						}
					}
					state := func() []string { // plpgsql adds its settings when first used
						t.Helper()
						rows, err := conn.Query(b.ctx, `select 'transaction=' || pg_current_xact_id()
							union all select name || '=' || setting from pg_settings where name not like 'plpgsql.%' order by 1`)
						if err != nil {
							t.Fatal(err)
						}
						lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
						if err != nil {
							t.Fatal(err)
						}
						return lines
					}
					exec("begin")
					before := state()
					exec(plan.Body)
					exec("insert into applied default values")
					if diff := cmp.Diff(before, state()); diff != "" {
						t.Errorf("transaction and settings: -before +after\n%s", diff)
					}
					exec(end)
				}
				run("rollback")
				unchanged()
				run("commit")
				b.checkCatalog()
				b.checkLedger()
				b.checkValid()
				unchanged = b.unchanged()
				if diff := cmp.Diff(&migrations.UpResult{Applied: []migrations.Migration{}, Before: 20, After: 20}, b.up()); diff != "" {
					t.Errorf("Up: -want +got\n%s", diff)
				}
				unchanged()
			})
		}
	}
}

// recipeBench is an empty database, or one that a release installed.
func recipeBench(t *testing.T, on string) *bench {
	t.Helper()
	if on == "" {
		return newBench(t, nil)
	}
	upstream.Ensure(t)
	return newBench(t, seeded(t, on))
}

// withSearchPath is how other tools connect.
func withSearchPath(c *pgxpool.Config) { delete(c.ConnConfig.RuntimeParams, "search_path") }
