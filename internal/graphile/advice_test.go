package graphile

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestAdvise(t *testing.T) {
	t.Parallel()
	full := &pgconn.PgError{Severity: "ERROR", Code: "53100", Message: "could not extend file"}
	other := &pgconn.PgError{Severity: "ERROR", Code: "23514", Message: "violates a check"}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("add: %w", full), "add: ERROR: could not extend file (SQLSTATE 53100): the server's disk is full: free space there, and try again"},
		{other, "ERROR: violates a check (SQLSTATE 23514)"},
		{errors.New("no PostgreSQL"), "no PostgreSQL"},
	} {
		got := Advise(tc.err)
		if diff := cmp.Diff(tc.want, got.Error()); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if !errors.Is(got, tc.err) {
			t.Errorf("%v does not wrap %v", got, tc.err)
		}
	}
	if Advise(nil) != nil {
		t.Error("nil is an error")
	}
}
