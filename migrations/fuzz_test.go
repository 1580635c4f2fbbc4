package migrations_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/migrations"
)

// FuzzSchemaName lets PostgreSQL judge what Rename makes of a name: SQL that
// creates the very schema of that name and finds it, be the name an identifier
// or a literal, at the top or in a function's body.
func FuzzSchemaName(f *testing.F) {
	for _, name := range append(schemaNames,
		"", " ", "public", "pg_toast", "PG_toast", "select", "graphile_worker_", "graphile_worker.jobs",
		`"`, `""`, `'`, `''`, `\`, `a\'b`, `'; drop schema public; --`, `/*`, `--`, "%", "$1", "{}",
		"$", "$$", "$body", "body$", "$body_$", "$body$body_$", "$body$ $body_$ $body__$", "'graphile_worker'",
		"日本", "👩‍🚀", "e\u0301", "\u2028", "\ufeff", "\x00", "a\nb", "\x7f", "\xff", "\xed\xa0\x80",
		strings.Repeat("x", 63), strings.Repeat("x", 64), strings.Repeat("é", 31)+"x", strings.Repeat("é", 32),
		strings.Repeat(`"`, 63), strings.Repeat("'", 63), strings.Repeat("$", 63),
	) {
		f.Add(name)
	}
	pool := pgtest.Pool(f, nil)
	f.Fuzz(func(t *testing.T, name string) {
		if err := graphile.CheckSchema(name); err != nil {
			if _, err := migrations.New(pool, &migrations.Options{Schema: name}); err == nil && name != "" {
				t.Errorf("New accepts %q, which CheckSchema refuses", name)
			}
			return
		}
		if strings.HasPrefix(name, "pg_") {
			return // PostgreSQL's own: it says so when asked to create one
		}
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(t.Context())
		sql := graphile.Rename(`
			create schema if not exists graphile_worker;
			do $body$ begin
				if not exists (select from pg_catalog.pg_namespace where nspname = 'graphile_worker') then
					raise exception 'not there';
				end if;
			end $body$;
			create function graphile_worker.names() returns setof text language plpgsql as $body$ begin
				return next 'graphile_worker';
			end $body$`, name)
		if _, err := tx.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%v\n%s", err, sql)
		}
		rows, err := tx.Query(t.Context(), graphile.Rename("select graphile_worker.names() union all "+
			"select nspname from pg_catalog.pg_namespace where oid = pg_catalog.to_regnamespace(pg_catalog.quote_ident($1))", name), name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{name, name}, got); diff != "" {
			t.Errorf("-want +got\n%s\n%s", diff, sql)
		}
	})
}
