package migrations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// UpResult says what [Migrator.Up] did.
type UpResult struct {
	// Applied are the migrations that ran, in order; empty when there was
	// nothing to do.
	Applied []Migration
	// Before and After are the newest revisions in Graphile Worker's ledger,
	// 0 where it had none.
	Before, After int
	// Newer is true where the database has been brought to a revision newer
	// than this package knows by a change that does not break it. Such a schema
	// is left as it is.
	Newer bool
}

// UpOptions alter [Migrator.Up]. The zero value, or nil, applies everything,
// whoever holds jobs.
type UpOptions struct {
	// To is the last migration to apply; nil means all. One that does not exist
	// is [ErrNoMigration].
	To *int64
	// WaitIdle is for a database whose ledger a breaking revision is to be
	// added to. Nil goes on whoever holds jobs. Otherwise Up waits until no worker
	// holds one, and looks again right before it changes anything: when so long
	// after its call one still does, it fails with a [*BusyError]; 0 does not
	// wait. Stale locks do not count.
	WaitIdle *time.Duration
}

// Up applies the pending migrations in one transaction. It waits for another
// migrator of the schema to finish, and for a Graphile Worker installation that
// is under way; running it again changes nothing. It locks no table of a schema
// that exists: workers go on meanwhile.
//
// A schema older than revision 18, or with a newer breaking revision, is
// refused with a [*RevisionError] before anything is changed, and so is, with
// [ErrForeign], one whose table migrations is not Graphile Worker's.
func (m *Migrator) Up(ctx context.Context, options *UpOptions) (*UpResult, error) {
	if options == nil {
		options = &UpOptions{}
	}
	if options.To != nil {
		if err := checkVersion(*options.To); err != nil {
			return nil, fmt.Errorf("migrate up: %w", err)
		}
	}
	if options.WaitIdle != nil && *options.WaitIdle < 0 {
		return nil, fmt.Errorf("migrate up: WaitIdle is negative: %s", *options.WaitIdle)
	}
	result, err := m.upIdle(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("migrate up: %w", m.refusal(ctx, err))
	}
	return result, nil
}

// upIdle brings the schema up, as soon as WaitIdle lets it.
func (m *Migrator) upIdle(ctx context.Context, options *UpOptions) (*UpResult, error) {
	if options.WaitIdle == nil {
		return m.up(ctx, options)
	}
	deadline := time.Now().Add(*options.WaitIdle)
	for {
		if err := m.waitIdle(ctx, deadline); err != nil {
			return nil, err
		}
		result, err := m.up(ctx, options)
		if !errors.Is(err, ErrBusy) || !time.Now().Before(deadline) {
			return result, err
		}
	}
}

// up brings the schema up, or returns a [*BusyError] when WaitIdle is set and a
// worker holds jobs now.
func (m *Migrator) up(ctx context.Context, options *UpOptions) (*UpResult, error) {
	var result *UpResult
	err := m.change(ctx, func(s *session) error {
		before, err := m.glance(ctx, s.tx)
		if err != nil {
			return err
		}
		if before.foreign {
			return m.foreign()
		}
		result = &UpResult{Before: before.Revision, After: before.Revision}
		if before.Breaking > graphile.NewestRevision {
			return graphile.CheckRevision(m.schema, before.Revision, before.Breaking)
		}
		if before.Revision > graphile.NewestRevision {
			result.Newer = true
			return nil
		}
		if options.WaitIdle != nil {
			if err := m.busy(ctx, s.tx); err != nil {
				return err
			}
		}
		if !before.exists {
			if _, err := s.tx.Exec(ctx, "create schema "+pgx.Identifier{m.schema}.Sanitize()); err != nil {
				return fmt.Errorf("create schema %q: %w", m.schema, err)
			}
		}
		up := s.provider.Up
		if options.To != nil {
			up = func(ctx context.Context) ([]*goose.MigrationResult, error) { return s.provider.UpTo(ctx, *options.To) }
		}
		applied, err := up(ctx)
		if err != nil {
			return err
		}
		for _, r := range applied {
			result.Applied = append(result.Applied, newMigration(r.Source))
		}
		after, err := m.state(ctx, s.tx)
		if err != nil {
			return err
		}
		result.After = after.Revision
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// aside runs fn, which only reads, and lets go of the tables again, so that an
// installation that is under way, or Down, does not wait for who is about to wait
// for it.
func aside(ctx context.Context, tx pgx.Tx, fn func(pgx.Tx) error) error {
	inner, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(inner), inner.Rollback(ctx))
}

// glance reads the state aside.
func (m *Migrator) glance(ctx context.Context, tx pgx.Tx) (state *state, err error) {
	err = aside(ctx, tx, func(tx pgx.Tx) error {
		state, err = m.state(ctx, tx)
		return err
	})
	return state, err
}

// refusal turns the SQLSTATE with which a migration refuses a revision into a
// [*RevisionError], and returns any other error as it is.
func (m *Migrator) refusal(ctx context.Context, err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || (pgErr.Code != "GWOLD" && pgErr.Code != "GWNEW") {
		return err
	}
	status, statusErr := m.Status(ctx)
	if statusErr != nil {
		return errors.Join(err, statusErr)
	}
	if refused := status.Supported(); refused != nil {
		return refused
	}
	return err // the schema has moved on since
}
