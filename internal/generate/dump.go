package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The statements that would build the schema again, in an order in which they
// run. Each query returns them as rows of text. Goose's own table is left out.
var dumpQueries = []string{
	`select 'create schema ' || quote_ident($1) || ';'`,

	`select format(E'create type %s as (\n%s\n);', c.oid::regclass,
		string_agg(format('  %I %s', a.attname, format_type(a.atttypid, a.atttypmod)), E',\n' order by a.attnum))
	from pg_class as c
	join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
	where c.relnamespace = to_regnamespace($1) and c.relkind = 'c'
	group by c.oid order by c.oid::regclass::text`,

	`select format(E'create table %s (\n%s\n);', c.oid::regclass, string_agg(line, E',\n' order by place))
	from pg_class as c
	cross join lateral (
		select a.attnum as place, format('  %I %s', a.attname, format_type(a.atttypid, a.atttypmod))
			|| case when a.attidentity = 'a' then ' generated always as identity' else '' end
			|| case when a.attgenerated = 's' then ' generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') stored'
				else coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') end
			|| case when a.attnotnull then ' not null' else '' end as line
		from pg_attribute as a
		left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
		where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		union all
		select 1000 + row_number() over (order by k.conname), format('  constraint %I %s', k.conname, pg_get_constraintdef(k.oid))
		from pg_constraint as k where k.conrelid = c.oid and k.contype <> 'n'
	) as lines
	where c.relnamespace = to_regnamespace($1) and c.relkind = 'r' and c.relname <> 'goose_db_version'
	group by c.oid order by c.oid::regclass::text`,

	`select format('alter table %s enable row level security;', c.oid::regclass)
	from pg_class as c where c.relnamespace = to_regnamespace($1) and c.relrowsecurity
	order by c.oid::regclass::text`,

	`select pg_get_indexdef(i.indexrelid) || ';'
	from pg_index as i join pg_class as c on c.oid = i.indrelid
	where c.relnamespace = to_regnamespace($1)
	and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)
	order by i.indexrelid::regclass::text`,

	`select format(E'create view %s as\n%s', c.oid::regclass, pg_get_viewdef(c.oid, true))
	from pg_class as c where c.relnamespace = to_regnamespace($1) and c.relkind = 'v'
	order by c.oid::regclass::text`,

	`select rtrim(pg_get_functiondef(p.oid), E'\n') || ';'
	from pg_proc as p where p.pronamespace = to_regnamespace($1)
	order by p.proname`,
}

// dump returns the SQL that builds the schema as the connected database has it.
func dump(ctx context.Context, conn *pgx.Conn, schema string) (string, error) {
	if _, err := conn.Exec(ctx, "set search_path = ''"); err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString("-- What migrations/ builds, written by go run ./internal/generate. Do not edit.\n")
	for _, query := range dumpQueries {
		rows, err := conn.Query(ctx, query, schema)
		if err != nil {
			return "", err
		}
		statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return "", err
		}
		for _, s := range statements {
			fmt.Fprintf(&out, "\n%s\n", s)
		}
	}
	return out.String(), nil
}
