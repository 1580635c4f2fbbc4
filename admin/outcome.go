package admin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/internal/outcome"
)

// ErrOutcomeUnknown matches an [*OutcomeUnknownError].
var ErrOutcomeUnknown = outcome.ErrUnknown

// An OutcomeUnknownError says that nobody knows whether a call has done its work. The
// statement or its COMMIT was sent. Then the connection was lost or the context ended,
// before the answer came. What was sent is done whole or not at all, perhaps a moment after
// the error. With any other error of a call it is not done.
//
// Look before the call is made again, or make it so that once more does no harm: a job with
// a JobKey is replaced by the second call unless a worker has taken it meanwhile.
//
// It matches [ErrOutcomeUnknown], and wraps the cause. Dry runs and calls that only read do
// not return it. Neither does a client in the caller's transaction: there the caller's
// COMMIT decides.
type OutcomeUnknownError struct {
	Call string // the call, such as "complete jobs"
	Sent Sent   // what was sent
	Err  error  // the cause
}

// Sent is what a call has sent, in numbers and ids.
type Sent struct {
	Jobs    int         `json:"jobs,omitempty"`    // the number of jobs; of ids in a call by ids
	IDs     []int64     `json:"ids,omitempty"`     // the ids of these jobs, in order; nil if the call adds jobs or finds them itself
	Batch   int         `json:"batch,omitempty"`   // which batch of a call by filter or of a task of Cleanup, from 1; 0: the call has no batches
	Task    CleanupTask `json:"task,omitempty"`    // the task of Cleanup
	Queues  int         `json:"queues,omitempty"`  // the number of queues
	Workers int         `json:"workers,omitempty"` // the number of workers
}

// String returns the numbers, such as "batch 3 with 1000 jobs".
func (s Sent) String() string {
	var parts []string
	if s.Task != "" {
		parts = append(parts, string(s.Task))
	}
	if s.Batch > 0 {
		parts = append(parts, fmt.Sprintf("batch %d", s.Batch))
	}
	where := strings.Join(parts, " ")
	var numbers []string
	for _, number := range []struct {
		n    int
		what string
	}{{s.Jobs, "job"}, {s.Queues, "queue"}, {s.Workers, "worker"}} {
		switch {
		case number.n == 1:
			numbers = append(numbers, "1 "+number.what)
		case number.n > 1:
			numbers = append(numbers, fmt.Sprintf("%d %ss", number.n, number.what))
		}
	}
	what := strings.Join(numbers, " and ")
	if where != "" && what != "" {
		return where + " with " + what
	}
	return where + what
}

func (e *OutcomeUnknownError) Error() string {
	return fmt.Sprintf("%s: %v: sent %s: look before you repeat the call: %v", e.Call, ErrOutcomeUnknown, e.Sent, e.Err)
}

func (e *OutcomeUnknownError) Unwrap() []error { return []error{ErrOutcomeUnknown, e.Err} }

// CommitGrace is how long a COMMIT may go on after the context of its call has ended. Then
// its connection is closed, and the call returns an [*OutcomeUnknownError]. Before the
// COMMIT is sent, the end of the context rolls the transaction back.
const CommitGrace = 10 * time.Second

// WithCommitGrace sets another time than [CommitGrace]. With 0 the COMMIT ends with the
// context.
func WithCommitGrace(grace time.Duration) Option {
	return func(c *Client) { c.grace = max(0, grace) }
}

// sentAs adds to an [*OutcomeUnknownError] what was sent.
func sentAs(sent Sent, err error) error {
	if unknown, ok := errors.AsType[*OutcomeUnknownError](err); ok {
		err = &OutcomeUnknownError{Call: unknown.Call, Sent: sent, Err: unknown.Err}
	}
	return err
}

// unknown returns an [*OutcomeUnknownError] for the error of a statement, unless the
// statement has surely changed nothing.
func unknown(err error) error {
	if err == nil || settled(err) || errors.Is(err, ErrOutcomeUnknown) {
		return err
	}
	return &OutcomeUnknownError{Err: err}
}

// committed returns the error of reading what a statement has changed. The change has
// committed, unless the client is in a transaction. The caller does not learn what it is.
func (c *Client) committed(err error) error {
	if err == nil || c.inTransaction() {
		return err
	}
	return &OutcomeUnknownError{Err: err}
}

// settled reports whether a statement that failed with the error has surely changed
// nothing.
func settled(err error) bool {
	return outcome.Settled(err) || errors.Is(err, ErrContended) || errors.Is(err, pgx.ErrNoRows) ||
		errors.Is(err, ErrDriver) || errors.Is(err, sql.ErrConnDone)
}

// changing runs a statement that changes something. Outside of a transaction the statement
// commits what it does.
func changing[T any](ctx context.Context, c *Client, statement func(*Client) (T, error)) (T, error) {
	var none T
	if c.inTransaction() {
		return statement(c)
	}
	on, release, err := c.lease(ctx)
	if err != nil {
		return none, err
	}
	defer release()
	if err := ctx.Err(); err != nil {
		return none, err
	}
	unusable := on.unusable()
	result, err := statement(on)
	if unusable { // nothing can be sent
		return result, err
	}
	return result, unknown(err)
}

// unusable reports whether the connection of a client is closed or in use by another call.
func (c *Client) unusable() bool {
	var conn *pgconn.PgConn
	switch on := c.conn.db.(type) {
	case interface{ PgConn() *pgconn.PgConn }:
		conn = on.PgConn()
	case interface{ Conn() *pgx.Conn }:
		conn = on.Conn().PgConn()
	}
	return conn != nil && (conn.IsClosed() || conn.IsBusy())
}
