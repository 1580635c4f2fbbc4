package main

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/migrations"
)

// The exit codes, which exitCodeHelp documents.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitPending     = 3
	exitDrifted     = 4
	exitUnsupported = 5
	exitConnect     = 6
	exitRefused     = 7
	exitSkipped     = 8
	exitUnknown     = 9
	exitInterrupted = 130
)

const exitCodeHelp = `Exit codes:

    0  done; up to date
    1  any other error
    2  wrong usage; nothing was sent
    3  migrations are pending, or the schema is not installed
    4  not as it should be: the schema has drifted, a committed copy is stale,
       or jobs are of tasks that are not declared
    5  the schema is at a revision that this gwadmin does not work with, or is
       not Graphile Worker's
    6  cannot connect
    7  refused: not confirmed, jobs would be lost, workers hold jobs,
       another migrator is at work, or a lock could not be had in time;
       nothing was changed
    8  done, but some of the jobs were left alone; or there is no such job, task
       or queue
    9  unknown: the connection was lost before the database had answered; what
       was sent is done whole or not at all
  130  interrupted; what was done is said, and nothing is half done`

// A statusError ends the command with a code of its own.
type statusError struct {
	code int
	err  error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

// status ends the command with a code and prints nothing more.
func status(code int) error { return &statusError{code: code} }

// errInterrupted is the error if Ctrl-C comes before anything is done.
var errInterrupted = &statusError{exitInterrupted, errors.New("interrupted; nothing was changed")}

func refused(reason string) error {
	return &statusError{exitRefused, errors.New("refused: " + reason)}
}

func usage(err error) error { return &statusError{exitUsage, err} }

// wasInterrupted reports whether a signal has ended a call. It may be PostgreSQL that says
// that it has cancelled the statement.
func (a *app) wasInterrupted(err error) bool {
	select {
	case <-a.interrupted:
	default:
		return false
	}
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return errors.Is(err, context.Canceled) || ok && pgErr.Code == "57014"
}

// verdict is the exit code of an error, and its text.
func (a *app) verdict(err error) (code int, text string) {
	code, text = exitCode(err), describe(err)
	if code == exitError && a.wasInterrupted(err) {
		code = exitInterrupted
	}
	if code == exitInterrupted && a.wasInterrupted(err) && text != "" {
		text, _, _ = strings.Cut(text, " (SQLSTATE 57014)") // and advice about timeouts
		text = "interrupted: " + text
	}
	return code, text
}

// exitCode is the exit code that an error means.
func exitCode(err error) int {
	var status *statusError
	var connect *pgconn.ConnectError
	var config *pgconn.ParseConfigError
	var pgErr *pgconn.PgError
	switch {
	case errors.Is(err, admin.ErrOutcomeUnknown):
		return exitUnknown
	case errors.As(err, &status):
		return status.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, admin.ErrInvalid), errors.As(err, &config):
		return exitUsage
	case errors.As(err, &connect):
		return exitConnect
	case errors.Is(err, admin.ErrNotInstalled):
		return exitPending
	case errors.Is(err, migrations.ErrRevisionTooOld), errors.Is(err, migrations.ErrRevisionTooNew), errors.Is(err, migrations.ErrForeign):
		return exitUnsupported
	case errors.Is(err, migrations.ErrJobsLeft), errors.Is(err, migrations.ErrBusy), errors.Is(err, migrations.ErrLocked):
		return exitRefused
	case errors.As(err, &pgErr) && pgErr.Code == "55P03": // --lock-timeout expired at every try
		return exitRefused
	}
	return exitError
}
