package migrations

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// UpOptions are those of [Migrator.Up]. The zero value, or nil, applies everything, even
// while workers hold jobs.
type UpOptions struct {
	// To is the last migration to apply; nil means all. If there is no such migration
	// the error is [ErrNoMigration].
	To *int64
	// WaitIdle matters only if a breaking revision is pending: workers that are older
	// than it are told to stop, and may not be able to finish the jobs that they hold.
	// (With revision 19, the only one so far, they are.) Nil does not look for them.
	// Otherwise Up waits until no worker holds a job, for so long at most; then it fails
	// with a [*BusyError]. 0 does not wait. Stale locks do not count.
	WaitIdle *time.Duration
}

func (o *UpOptions) check() error {
	if o.WaitIdle != nil && *o.WaitIdle < 0 {
		return fmt.Errorf("WaitIdle is negative: %s", *o.WaitIdle)
	}
	if o.To == nil {
		return nil
	}
	_, err := stepOf(*o.To)
	return err
}

// UpResult is what [Migrator.Up] did.
type UpResult struct {
	// Applied are the migrations that it applied, in order; empty, not nil, if there was
	// nothing to do.
	Applied []Migration `json:"applied"`
	// Before and After are the newest revisions in Graphile Worker's ledger; 0 if there
	// was none.
	Before int `json:"revision_before"`
	After  int `json:"revision_after"`
	// Newer reports that the schema is at a newer revision than this package knows,
	// which is not a breaking one. Up left it unchanged.
	Newer bool `json:"newer"`
}

// Up applies the pending migrations in one transaction. If all are applied it changes
// nothing. It waits for another migrator of the schema, and for a Graphile Worker
// installation that is under way. It locks no table of an installed schema: workers go
// on meanwhile.
//
// Before it changes anything it refuses a schema that is older than revision 18 or has a
// newer breaking revision, with a [*RevisionError], and one whose table migrations is not
// Graphile Worker's, with [ErrForeign].
func (m *Migrator) Up(ctx context.Context, options *UpOptions) (*UpResult, error) {
	if options == nil {
		options = &UpOptions{}
	}
	if err := options.check(); err != nil {
		return nil, fmt.Errorf("migrate up: %w", err)
	}
	var deadline time.Time
	if options.WaitIdle != nil {
		deadline = time.Now().Add(*options.WaitIdle)
	}
	for {
		result, err := m.up(ctx, options)
		left := time.Until(deadline)
		if !errors.Is(err, ErrBusy) || left <= 0 {
			if err != nil {
				return nil, fmt.Errorf("migrate up: %w", m.refusal(ctx, err))
			}
			return result, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("migrate up: %w: %w", ctx.Err(), err)
		case <-time.After(min(left, 250*time.Millisecond)):
		}
	}
}

// up applies the migrations, or returns a [*BusyError].
func (m *Migrator) up(ctx context.Context, options *UpOptions) (*UpResult, error) {
	var result *UpResult
	err := m.write(ctx, func(s *session) error {
		before, err := m.status(ctx, s.tx)
		if err != nil {
			return err
		}
		result = &UpResult{Applied: []Migration{}, Before: before.Revision, After: before.Revision}
		// An older revision may be that of an installation under way: the first migration
		// waits for it.
		if before.Foreign || before.Breaking > graphile.NewestRevision {
			return before.Supported()
		}
		if result.Newer = before.Newer(); result.Newer {
			return nil
		}
		if options.WaitIdle != nil {
			holders, err := m.holders(ctx, s.tx, before)
			if err != nil {
				return err
			}
			if len(holders) > 0 {
				return &BusyError{Schema: m.schema, Revision: graphile.NewestBreaking, Holders: holders}
			}
		}
		if _, err := s.tx.Exec(ctx, graphile.Rename(createSchema, m.schema)); err != nil {
			return fmt.Errorf("create schema %q: %w", m.schema, err)
		}
		up := s.provider.Up
		if options.To != nil {
			up = func(ctx context.Context) ([]*goose.MigrationResult, error) { return s.provider.UpTo(ctx, *options.To) }
		}
		applied, err := up(ctx)
		if err != nil {
			return err
		}
		after, err := m.status(ctx, s.tx)
		if err != nil {
			return err
		}
		result.After = after.Revision
		for _, r := range applied {
			step, err := stepOf(r.Source.Version)
			if err != nil {
				return err
			}
			result.Applied = append(result.Applied, Migration{Version: step.Version, Name: step.Name})
		}
		return nil
	})
	return result, err
}

// refusal returns a [*RevisionError] for the SQLSTATEs with which a migration refuses a
// revision, and any other error unchanged.
func (m *Migrator) refusal(ctx context.Context, err error) error {
	if code := sqlState(err); code != "GWOLD" && code != "GWNEW" {
		return err
	}
	status, statusErr := m.Status(ctx)
	if statusErr != nil {
		return errors.Join(err, statusErr)
	}
	if refused := status.Supported(); refused != nil {
		return refused
	}
	return err // the revision has changed since
}

// A Holder is a worker pool that holds jobs (before Graphile Worker 0.17: a worker).
type Holder struct {
	WorkerID string    `json:"worker_id"`
	Jobs     int64     `json:"jobs"`
	Oldest   time.Time `json:"oldest"` // when it locked the first of them, in UTC
}

// A BusyError lists the workers that hold jobs while a breaking revision is pending. It
// matches [ErrBusy].
type BusyError struct {
	Schema   string
	Revision int // the breaking revision
	Holders  []Holder
}

func (e *BusyError) Error() string {
	holders := make([]string, len(e.Holders))
	for i, h := range e.Holders {
		holders[i] = fmt.Sprintf("%s holds %d since %s", h.WorkerID, h.Jobs, h.Oldest.Format(time.RFC3339))
	}
	return fmt.Sprintf("%v in schema %q, and the pending revision %d is a breaking one: %s: stop the workers, wait for them, or go on regardless",
		ErrBusy, e.Schema, e.Revision, strings.Join(holders, ", "))
}

func (e *BusyError) Unwrap() error { return ErrBusy }

// holders returns who holds jobs, if a breaking revision is pending.
func (m *Migrator) holders(ctx context.Context, tx pgx.Tx, status *Status) (holders []Holder, err error) {
	if status.Revision < graphile.OldestRevision || status.Revision >= graphile.NewestBreaking {
		return nil, nil
	}
	err = rollback(ctx, tx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			select coalesce(locked_by, ''), count(*), min(locked_at)
			from `+m.table("_private_jobs")+`
			where locked_at >= pg_catalog.now() - interval '4 hours'
			group by locked_by
			order by locked_by`)
		if err != nil {
			return err
		}
		holders, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (h Holder, err error) {
			err = row.Scan(&h.WorkerID, &h.Jobs, &h.Oldest)
			h.Oldest = h.Oldest.UTC()
			return h, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for workers that hold jobs: %w", err)
	}
	return holders, nil
}
