package outcome_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/internal/outcome"
)

func TestSettled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason  string
		err     error
		settled bool
	}{
		{"refused", &pgconn.PgError{Severity: "FEHLER", SeverityUnlocalized: "ERROR", Code: "23514"}, true},
		{"canceled", &pgconn.PgError{Severity: "ERROR", Code: "57014"}, true},
		{"the session was ended", &pgconn.PgError{Severity: "FATAL", Code: "57P01"}, false},
		{"the server crashed", &pgconn.PgError{Severity: "PANIC", Code: "XX000"}, false},
		{"PgBouncer lost the server, before 1.16", &pgconn.PgError{Severity: "ERROR", Code: "08P01", Message: "server conn crashed?"}, false},
		{"lost", io.ErrUnexpectedEOF, false},
		{"not connected", fmt.Errorf("add job: %w", &pgconn.ConnectError{}), true},
		{"the transaction was aborted", pgx.ErrTxCommitRollback, true},
		{"unknown, and the cause was refused", errors.Join(outcome.ErrUnknown, &pgconn.PgError{Severity: "ERROR", Code: "42501"}), false},
	} {
		if diff := cmp.Diff(tc.settled, outcome.Settled(tc.err)); diff != "" {
			t.Errorf("%s: -want +got\n%s", tc.reason, diff)
		}
	}
}

// The grace begins with the end of the context.
func TestGraced(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	long, endLong := outcome.Graced(ctx, time.Hour)
	short, endShort := outcome.Graced(ctx, time.Nanosecond)
	defer endShort()
	if long.Err() != nil || short.Err() != nil {
		t.Errorf("ended before the context: %v, %v", long.Err(), short.Err())
	}
	cancel()
	<-short.Done()
	if long.Err() != nil {
		t.Errorf("ended with the context: %v", long.Err())
	}
	endLong()
	<-long.Done()
}
