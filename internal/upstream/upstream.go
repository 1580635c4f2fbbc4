// Package upstream runs the released npm package graphile-worker, so that tests
// compare this module with its migrations, its client and its workers.
//
// [Ensure] installs the packages. [Install] installs a release's schema. [Fetch] gets a
// release that the tests do not know yet. [Start] starts
// a process that calls the JavaScript client and runs workers. [SeedStates] fills a
// schema with jobs in every state, and [Snapshot] reads all of its rows.
package upstream

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gwadmin/gwadmin/internal/cache"
)

// Versions are the releases that are installed, oldest first.
var Versions = []string{"0.16.6", "0.17.3", "0.18.0"}

// Newest is the release whose schema ours must equal. GWADMIN_UPSTREAM in the environment
// names another one, to see which tests would fail on it.
var Newest = cmp.Or(os.Getenv("GWADMIN_UPSTREAM"), Versions[len(Versions)-1])

// DefaultSchema is where graphile-worker installs itself unless told otherwise.
const DefaultSchema = "graphile_worker"

// Revision is the database revision that a release of [Versions] installs, and
// 0 for another.
func Revision(version string) int {
	return map[string]int{"0.16.6": 18, "0.17.3": 19, "0.18.0": 20}[version]
}

// ErrUnavailable says that node or npm is not on the PATH.
var ErrUnavailable = errors.New("node and npm are needed to run graphile-worker")

// Ensure installs the packages unless they are installed. Without node or npm it skips
// the test, or fails it if CI is set in the environment. It may be called from many
// tests and processes at once.
func Ensure(tb testing.TB) {
	tb.Helper()
	_, err := Fetch(tb.Context(), Newest)
	switch {
	case errors.Is(err, ErrUnavailable) && os.Getenv("CI") == "":
		tb.Skip(err)
	case err != nil:
		tb.Fatal(err)
	}
}

// What npm installs: the releases of graphile-worker, and TypeScript.
var (
	//go:embed packages/package.json
	manifest []byte
	//go:embed packages/package-lock.json
	lock []byte
)

// packages returns the directory whose node_modules holds a release. The first call on a
// machine installs all of [Versions] into the cache.
func packages(ctx context.Context, version string) (string, error) {
	base, err := cacheDir()
	if err != nil {
		return "", err
	}
	if slices.Contains(Versions, version) {
		return installPackages(ctx, base)
	}
	dir := fetchedDir(base, version)
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("unknown release %q, want one of %q or a fetched one", version, Versions)
	}
	return dir, nil
}

// installPackages installs below base, in a directory named after the content of
// the manifests.
func installPackages(ctx context.Context, base string) (string, error) {
	dir := filepath.Join(base, fmt.Sprintf("upstream-%.8x", sha256.Sum256(slices.Concat(manifest, lock))))
	err := cache.Make(ctx, dir, func(dir string) error { return cache.NPM(ctx, dir, manifest, lock) })
	if err != nil {
		return "", fmt.Errorf("install graphile-worker from npm: %w", err)
	}
	return dir, nil
}

// cacheDir returns the cache's directory, unless node or npm is missing.
func cacheDir() (string, error) {
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return cache.Dir()
}
