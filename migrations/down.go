package migrations

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// DownOptions say how far to go back.
type DownOptions struct {
	// To is the migration to go back to; 0, the default, undoes them all and
	// removes the schema with them, unless something else is in it.
	To int64
	// LoseJobs allows dropping a jobs table that has rows.
	LoseJobs bool
}

// Down undoes migrations, newest first, in one transaction, and returns those
// undone. Where that would drop jobs it refuses with a [*JobsLeftError] unless
// LoseJobs is set. A schema that Graphile Worker installed before gwadmin took it
// over is dropped just the same.
func (m *Migrator) Down(ctx context.Context, options DownOptions) ([]Migration, error) {
	var undone []Migration
	err := m.change(ctx, func(s *session) error {
		undone = nil
		before, err := m.state(ctx, s.tx)
		if err != nil {
			return err
		}
		if len(before.applied) == 0 {
			return nil
		}
		if _, applied := before.applied[1]; applied && options.To < 1 && !options.LoseJobs {
			if err := m.refuseJobs(ctx, s.tx); err != nil {
				return err
			}
		}
		results, err := s.provider.DownTo(ctx, options.To)
		if err != nil {
			return err
		}
		for _, r := range results {
			undone = append(undone, newMigration(r.Source))
		}
		if options.To > 0 {
			return nil
		}
		return m.dropSchema(ctx, s.tx)
	})
	if err != nil {
		return nil, fmt.Errorf("migrate down: %w", err)
	}
	return undone, nil
}

// refuseJobs locks the jobs table, so that none is added behind its back, and
// returns a [*JobsLeftError] when it has rows.
func (m *Migrator) refuseJobs(ctx context.Context, tx pgx.Tx) error {
	jobs := pgx.Identifier{m.schema, "_private_jobs"}.Sanitize()
	if _, err := tx.Exec(ctx, "lock table "+jobs+" in share mode"); err != nil {
		return err
	}
	left := &JobsLeftError{Schema: m.schema}
	err := tx.QueryRow(ctx, "select count(*), count(locked_at) from "+jobs).Scan(&left.Jobs, &left.Locked)
	if err != nil {
		return err
	}
	if left.Jobs > 0 {
		return left
	}
	return nil
}

// dropSchema drops Goose's table, and the schema when nothing else is left in it.
func (m *Migrator) dropSchema(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "drop table "+pgx.Identifier{m.schema, VersionTable}.Sanitize()); err != nil {
		return err
	}
	var empty bool
	err := tx.QueryRow(ctx, `
		select not exists (
			select from pg_catalog.pg_depend as d
			join pg_catalog.pg_namespace as n on n.oid = d.refobjid
			where d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and n.nspname = $1
		)`, m.schema).Scan(&empty)
	if err != nil || !empty {
		return err
	}
	_, err = tx.Exec(ctx, "drop schema "+pgx.Identifier{m.schema}.Sanitize())
	return err
}
