package graphile

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// advice is what to do about an error whose cause is a limit of the server, by SQLSTATE.
var advice = map[string]string{
	"25006": "the server or the session is read-only: connect to the primary, which target_session_attrs=read-write finds, or turn default_transaction_read_only off",
	"25P03": "the transaction was idle for longer than idle_in_transaction_session_timeout, and is rolled back: begin it again, and let less time pass in it",
	"53100": "the server's disk is full: free space there, and try again",
	"53300": "the server has no connection left: use smaller pools or a pooler, or raise max_connections",
	"54001": "a value is nested more deeply than the server's max_stack_depth allows: give it fewer levels, or raise max_stack_depth",
	"55P03": "another session held a lock for longer than lock_timeout: try again, or raise lock_timeout",
	"57014": "the statement ran for longer than statement_timeout, or was cancelled by hand: use smaller batches, or raise statement_timeout",
}

// Advise adds to an error from PostgreSQL what to do about it, if its cause is a limit or a
// setting of the server.
func Advise(err error) error {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	code := pgErr.Code
	// A standby refuses to begin a read-write transaction as a feature that it does not have.
	if code == "0A000" && pgErr.Routine == "call_bool_check_hook" {
		code = "25006"
	}
	if advice[code] == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, advice[code])
}
