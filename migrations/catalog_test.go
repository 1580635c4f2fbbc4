package migrations_test

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// schemaNames are the default and names that need quotes of every kind.
var schemaNames = []string{graphile.DefaultSchema, `Weird "Name"`, "$body$", "a'b", "Ünï"}

func TestCatalog(t *testing.T) {
	t.Parallel()
	testCatalog(t, func(tb testing.TB) *pgxpool.Pool { return pgtest.Pool(tb, nil) })
}

func TestCatalogOnEveryServer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("may download servers")
	}
	for major := 13; major <= 18; major++ {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			server := pgtest.Server(t, major)
			testCatalog(t, func(tb testing.TB) *pgxpool.Pool { return server.Pool(tb, nil) })
			b := benchOn(t, server.Pool(t, nil), graphile.DefaultSchema)
			if got := rowsOf[int](b, "select current_setting('server_version_num')::int / 10000"); got[0] != major {
				t.Errorf("that was PostgreSQL %d", got[0])
			}
		})
	}
}

func testCatalog(t *testing.T, pool func(testing.TB) *pgxpool.Pool) {
	for _, schema := range schemaNames {
		t.Run(schema, func(t *testing.T) {
			b := benchOn(t, pool(t), schema)
			b.up()
			b.checkCatalog()
			b.checkLedger()
		})
	}
	for _, schema := range schemaNames[:2] {
		t.Run("npm/"+schema, func(t *testing.T) {
			upstream.Ensure(t)
			theirs := benchOn(t, pool(t), schema)
			theirs.install("0.18.0")
			theirs.checkCatalog()
			ours := benchOn(t, pool(t), schema)
			ours.up()
			if diff := cmp.Diff(theirs.catalog(), ours.catalog()); diff != "" {
				t.Errorf("-theirs +ours\n%s", diff)
			}
		})
	}
}
