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
	// added to. Nil goes on whoever holds jobs. Otherwise Up waits so long until
	// no worker holds one, and then fails with a [*BusyError]; 0 does not wait.
	// Stale locks do not count.
	WaitIdle *time.Duration
}

// Up applies the pending migrations in one transaction. It waits for another
// migrator of the schema to finish, and for a Graphile Worker installation that
// is under way; running it again changes nothing. It locks no table of a schema
// that exists: workers go on meanwhile.
//
// A schema older than revision 18, or with a newer breaking revision, is
// refused with a [*RevisionError] before anything is changed.
func (m *Migrator) Up(ctx context.Context, options *UpOptions) (*UpResult, error) {
	if options == nil {
		options = &UpOptions{}
	}
	if options.To != nil {
		if err := checkVersion(*options.To); err != nil {
			return nil, fmt.Errorf("migrate up: %w", err)
		}
	}
	if options.WaitIdle != nil {
		if *options.WaitIdle < 0 {
			return nil, fmt.Errorf("migrate up: WaitIdle is negative: %s", *options.WaitIdle)
		}
		if err := m.waitIdle(ctx, *options.WaitIdle); err != nil {
			return nil, fmt.Errorf("migrate up: %w", err)
		}
	}
	var result *UpResult
	err := m.change(ctx, func(s *session) error {
		before, err := m.glance(ctx, s.tx)
		if err != nil {
			return err
		}
		result = &UpResult{Before: before.Revision, After: before.Revision}
		if before.Breaking > graphile.NewestRevision {
			return graphile.CheckRevision(m.schema, before.Revision, before.Breaking)
		}
		if before.Revision > graphile.NewestRevision {
			result.Newer = true
			return nil
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
		return nil, fmt.Errorf("migrate up: %w", m.refusal(ctx, err))
	}
	return result, nil
}

// glance reads the state and lets go of the tables again, so that an installation
// that is under way, or Down, does not wait for who is about to wait for it.
func (m *Migrator) glance(ctx context.Context, tx pgx.Tx) (*state, error) {
	inner, err := tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	state, err := m.state(ctx, inner)
	return state, errors.Join(err, inner.Rollback(ctx))
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
	if err := graphile.CheckRevision(m.schema, status.Revision, status.Breaking); err != nil {
		return err
	}
	return err
}
