package pgtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/gwadmin/gwadmin/internal/pgserver"
)

// Example returns what a runnable example, which has no testing.TB of its own, passes to
// this package. The example calls done at its end.
func Example() (tb testing.TB, done func()) {
	e := &example{}
	return e, func() {
		for _, f := range slices.Backward(e.cleanups) {
			f()
		}
	}
}

// Main runs the tests of a package with examples, and returns the exit code. It skips the
// examples where there is no server, as the tests are skipped there.
func Main(m *testing.M) int {
	flag.Parse()
	if _, err := shared(); errors.Is(err, pgserver.ErrNoPostgres) && os.Getenv("CI") == "" {
		_ = flag.Set("test.skip", "^Example")
	}
	return m.Run()
}

type example struct {
	testing.TB
	cleanups []func()
}

func (*example) Name() string              { return "example" }
func (*example) Context() context.Context  { return context.Background() }
func (*example) Failed() bool              { return false }
func (*example) Helper()                   {}
func (*example) Logf(string, ...any)       {}
func (*example) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (*example) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (*example) Skip(args ...any)          { panic(fmt.Sprint(args...)) }
func (e *example) Cleanup(f func())        { e.cleanups = append(e.cleanups, f) }
