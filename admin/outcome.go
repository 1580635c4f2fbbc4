package admin

import (
	"cmp"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrOutcomeUnknown says that nobody knows whether the call has done its work. It was
// sent, and then the connection was lost, or the caller's context ended, before the
// answer came. The work is done whole or not at all, perhaps a moment after the error.
//
// Look before the call is made again, or make it so that once more does no harm: a job
// with a JobKey is replaced by the second call unless a worker has taken it meanwhile.
// The cause is wrapped, too.
var ErrOutcomeUnknown = errors.New("outcome unknown")

// settled reports whether a statement that failed with the error has surely changed
// nothing: it was not sent, or PostgreSQL refused it.
//
// It does not ask pgconn.SafeToRetry: in the simple protocol pgx 5.12 calls it safe when
// the connection is lost after the statement was sent ("conn closed").
func settled(err error) bool {
	if errors.Is(err, ErrOutcomeUnknown) {
		return false
	}
	_, unconnected := errors.AsType[*pgconn.ConnectError](err)
	return unconnected || errors.Is(err, ErrContended) || refused(err)
}

// refused reports whether PostgreSQL has refused a statement, and undone it. An error that
// ends the session may come after the commit.
func refused(err error) bool {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	return ok && cmp.Or(refusal.SeverityUnlocalized, refusal.Severity) == "ERROR"
}
