package upstream

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed seed.sql
var seedSQL string

// SeedStates fills a schema of revision 18 to 20 with jobs, queues, tasks and
// crontabs in every state, in one transaction. Every job whose payload is an object has
// the name of its state there, under "state"; seed.sql lists them. An empty schema name
// is [DefaultSchema]. It can be called once for a schema.
func SeedStates(ctx context.Context, conn *pgx.Conn, schema string) error {
	name := pgx.Identifier{cmp.Or(schema, DefaultSchema)}.Sanitize()
	sql := strings.ReplaceAll(seedSQL, DefaultSchema+".", name+".")
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("seed schema %s: %w", name, err)
	}
	return nil
}

// Snapshot reads every row of every table in a schema as JSON text, sorted,
// and the state of every sequence, under the relation's name. Two snapshots
// are equal if no row and no sequence differs. An empty schema name is
// [DefaultSchema]. A schema without tables is an error.
func Snapshot(ctx context.Context, conn *pgx.Conn, schema string) (map[string][]string, error) {
	schema = cmp.Or(schema, DefaultSchema)
	snapshot := make(map[string][]string)
	opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, conn, opts, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local time zone 'UTC'"); err != nil {
			return err
		}
		relations, err := texts(ctx, tx, `
			select relkind::text || relname from pg_catalog.pg_class
			where relnamespace = (select oid from pg_catalog.pg_namespace where nspname = $1::name)
			and relkind in ('r', 'p', 'S')`, schema)
		if err != nil {
			return err
		}
		if len(relations) == 0 {
			return errors.New("no tables there")
		}
		for _, relation := range relations {
			kind, name := relation[0], relation[1:]
			columns := "*"
			if kind == 'S' {
				columns = "last_value, is_called"
			}
			snapshot[name], err = texts(ctx, tx, fmt.Sprintf(
				`select row_to_json(r)::text collate "C" from (select %s from %s) r order by 1`,
				columns, pgx.Identifier{schema, name}.Sanitize()))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("snapshot of schema %s: %w", schema, err)
	}
	return snapshot, nil
}

func texts(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]string, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
