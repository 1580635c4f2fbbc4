package admin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

var (
	// ErrNotInstalled says that the schema is missing, or a part of it that the call
	// needs.
	ErrNotInstalled = graphile.ErrNotInstalled
	// ErrRevisionTooOld matches a [*RevisionError].
	ErrRevisionTooOld = graphile.ErrRevisionTooOld
	// ErrRevisionTooNew matches a [*RevisionError].
	ErrRevisionTooNew = graphile.ErrRevisionTooNew
	// ErrRowSecurity says that row-level security hides jobs from the role. Graphile
	// Worker enables it without a policy: a role that does not own the tables sees and
	// changes nothing, without an error from PostgreSQL.
	ErrRowSecurity = errors.New("row security keeps jobs from this role")
	// ErrInvalid matches an [*InvalidError].
	ErrInvalid = errors.New("invalid input")
	// ErrContended says that others took or changed a job at every try. The call has
	// changed nothing and may be made again.
	ErrContended = errors.New("job is contended")
)

// RevisionError says at which unsupported revision a schema is.
type RevisionError = graphile.RevisionError

// An InvalidError lists everything that is wrong with the input of a call. Nothing has
// been sent, except for a filter's JSON path, which only PostgreSQL can check. It matches
// [ErrInvalid].
type InvalidError struct {
	Call   string // the call, such as "add jobs"
	Faults []Fault
}

// A Fault is one thing wrong with the input.
type Fault struct {
	// Index is the place, from 0, of the job in a batch; nil in a call that takes one.
	Index   *int
	Field   string // the option or argument
	Problem string // what is wrong with it, and what would be right
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

// failure wraps the error of a call, and adds the sentinel that its SQLSTATE means. The
// *pgconn.PgError stays reachable.
func (c *Client) failure(call string, err error) error {
	if err == nil {
		return nil
	}
	var connectErr *pgconn.ConnectError
	if errors.As(err, &connectErr) { // its SQLSTATEs are about the connection's parameters
		return fmt.Errorf("%s: %w", call, err)
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch {
		case pgErr.Code == "42P01" || pgErr.Code == "42883" || pgErr.Code == "42704" || pgErr.Code == "3F000":
			err = notInstalled(c.Schema(), err)
		// PostgreSQL gives this routine for a row that no policy allows, in any language.
		case pgErr.Code == "42501" && pgErr.Routine == "ExecWithCheckOptions":
			err = fmt.Errorf("%w: %w", ErrRowSecurity, err)
		}
	}
	return fmt.Errorf("%s: %w", call, err)
}

// notInstalled is ErrNotInstalled with what to do; the cause may be nil.
func notInstalled(schema string, cause error) error {
	err := fmt.Errorf("%w: schema %q: install it with gwadmin migrate up or graphile-worker --schema-only", ErrNotInstalled, schema)
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return err
}
