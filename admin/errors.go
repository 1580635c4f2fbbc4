package admin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

var (
	// ErrNotInstalled says that the schema, or a part of it that the call
	// needs, is not there.
	ErrNotInstalled = graphile.ErrNotInstalled
	// ErrRevisionTooOld matches a [*RevisionError].
	ErrRevisionTooOld = graphile.ErrRevisionTooOld
	// ErrRevisionTooNew matches a [*RevisionError].
	ErrRevisionTooNew = graphile.ErrRevisionTooNew
	// ErrRowSecurity says that row-level security keeps the tables from the
	// role. Graphile Worker enables it without a policy, so that whoever does not
	// own the tables sees and changes nothing, and hears of no error.
	ErrRowSecurity = errors.New("row security keeps jobs from this role")
	// ErrInvalid matches an [*InvalidError].
	ErrInvalid = errors.New("invalid input")
	// ErrContended says that a job was taken or changed by others at every try.
	// The call has changed nothing; it may be made again.
	ErrContended = errors.New("job is contended")
)

// RevisionError says at which unsupported revision a schema is.
type RevisionError = graphile.RevisionError

// An InvalidError names everything that is wrong with a call's input. Nothing has
// been sent, except where only PostgreSQL can tell: a filter's JSON path. It matches
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

// failure says which call failed, and puts the sentinel in front of the SQLSTATEs
// that mean one. The *pgconn.PgError stays within reach.
func (c *Client) failure(call string, err error) error {
	if err == nil {
		return nil
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch {
		case pgErr.Code == "42P01" || pgErr.Code == "42883" || pgErr.Code == "42704" || pgErr.Code == "3F000":
			err = fmt.Errorf("%w: schema %q: install it with gwadmin migrate up or graphile-worker --schema-only: %w",
				ErrNotInstalled, c.Schema(), err)
		// This is how a row that no policy lets in is refused, in any language.
		case pgErr.Code == "42501" && pgErr.Routine == "ExecWithCheckOptions":
			err = fmt.Errorf("%w: %w", ErrRowSecurity, err)
		}
	}
	return fmt.Errorf("%s: %w", call, err)
}
