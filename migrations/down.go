package migrations

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// DownOptions are those of [Migrator.Down].
type DownOptions struct {
	// To is the migration to go back to; 0, the default, undoes all migrations and drops
	// the schema, unless something else is in it. If there is no such migration the error
	// is [ErrNoMigration].
	To int64
	// LoseJobs is how many jobs may be lost, at most, with the table of jobs.
	LoseJobs int64
	// DryRun returns what Down would do, whatever LoseJobs is, and changes nothing.
	DryRun bool
}

// DownResult is what [Migrator.Down] did, or would do.
type DownResult struct {
	DryRun bool `json:"dry_run"`
	// Undone are the migrations, newest first, each with the time when it was applied;
	// empty, not nil, if there was nothing to undo.
	Undone []Migration `json:"undone"`
	Jobs   int64       `json:"jobs"`   // how many jobs were lost
	Locked int64       `json:"locked"` // how many of them a worker held
}

// JobsLeftError says that [Migrator.Down] did not drop a table of jobs. It matches
// [ErrJobsLeft].
type JobsLeftError struct {
	Schema string
	Jobs   int64 // how many jobs there are
	Locked int64 // how many of them a worker holds
}

func (e *JobsLeftError) Error() string {
	return fmt.Sprintf("%v: schema %q holds %d jobs, %d of them locked by workers: set LoseJobs to drop so many",
		ErrJobsLeft, e.Schema, e.Jobs, e.Locked)
}

func (e *JobsLeftError) Unwrap() error { return ErrJobsLeft }

// Down undoes migrations, newest first, in one transaction. It makes no difference whether
// gwadmin or Graphile Worker installed the schema.
//
// It refuses to lose more jobs than LoseJobs, with a [*JobsLeftError]; a schema whose
// table migrations is not Graphile Worker's, with [ErrForeign]; and, with a
// [*RevisionError], one that is older than revision 18 or has any newer revision than this
// package knows, since it would leave behind what that revision added.
func (m *Migrator) Down(ctx context.Context, options DownOptions) (*DownResult, error) {
	result, err := m.down(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("migrate down: %w", err)
	}
	return result, nil
}

func (m *Migrator) down(ctx context.Context, options DownOptions) (result *DownResult, err error) {
	if options.To != 0 {
		if _, err := stepOf(options.To); err != nil {
			return nil, err
		}
	}
	if options.DryRun {
		err = m.read(ctx, pgx.ReadCommitted, func(tx pgx.Tx) (err error) {
			result, err = m.planDown(ctx, tx, options)
			return err
		})
		return result, err
	}
	err = m.write(ctx, func(s *session) (err error) {
		if result, err = m.planDown(ctx, s.tx, options); err != nil || len(result.Undone) == 0 {
			return err
		}
		if result.Jobs > options.LoseJobs {
			return &JobsLeftError{m.schema, result.Jobs, result.Locked}
		}
		if _, err := s.provider.DownTo(ctx, options.To); err != nil || options.To > 0 {
			return err
		}
		return m.dropSchema(ctx, s.tx)
	})
	return result, err
}

// planDown returns what Down would do. Unless that is a dry run it locks the table of jobs
// before it counts them, so that no job is added meanwhile.
func (m *Migrator) planDown(ctx context.Context, tx pgx.Tx, options DownOptions) (*DownResult, error) {
	status, err := m.status(ctx, tx)
	if err != nil {
		return nil, err
	}
	result := &DownResult{DryRun: options.DryRun, Undone: []Migration{}}
	for _, migration := range slices.Backward(status.Migrations) {
		if migration.AppliedAt != nil && migration.Version > options.To {
			result.Undone = append(result.Undone, migration)
		}
	}
	if err := status.Supported(); err != nil {
		return nil, err
	}
	if len(result.Undone) == 0 {
		return result, nil
	}
	if status.Newer() {
		return nil, &RevisionError{Schema: m.schema, Revision: status.Revision, Breaking: status.Breaking, Err: ErrRevisionTooNew}
	}
	const tables = 1 // the migration that creates the tables
	if result.Undone[len(result.Undone)-1].Version > tables {
		return result, nil
	}
	jobs := m.table("_private_jobs")
	if !options.DryRun {
		if _, err := tx.Exec(ctx, "lock table "+jobs+" in access exclusive mode"); err != nil {
			return nil, fmt.Errorf("lock table %s: %w", jobs, err)
		}
	}
	if err := tx.QueryRow(ctx, "select count(*), count(locked_at) from "+jobs).Scan(&result.Jobs, &result.Locked); err != nil {
		return nil, fmt.Errorf("count the jobs in %s: %w", jobs, err)
	}
	return result, nil
}

// dropSchema drops Goose's table, and the schema if it is then empty. It never drops the
// schema public.
func (m *Migrator) dropSchema(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "drop table "+m.table(VersionTable)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, graphile.Rename(`do $body$ begin
		if 'graphile_worker' <> 'public' and not exists (
			select from pg_catalog.pg_depend as d
			join pg_catalog.pg_namespace as n on n.oid = d.refobjid
			where d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and n.nspname = 'graphile_worker'
		) then
			drop schema graphile_worker;
		end if;
	end $body$`, m.schema))
	return err
}
