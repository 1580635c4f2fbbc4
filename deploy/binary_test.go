package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gwadmin/gwadmin/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// built is the command, built once for all tests.
var built struct {
	sync.Once
	dir, file string
	err       error
}

// gwadminFile builds the command and returns its file.
func gwadminFile(t testing.TB) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "gwadmin-deploy-"); built.err != nil {
			return
		}
		built.file = filepath.Join(built.dir, "gwadmin")
		if out, err := exec.Command("go", "build", "-o", built.file, "../cmd/gwadmin").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build gwadmin: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.file
}

// environ is the environment without variables that lead to another database, and with some
// more.
func environ(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "PG") || strings.HasPrefix(variable, "GWADMIN_") || strings.HasPrefix(variable, "DATABASE_URL=")
	})
	return append(env, more...)
}

// A result is what a run of a program ended with.
type result struct {
	code           int
	stdout, stderr string
}

// gwadmin runs the command on a database.
func gwadmin(ctx context.Context, t testing.TB, database string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(ctx, gwadminFile(t), args...)
	cmd.Env = environ("DATABASE_URL=" + database)
	return finish(t, cmd)
}

// finish runs a program to its end.
func finish(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
