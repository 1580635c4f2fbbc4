package admin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

var (
	// ErrNotInstalled means that the schema, or a part of it that the call needs, is
	// missing.
	ErrNotInstalled = graphile.ErrNotInstalled
	// ErrRevisionTooOld matches a [*RevisionError].
	ErrRevisionTooOld = graphile.ErrRevisionTooOld
	// ErrRevisionTooNew matches a [*RevisionError].
	ErrRevisionTooNew = graphile.ErrRevisionTooNew
	// ErrRowSecurity means that row-level security hides jobs from the role. Graphile
	// Worker enables it without a policy: a role that does not own the tables then sees
	// no row and changes no row, and PostgreSQL returns no error.
	ErrRowSecurity = errors.New("row security keeps jobs from this role")
	// ErrInvalid matches an [*InvalidError].
	ErrInvalid = errors.New("invalid input")
	// ErrContended means that at every try another transaction changed the job, or a
	// worker took it. The call has changed nothing and can be repeated.
	ErrContended = errors.New("job is contended")
)

// A RevisionError contains the unsupported revision of a schema.
type RevisionError = graphile.RevisionError

// An InvalidError lists all faults of the input of a call. It matches [ErrInvalid]. Nothing
// has been sent to the database, except a payload filter, which PostgreSQL itself checks.
type InvalidError struct {
	Call   string // the call, such as "add jobs"
	Faults []Fault
}

// A Fault is one fault of the input.
type Fault struct {
	// Index is the index of the job in a batch, from 0; nil in a call that takes one job.
	Index   *int
	Field   string // the option or argument
	Problem string // what is wrong with it, and what is allowed
}

func (f Fault) String() string {
	if f.Index != nil {
		return fmt.Sprintf("job %d: %s %s", *f.Index, f.Field, f.Problem)
	}
	return f.Field + " " + f.Problem
}

func (e *InvalidError) Error() string {
	faults := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		faults[i] = f.String()
	}
	return fmt.Sprintf("%s: %v: %s", e.Call, ErrInvalid, strings.Join(faults, "; "))
}

func (e *InvalidError) Unwrap() error { return ErrInvalid }

// failure wraps the error of a call and adds the sentinel error for its SQLSTATE. The
// *pgconn.PgError remains in the chain.
func (c *Client) failure(call string, err error) error {
	if err == nil {
		return nil
	}
	if unknown, ok := errors.AsType[*OutcomeUnknownError](err); ok {
		return &OutcomeUnknownError{Call: call, Sent: unknown.Sent, Err: unknown.Err}
	}
	var connectErr *pgconn.ConnectError
	if errors.As(err, &connectErr) { // its SQLSTATE is about the parameters of the connection
		return fmt.Errorf("%s: %w", call, graphile.Advise(err))
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch {
		case pgErr.Code == "42P01" || pgErr.Code == "42883" || pgErr.Code == "42704" || pgErr.Code == "3F000":
			err = notInstalled(c.Schema(), err)
		// PostgreSQL reports this routine, in any language, for a row that no policy allows.
		case pgErr.Code == "42501" && pgErr.Routine == "ExecWithCheckOptions":
			err = fmt.Errorf("%w: %w", ErrRowSecurity, err)
		default:
			err = graphile.Advise(err)
		}
	}
	return fmt.Errorf("%s: %w", call, err)
}

// notInstalled returns ErrNotInstalled with advice. The cause may be nil.
func notInstalled(schema string, cause error) error {
	err := graphile.NotInstalled(schema)
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return err
}
