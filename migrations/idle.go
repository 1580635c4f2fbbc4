package migrations

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// A Holder is a worker pool (before Graphile Worker 0.17 a worker) that holds jobs.
type Holder struct {
	WorkerID string    `json:"worker_id"`
	Jobs     int64     `json:"jobs"`
	Oldest   time.Time `json:"oldest"` // when it took the first of them, in UTC
}

// A BusyError says which workers hold jobs while a breaking revision is to come:
// they would not be able to go on after these. It matches [ErrBusy].
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
	return fmt.Sprintf("%v in schema %q, and revision %d is a breaking one: %s: stop the workers, wait for them, or go on regardless",
		ErrBusy, e.Schema, e.Revision, strings.Join(holders, ", "))
}

func (e *BusyError) Unwrap() error { return ErrBusy }

// waitIdle waits until no worker holds a job, if a breaking revision is to come,
// and at the deadline returns a [*BusyError]. Between two looks it holds nothing
// itself.
func (m *Migrator) waitIdle(ctx context.Context, deadline time.Time) error {
	for {
		err := m.read(ctx, pgx.ReadCommitted, func(tx pgx.Tx) error { return m.busy(ctx, tx) })
		left := time.Until(deadline)
		if !errors.Is(err, ErrBusy) || left <= 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(left, 250*time.Millisecond)):
		}
	}
}

// busy returns a [*BusyError] when a worker holds jobs and a breaking revision is
// to come.
func (m *Migrator) busy(ctx context.Context, tx pgx.Tx) error {
	holders, err := m.holders(ctx, tx)
	if err != nil {
		return fmt.Errorf("look for workers that hold jobs: %w", err)
	}
	if len(holders) == 0 {
		return nil
	}
	return &BusyError{Schema: m.schema, Revision: graphile.NewestBreaking, Holders: holders}
}

// Holders returns who holds jobs of a schema that Up would bring a breaking
// revision to, in the order of their ids, and nobody where none is to come. Stale
// locks do not count.
func (m *Migrator) Holders(ctx context.Context) (holders []Holder, err error) {
	err = m.read(ctx, pgx.ReadCommitted, func(tx pgx.Tx) error {
		holders, err = m.holders(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for workers that hold jobs: %w", err)
	}
	return holders, nil
}

// holders finds them aside.
func (m *Migrator) holders(ctx context.Context, tx pgx.Tx) (holders []Holder, err error) {
	err = aside(ctx, tx, func(tx pgx.Tx) error {
		state, err := m.state(ctx, tx)
		if err != nil || state.Revision < graphile.OldestRevision || state.Revision >= graphile.NewestBreaking {
			return err
		}
		rows, err := tx.Query(ctx, graphile.Rename(`
			select coalesce(locked_by, ''), count(*), min(locked_at)
			from graphile_worker._private_jobs
			where locked_at >= pg_catalog.now() - interval '4 hours'
			group by locked_by
			order by locked_by`, m.schema))
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
	return holders, err
}
