package migrations_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// A bench is a database of the test's own with one schema under test.
type bench struct {
	testing.TB
	ctx      context.Context
	pool     *pgxpool.Pool
	url      string
	schema   string
	migrator *migrations.Migrator
}

// newBench works on graphile_worker in a copy of the template.
func newBench(tb testing.TB, template *pgtest.Template, opts ...func(*pgxpool.Config)) *bench {
	tb.Helper()
	return benchOn(tb, pgtest.Pool(tb, template, opts...), graphile.DefaultSchema)
}

func benchOn(tb testing.TB, pool *pgxpool.Pool, schema string) *bench {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	tb.Cleanup(cancel)
	m, err := migrations.New(pool, &migrations.Options{Schema: schema})
	if err != nil {
		tb.Fatal(err)
	}
	return &bench{tb, ctx, pool, pool.Config().ConnString(), schema, m}
}

// another is a migrator of the same database with a pool of its own.
func (b *bench) another(opts ...func(*pgxpool.Config)) *bench {
	b.Helper()
	config := pgtest.Config(b, b.url)
	for _, opt := range opts {
		opt(config)
	}
	pool, err := pgxpool.NewWithConfig(b.ctx, config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return benchOn(b, pool, b.schema)
}

func (b *bench) up() *migrations.UpResult {
	b.Helper()
	result, err := b.migrator.Up(b.ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

// upAside starts Up on a pool of its own and returns where it ends.
func (b *bench) upAside(ctx context.Context) (*bench, <-chan error) {
	b.Helper()
	other := b.another()
	result := make(chan error, 1)
	go func() {
		_, err := other.migrator.Up(ctx, nil)
		result <- err
	}()
	return other, result
}

// down returns what Down undid, without the times when it was applied.
func (b *bench) down(options migrations.DownOptions) []migrations.Migration {
	b.Helper()
	result, err := b.migrator.Down(b.ctx, options)
	if err != nil {
		b.Fatal(err)
	}
	for i := range result.Undone {
		result.Undone[i].AppliedAt = nil
	}
	return result.Undone
}

// install runs the npm package's own migrations.
func (b *bench) install(version string) {
	b.Helper()
	if err := upstream.Install(b.ctx, version, b.url, b.schema); err != nil {
		b.Fatal(err)
	}
}

// exec runs SQL statements that are written for graphile_worker.
func (b *bench) exec(sql string) {
	b.Helper()
	if _, err := b.pool.Exec(b.ctx, graphile.Rename(sql, b.schema), pgx.QueryExecModeSimpleProtocol); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

// begin opens a transaction that lasts until it, or the test, is ended.
func (b *bench) begin() pgx.Tx {
	b.Helper()
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// rowsOf collects the rows of one column, from SQL written for graphile_worker.
func rowsOf[T any](b *bench, sql string, args ...any) []T {
	b.Helper()
	rows, err := b.pool.Query(b.ctx, graphile.Rename(sql, b.schema), args...)
	if err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return values
}

// catalog is what the contract's query prints of the schema.
func (b *bench) catalog() []string {
	b.Helper()
	query := strings.NewReplacer(
		"to_regnamespace(:'schema')", "to_regnamespace(quote_ident($1::text))",
		":'schema'", "$1::text",
	).Replace(readFile(b, "../testdata/contract/catalog.sql"))
	return rowsOf[string](b, query, b.schema)
}

// wantCatalog is the contract's catalog. Servers from 13 to 18 print it alike.
func wantCatalog(tb testing.TB) []string {
	tb.Helper()
	return strings.Split(strings.TrimSuffix(readFile(tb, "../testdata/contract/catalog-0.18.0.txt"), "\n"), "\n")
}

func (b *bench) checkCatalog() {
	b.Helper()
	if diff := cmp.Diff(wantCatalog(b), b.catalog()); diff != "" {
		b.Errorf("catalog: -want +got\n%s", diff)
	}
}

// rows are all rows and sequences of the schema but for the two ledgers'.
func (b *bench) rows() map[string][]string {
	b.Helper()
	rows := b.allRows()
	for table := range rows {
		if table == "migrations" || strings.HasPrefix(table, "goose_") {
			delete(rows, table)
		}
	}
	return rows
}

func (b *bench) allRows() (rows map[string][]string) {
	b.Helper()
	err := b.pool.AcquireFunc(b.ctx, func(conn *pgxpool.Conn) (err error) {
		rows, err = upstream.Snapshot(b.ctx, conn.Conn(), b.schema)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return rows
}

// objects are all schemas and what is in them, each with the transaction that
// last changed it.
func (b *bench) objects() []string {
	b.Helper()
	return rowsOf[string](b, `
		select pg_catalog.concat_ws(' ', kind, id, object, changed)
		from (
			select 'schema', oid, nspname, xmin from pg_catalog.pg_namespace where nspname !~ '^pg_(toast_)?temp'
			union all select 'relation', oid, relname, xmin from pg_catalog.pg_class where oid >= 16384
			union all select 'type', oid, typname, xmin from pg_catalog.pg_type where oid >= 16384
			union all select 'function', oid, proname, xmin from pg_catalog.pg_proc where oid >= 16384
			union all select 'constraint', oid, conname, xmin from pg_catalog.pg_constraint where oid >= 16384
			union all select 'column of ' || attrelid, attnum::int::oid, attname, xmin
				from pg_catalog.pg_attribute where attrelid >= 16384
		) as objects (kind, id, object, changed)
		order by 1`)
}

// unchanged returns a check that nothing has changed since.
func (b *bench) unchanged() func() {
	b.Helper()
	type database struct {
		Objects []string
		Rows    map[string][]string
	}
	read := func() database {
		b.Helper()
		db := database{Objects: b.objects()}
		if rowsOf[bool](b, "select exists (select from pg_catalog.pg_tables where schemaname = $1)", b.schema)[0] {
			db.Rows = b.allRows()
		}
		return db
	}
	before := read()
	return func() {
		b.Helper()
		if diff := cmp.Diff(before, read()); diff != "" {
			b.Errorf("the database has changed: -before +after\n%s", diff)
		}
	}
}

// awaitLocks waits until so many sessions of the database wait for a lock.
func (b *bench) awaitLocks(n int) {
	b.Helper()
	for b.ctx.Err() == nil {
		if rowsOf[bool](b, `select count(*) >= $1 from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock'`, n)[0] {
			return
		}
		time.Sleep(time.Millisecond)
	}
	b.Fatalf("there are not %d sessions that wait for a lock", n)
}

// A revision is a row of Graphile Worker's ledger.
type revision struct {
	ID       int
	Breaking bool
}

func (b *bench) ledger() []revision {
	b.Helper()
	rows, err := b.pool.Query(b.ctx, graphile.Rename("select id, breaking from graphile_worker.migrations order by id", b.schema))
	if err != nil {
		b.Fatal(err)
	}
	revisions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[revision])
	if err != nil {
		b.Fatal(err)
	}
	return revisions
}

// ledgerTo is the ledger as the contract has it, up to a revision.
func ledgerTo(newest int) []revision {
	var revisions []revision
	for id := 1; id <= newest; id++ {
		revisions = append(revisions, revision{id, slices.Contains([]int{1, 3, 11, 13, 14, 16, 19}, id)})
	}
	return revisions
}

func (b *bench) checkLedger() {
	b.Helper()
	if diff := cmp.Diff(ledgerTo(20), b.ledger()); diff != "" {
		b.Errorf("ledger: -want +got\n%s", diff)
	}
}

// allMigrations are the package's migrations, as Up returns them.
var allMigrations = []migrations.Migration{
	{Version: 1, Name: "tables"},
	{Version: 2, Name: "producer_functions"},
	{Version: 3, Name: "admin_functions"},
	{Version: 4, Name: "jobs_view"},
}

// appliedMigrations are all migrations, as the status just after Up has them; see justNow.
func appliedMigrations() []migrations.Migration {
	now := time.Now().UTC()
	done := slices.Clone(allMigrations)
	for i := range done {
		done[i].AppliedAt = &now
	}
	return done
}

// justNow equates the times of one test, all in UTC.
var justNow = cmp.Comparer(func(a, b time.Time) bool {
	return a.Location() == time.UTC && b.Location() == time.UTC && a.Sub(b).Abs() < time.Minute
})

var equateEmpty = cmpopts.EquateEmpty()

// seeded is a database that a release installed, with jobs in every state.
func seeded(tb testing.TB, version string) *pgtest.Template {
	tb.Helper()
	upstream.Ensure(tb)
	return &pgtest.Template{
		Name: "seeded " + version,
		Key:  readFile(tb, "../internal/upstream/seed.sql"),
		Build: func(ctx context.Context, url string) error {
			if err := upstream.Install(ctx, version, url, ""); err != nil {
				return err
			}
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			return upstream.SeedStates(ctx, conn, "")
		},
	}
}

func readFile(tb testing.TB, name string) string {
	tb.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(content)
}

// linesWithout returns the lines that contain none of the parts.
func linesWithout(lines []string, parts ...string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(line, part) })
	})
}
