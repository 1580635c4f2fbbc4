package schema_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/catalog"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/schema"
)

// TestSQL runs the statements and compares what they create with what the migrations
// build, under names that need quotes of every kind.
func TestSQL(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "jobs", "public", `Weird "Name"`, "$body$", "$function$", "a'b", "Ünï"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ddl, err := schema.SQL(name)
			if err != nil {
				t.Fatal(err)
			}
			if name == "" {
				name = graphile.DefaultSchema
			}
			pool := pgtest.Pool(t, nil)
			if _, err := pool.Exec(t.Context(), ddl, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
			var got *catalog.Catalog
			err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) (err error) {
				got, err = catalog.Read(t.Context(), tx, name)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			want := catalog.Expected(got.Schema)
			want.Facts = slices.DeleteFunc(want.Facts, func(f catalog.Fact) bool { return strings.HasPrefix(f.Object, "revision ") })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestSQLRefuses(t *testing.T) {
	t.Parallel()
	got, err := schema.SQL("pg_jobs")
	if err == nil || got != "" {
		t.Fatalf("got %d bytes and the error %v", len(got), err)
	}
	want := `schema as SQL: schema name "pg_jobs" starts with pg_, which PostgreSQL keeps for itself`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
