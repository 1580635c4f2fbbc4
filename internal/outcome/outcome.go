// Package outcome tells what is known of a statement or a COMMIT that failed.
package outcome

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrUnknown means that a statement or a COMMIT was sent, and no answer came.
var ErrUnknown = errors.New("outcome unknown")

// Refused reports whether PostgreSQL has refused a statement, and undone it. An error that
// ends the session may come after the commit. So may one of class 08, by which a pooler
// says that it has lost the server.
func Refused(err error) bool {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	return ok && cmp.Or(refusal.SeverityUnlocalized, refusal.Severity) == "ERROR" && !strings.HasPrefix(refusal.Code, "08")
}

// Settled reports whether a statement that failed with the error has surely changed
// nothing: there was no connection to send it on, or PostgreSQL refused it.
//
// It does not ask pgconn.SafeToRetry: in the simple protocol pgx 5.12 calls it safe when
// the connection is lost after the statement was sent ("conn closed").
func Settled(err error) bool {
	if errors.Is(err, ErrUnknown) {
		return false
	}
	_, unconnected := errors.AsType[*pgconn.ConnectError](err)
	return unconnected || errors.Is(err, pgx.ErrTxCommitRollback) || errors.Is(err, pgx.ErrTxClosed) || Refused(err)
}

// Commit commits a transaction. Once the context has ended, COMMIT may go on for the grace.
func Commit(ctx context.Context, tx interface{ Commit(context.Context) error }, grace time.Duration) error {
	graced, cancel := Graced(ctx, grace)
	defer cancel()
	err := tx.Commit(graced)
	if err != nil && graced.Err() != nil {
		return fmt.Errorf("COMMIT had no answer within %s: %w: %w", grace, ctx.Err(), err)
	}
	return err
}

// Graced returns a context that ends when the grace is over that begins with the end of
// ctx. It is for a COMMIT, whose outcome would be unknown if it ended with ctx.
func Graced(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	graced, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-graced.Done():
		}
	})
	return graced, func() {
		stop()
		cancel()
	}
}
