// Package gwadmincmd builds the command gwadmin and runs it, for the tests of what a pipeline
// does.
package gwadmincmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gwadmin/gwadmin/internal/pgtest"
)

var dir string

// Main is the TestMain of a package that uses [File]. It returns the exit code.
func Main(m *testing.M) int {
	defer Remove()
	return pgtest.Main(m)
}

// Remove removes the command, if it was built.
func Remove() {
	if dir != "" {
		_ = os.RemoveAll(dir)
	}
}

var build = sync.OnceValues(func() (string, error) {
	var err error
	if dir, err = os.MkdirTemp("", "gwadmin-command-"); err != nil {
		return "", err
	}
	name := filepath.Join(dir, "gwadmin")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	// From another module, too, the command is built as the main module has it.
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command("go", "build", "-o", name, "./cmd/gwadmin")
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build gwadmin: %w\n%s", err, out)
	}
	return name, nil
})

// File is the file of the command, which is built once. Its name without the directory is
// gwadmin.
func File(tb testing.TB) string {
	tb.Helper()
	name, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	return name
}

// Env is the environment without variables that lead to another database, with some more.
func Env(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "PG") || strings.HasPrefix(variable, "GWADMIN_") || strings.HasPrefix(variable, "DATABASE_URL=")
	})
	return append(env, more...)
}

// A Result is what a program ended with.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs the command on a database.
func Run(ctx context.Context, tb testing.TB, database string, args ...string) Result {
	tb.Helper()
	cmd := exec.CommandContext(ctx, File(tb), args...)
	cmd.Env = Env("DATABASE_URL=" + database)
	return Finish(tb, cmd)
}

// Finish runs a program to its end.
func Finish(tb testing.TB, cmd *exec.Cmd) Result {
	tb.Helper()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		tb.Fatal(err)
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
