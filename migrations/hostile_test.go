package migrations_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/migrations"
)

// hostileObjects creates functions, operators, types and tables in the schema public.
// PostgreSQL prefers a function or an operator there to its own if it fits the types of the
// arguments better: its own takes any type, or needs a cast. So the functions have the
// names of hostile.names, with each argument of PostgreSQL's own of any type, and the
// operators take any two types. A statement that would run one ends with an error.
const hostileObjects = `
	set check_function_bodies = off;
	do $do$
	declare
		types constant text[] := array[
			'"char"', 'name', 'smallint', 'integer', 'bigint', 'double precision', 'text', 'timestamptz', 'json', 'jsonb', 'oid', 'regtype',
			'text[]', 'integer[]', 'bigint[]', 'graphile_worker.job_spec[]'
		];
		operators constant text[] := '{=,<>,<,>,<=,>=,||,+,-,*,/,^,&,~,!~,!~*,~~,!~~,@>,<@,@?,?|,->,->>}';
		code constant text := ' language plpgsql as $body$ begin raise exception ''hijacked''; end $body$';
		f record;
		l text;
		r text;
	begin
		foreach l in array types loop
			for f in
				select p.proname as name, p.pronargs as args, pg_catalog.format_type(p.proargtypes[1], null) as second
				from pg_catalog.pg_proc as p
				where p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any (pg_catalog.current_setting('hostile.names')::text[])
			loop
				begin
					case f.args
						when 1 then execute pg_catalog.format('create function %I(%s) returns %s' || code, f.name, l, l);
						when 2 then
							if f.second like '%any%' then
								f.second := pg_catalog.replace(l, '[]', '');
							end if;
							execute pg_catalog.format('create function %I(%s, %s) returns %s' || code, f.name, l, f.second, l);
						else
					end case;
				exception when duplicate_function or invalid_function_definition then
				end;
			end loop;
			foreach r in array types loop
				execute pg_catalog.format('create function hostile(%s, %s) returns boolean' || code, l, r);
				for f in
					select o.name from pg_catalog.unnest(operators) as o (name) where not exists (
						select from pg_catalog.pg_operator as p
						where p.oprnamespace = 'pg_catalog'::regnamespace and p.oprname = o.name and p.oprleft = l::regtype::oid and p.oprright = r::regtype::oid
					)
				loop
					execute pg_catalog.format('create operator %s (function = hostile, leftarg = %s, rightarg = %s)', f.name, l, r);
				end loop;
			end loop;
		end loop;
	end
	$do$;
	create table _private_jobs (like graphile_worker._private_jobs);
	create table pg_class (relname name);
	create table pg_namespace (nspname name);
	create domain json as pg_catalog.text;
	create domain jsonb as pg_catalog.text;
	create domain timestamptz as pg_catalog.text;
	create domain text as pg_catalog.text check (false)`

// attack runs hostileObjects as a role that may add jobs and no more.
func (b *bench) attack() {
	b.Helper()
	calls := regexp.MustCompile(`\w+\(`)
	names := map[string]bool{}
	for _, pattern := range []string{"../queries/*", "*.go", "*.sql", "../internal/graphile/*.go", "../internal/catalog/*.sql"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			b.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			for _, call := range calls.FindAllString(string(text), -1) {
				names[strings.TrimSuffix(call, "(")] = true
			}
		}
	}
	b.exec("grant create on schema public to public") // as before PostgreSQL 15
	role := b.role("attacker ")
	b.grant(migrations.Producer, role)
	pool := b.withPublic(role)
	if _, err := pool.Exec(b.ctx, "select set_config('hostile.names', $1::text[]::text, false)", slices.Collect(maps.Keys(names))); err != nil {
		b.Fatal(err)
	}
	if _, err := pool.Exec(b.ctx, hostileObjects, pgx.QueryExecModeSimpleProtocol); err != nil {
		b.Fatal(err)
	}
}

// withPublic is [bench.as] with PostgreSQL's own search_path and one connection.
func (b *bench) withPublic(role string) *pgxpool.Pool {
	b.Helper()
	config := pgtest.Config(b, b.url)
	delete(config.ConnConfig.RuntimeParams, "search_path")
	config.ConnConfig.User, config.ConnConfig.Password = role, rolePassword
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(b.ctx, config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return pool
}

// Nobody runs what an unprivileged role has put into the schema public: by a call of package
// admin, by a function of the schema, or by the migrator.
func TestHostileObjects(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.attack()
	b.exec(deedsSetup)
	role := b.role("victim ")
	b.grant(migrations.Admin, role)
	pool := b.withPublic(role)

	// The attack works on statements that leave the choice to PostgreSQL.
	for _, d := range []deed{
		{name: "function", sql: "select from unnest(array['a'])"},
		{name: "aggregate", sql: "select count(n) from (values (1)) as v (n)"},
		{name: "operator", sql: "select 1 where 1 = any (array[1]::oid[])"},
		{name: "operator of arrays", sql: "select 1 where array['a'] <@ array['a']"},
		{name: "table", sql: "select id from _private_jobs"},
	} {
		if got, err := d.try(b, pool); got == "1" {
			t.Errorf("%s: the attack has no effect: %v", d.name, err)
		}
	}
	for _, d := range deeds {
		if got, err := d.try(b, pool); got != d.admin {
			t.Errorf("%s: want %s, got %s: %v", d.name, d.admin, got, err)
		}
	}
	b.exec(strandedJob)
	for _, c := range clientCalls {
		if c.call == nil || !strings.Contains(c.roles, string(migrations.Admin)) {
			continue
		}
		if err := b.tryCall(pool, c); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
