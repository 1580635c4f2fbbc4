package migrations

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// DownOptions say how far to go back.
type DownOptions struct {
	// To is the migration to go back to; 0, the default, undoes them all and
	// removes the schema with them, unless something else is in it. One that does
	// not exist is [ErrNoMigration].
	To int64
	// LoseJobs is how many jobs may be lost, at most, with the jobs table.
	LoseJobs int64
}

// Down undoes migrations, newest first, in one transaction, and returns those
// undone. Where that would drop more jobs than LoseJobs it refuses with a
// [*JobsLeftError]. A schema that Graphile Worker installed before gwadmin took it
// over is dropped just the same. One whose table migrations is not Graphile Worker's
// is refused with [ErrForeign].
func (m *Migrator) Down(ctx context.Context, options DownOptions) ([]Migration, error) {
	if options.To != 0 {
		if err := checkVersion(options.To); err != nil {
			return nil, fmt.Errorf("migrate down: %w", err)
		}
	}
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
		if before.foreign {
			return m.foreign()
		}
		if _, applied := before.applied[tablesVersion]; applied && options.To < tablesVersion {
			if err := m.refuseJobs(ctx, s.tx, options.LoseJobs); err != nil {
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

// A DownPlan says what [Migrator.Down] would undo and lose.
type DownPlan struct {
	Undo   []Migration `json:"undo"`   // newest first
	Jobs   int64       `json:"jobs"`   // how many jobs would be dropped
	Locked int64       `json:"locked"` // those of them that a worker holds
}

// PlanDown says what Down would do, and changes nothing.
func (m *Migrator) PlanDown(ctx context.Context, to int64) (*DownPlan, error) {
	if to != 0 {
		if err := checkVersion(to); err != nil {
			return nil, fmt.Errorf("plan down: %w", err)
		}
	}
	var plan *DownPlan
	err := m.read(ctx, pgx.ReadCommitted, func(tx pgx.Tx) error {
		status, err := m.status(ctx, tx)
		if err != nil {
			return err
		}
		plan = &DownPlan{Undo: []Migration{}}
		for _, migration := range slices.Backward(status.Migrations) {
			if migration.AppliedAt != nil && migration.Version > to {
				plan.Undo = append(plan.Undo, migration)
			}
		}
		if len(plan.Undo) > 0 && status.Foreign {
			return m.foreign()
		}
		if len(plan.Undo) > 0 && plan.Undo[len(plan.Undo)-1].Version == tablesVersion {
			plan.Jobs, plan.Locked, err = m.countJobs(ctx, tx)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("plan down: %w", err)
	}
	return plan, nil
}

// tablesVersion is the migration that builds the tables.
const tablesVersion = 1

func (m *Migrator) countJobs(ctx context.Context, tx pgx.Tx) (jobs, locked int64, err error) {
	err = tx.QueryRow(ctx, "select count(*), count(locked_at) from "+m.jobsTable()).Scan(&jobs, &locked)
	if err != nil {
		return 0, 0, fmt.Errorf("count the jobs in %s: %w", m.jobsTable(), err)
	}
	return jobs, locked, nil
}

func (m *Migrator) jobsTable() string {
	return pgx.Identifier{m.schema, "_private_jobs"}.Sanitize()
}

// refuseJobs locks the jobs table, so that none is added behind its back, and
// returns a [*JobsLeftError] when it has more rows than may be lost.
func (m *Migrator) refuseJobs(ctx context.Context, tx pgx.Tx, most int64) error {
	if _, err := tx.Exec(ctx, "lock table "+m.jobsTable()+" in access exclusive mode"); err != nil {
		return fmt.Errorf("lock table %s: %w", m.jobsTable(), err)
	}
	left := &JobsLeftError{Schema: m.schema}
	var err error
	if left.Jobs, left.Locked, err = m.countJobs(ctx, tx); err != nil {
		return err
	}
	if left.Jobs > most {
		return left
	}
	return nil
}

// dropSchema drops Goose's table, and the schema when nothing else is left in it
// and it is not public.
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
		) and $1 <> 'public'`, m.schema).Scan(&empty)
	if err != nil || !empty {
		return err
	}
	_, err = tx.Exec(ctx, "drop schema "+pgx.Identifier{m.schema}.Sanitize())
	return err
}
