// Package promtool finds Prometheus' programs for tests.
package promtool

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Find returns the file of a program of Prometheus, such as promtool: one that is installed,
// or the one that .ci/install has unpacked. Where there is none the test is skipped, but
// fails if CI is set.
func Find(tb testing.TB, name string) string {
	tb.Helper()
	if file, err := exec.LookPath(name); err == nil {
		return file
	}
	if cache, err := os.UserCacheDir(); err == nil {
		if file, err := exec.LookPath(filepath.Join(cache, "gwadmin", "prometheus", "usr", "bin", name)); err == nil {
			return file
		}
	}
	if os.Getenv("CI") != "" {
		tb.Fatalf("there is no %s: .ci/install fetches it", name)
	}
	tb.Skipf("there is no %s: install Prometheus, or let .ci/install fetch it", name)
	return ""
}
