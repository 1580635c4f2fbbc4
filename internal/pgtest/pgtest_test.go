package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/internal/pgtest"
)

// template makes a database with one row, and counts how often it did.
func template(name, key string, built *atomic.Int32) *pgtest.Template {
	return &pgtest.Template{Name: name, Key: key, Build: func(ctx context.Context, url string) error {
		built.Add(1)
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "create schema s; create table s.t as select '"+key+"' as key")
		return err
	}}
}

func query[T any](tb testing.TB, url, sql string, args ...any) T {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(tb.Context())
	var value T
	if err := conn.QueryRow(tb.Context(), sql, args...).Scan(&value); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return value
}

func TestParallelClones(t *testing.T) {
	t.Parallel()
	var built atomic.Int32
	tpl := template("parallel clones", "a", &built)
	t.Run("group", func(t *testing.T) {
		for i := range 12 {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				pool := pgtest.Pool(t, tpl)
				if _, err := pool.Exec(t.Context(), "insert into s.t values ('mine')"); err != nil {
					t.Fatal(err)
				}
				var rows int
				if err := pool.QueryRow(t.Context(), "select count(*) from s.t").Scan(&rows); err != nil {
					t.Fatal(err)
				}
				if rows != 2 {
					t.Errorf("%d rows, want the template's and this test's", rows)
				}
			})
		}
	})
	if built.Load() > 1 {
		t.Errorf("built %d times, want once", built.Load())
	}
}

func TestKeyChangesTemplate(t *testing.T) {
	t.Parallel()
	var built atomic.Int32
	for _, key := range []string{"one", "two", "one"} {
		url := pgtest.URL(t, template("key", key, &built))
		if got := query[string](t, url, "select key from s.t"); got != key {
			t.Errorf("the clone is of %q, want %q", got, key)
		}
	}
	if built.Load() > 2 {
		t.Errorf("built %d times, want once a key", built.Load())
	}
}

func TestFailedBuildLeavesNoTemplate(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	dir := pgtest.URL(t, nil)
	if !failed(t, func(tb testing.TB) {
		pgtest.URL(tb, &pgtest.Template{Name: "broken", Build: func(context.Context, string) error { return broken }})
	}) {
		t.Error("the test went on")
	}
	if query[bool](t, dir, `select exists (select from pg_database where datname ~ 'template_broken')`) {
		t.Error("the template is there")
	}
}

func TestBuilderMayLeaveConnections(t *testing.T) {
	t.Parallel()
	tpl := &pgtest.Template{Name: "leak", Build: func(ctx context.Context, url string) error {
		_, err := pgx.Connect(ctx, url)
		return err
	}}
	query[int](t, pgtest.URL(t, tpl), "select 1")
}

func TestDatabaseIsDropped(t *testing.T) {
	t.Parallel()
	mine := pgtest.URL(t, nil)
	var dropped string
	t.Run("inner", func(t *testing.T) {
		pool := pgtest.Pool(t, nil)
		dropped = pool.Config().ConnConfig.Database
		if _, err := pool.Acquire(t.Context()); err != nil { // never released
			t.Fatal(err)
		}
		query[int](t, pool.Config().ConnString(), "select 1")
	})
	if !strings.Contains(dropped, "_testdatabaseisdropped") {
		t.Errorf("the database was %s", dropped)
	}
	if query[bool](t, mine, "select exists (select from pg_database where datname = $1)", dropped) {
		t.Errorf("%s is still there", dropped)
	}
}

func TestPoolHasNoSearchPath(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, nil, func(c *pgxpool.Config) { c.MaxConns = 3 })
	if got := pool.Config().MaxConns; got != 3 {
		t.Errorf("MaxConns is %d, want what the option set", got)
	}
	_, err := pool.Exec(t.Context(), "create table unqualified ()")
	if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != "3F000" {
		t.Errorf("an unqualified name: %v, want SQLSTATE 3F000", err)
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	for _, major := range []int{13, 18} { // before and after "strategy"
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				t.Skip("may download a server")
			}
			var built atomic.Int32
			tpl := template("server", "a", &built)
			c := pgtest.Server(t, major)
			for range 2 {
				url := c.URL(t, tpl)
				if got := query[int](t, url, "select current_setting('server_version_num')::int / 10000"); got != major {
					t.Errorf("PostgreSQL %d, want %d", got, major)
				}
			}
		})
	}
}

func TestUnavailable(t *testing.T) {
	for _, tt := range []struct {
		ci, want string
		err      error
		reason   string
	}{
		{"", "skip", pgserver.ErrNoPostgres, "a developer without PostgreSQL can run the other tests"},
		{"true", "fatal", pgserver.ErrNoPostgres, "CI must not pass by testing nothing"},
		{"", "fatal", errors.New("the server is broken"), "that is no lack of a server"},
	} {
		t.Setenv("CI", tt.ci)
		tb := &fakeTB{TB: t}
		pgtest.Unavailable(tb, tt.err)
		if tb.outcome != tt.want {
			t.Errorf("CI=%q, %v: %s, want %s: %s", tt.ci, tt.err, tb.outcome, tt.want, tt.reason)
		}
		if tt.err.Error() != "the server is broken" && !strings.Contains(tb.text, pgtest.URLEnv) {
			t.Errorf("the text does not name %s:\n%s", pgtest.URLEnv, tb.text)
		}
	}
}

// fakeTB records how a test would end.
type fakeTB struct {
	testing.TB
	outcome, text string
}

func (tb *fakeTB) Fatal(args ...any) { tb.end("fatal", args) }
func (tb *fakeTB) Skip(args ...any)  { tb.end("skip", args) }

// end keeps the first outcome: a real test ends there.
func (tb *fakeTB) end(outcome string, args []any) {
	if tb.outcome == "" {
		tb.outcome, tb.text = outcome, fmt.Sprint(args...)
	}
}

// failed reports whether f ends its test as failed.
func failed(t *testing.T, f func(testing.TB)) (fatal bool) {
	tb := &panicTB{TB: t}
	defer func() { fatal = recover() == tb }()
	f(tb)
	return false
}

type panicTB struct{ testing.TB }

func (tb *panicTB) Fatalf(string, ...any) { panic(tb) }

// TestHelper is what the tests below run in a process of its own.
func TestHelper(t *testing.T) {
	mode := os.Getenv(helperEnv)
	if mode == "" {
		t.Skip("not a test by itself")
	}
	fmt.Println("URL", pgtest.URL(t, nil))
	switch mode {
	case "fail":
		t.Fail()
	case "panic":
		panic("as a test does by mistake")
	case "exit":
		os.Exit(3)
	case "hang":
		select {}
	}
}

const helperEnv = "GWADMIN_PGTEST_TEST_HELPER"

// helper starts a test binary, and returns its database's URL and, after its
// end, what else it has printed.
func helper(t *testing.T, mode string, env ...string) (url string, cmd *exec.Cmd, rest func() string) {
	t.Helper()
	pgtest.URL(t, nil) // or skip
	cmd = exec.Command(os.Args[0], "-test.run=^TestHelper$", "-test.v", "-test.timeout=1m")
	if mode == "time out" {
		mode, cmd.Args = "hang", append(cmd.Args, "-test.timeout=10s")
	}
	cmd.Env = append(slices.Concat(os.Environ(), env), helperEnv+"="+mode)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if after, found := strings.CutPrefix(line, "URL "); found {
			url = strings.TrimSpace(after)
			break
		}
	}
	rest = func() string {
		text, err := io.ReadAll(lines)
		if err != nil {
			t.Error(err)
		}
		cmd.Wait()
		return string(text)
	}
	return url, cmd, rest
}

// TestNothingIsLeft of the server of a test binary, however that ends.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"pass", "fail", "panic", "exit", "time out", "kill"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			of := mode
			if mode == "kill" {
				of = "hang"
			}
			base, cmd, rest := helper(t, of, pgtest.URLEnv+"=", pgtest.KeepEnv+"=")
			if mode == "kill" {
				cmd.Process.Kill()
			}
			if out := rest(); strings.Contains(out, "kept") {
				t.Errorf("it says:\n%s", out)
			}
			u, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			dir := u.Query().Get("host")
			if dir == "" {
				t.Skip("no sockets here")
			}
			// The directory is removed after the server's end.
			within(t, "the removal of "+dir, func() bool { _, err := os.Stat(dir); return errors.Is(err, fs.ErrNotExist) })
		})
	}
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 15*time.Second {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// TestNextProcessSweeps a server that test binaries share: it drops what was left by
// one that was killed, but for what was kept, and what is in use.
func TestNextProcessSweeps(t *testing.T) {
	t.Parallel()
	server := pgtest.URLEnv + "=" + pgtest.URL(t, nil)
	databases := map[string]bool{}
	for _, tt := range []struct {
		mode string
		stay bool
	}{{"exit", false}, {"fail", true}, {"hang", true}, {"pass", false}} {
		base, cmd, rest := helper(t, tt.mode, server)
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		databases[u.Path[1:]] = tt.stay
		if tt.mode == "hang" {
			t.Cleanup(func() { cmd.Process.Kill(); rest() })
		} else {
			rest()
		}
	}
	got := map[string]bool{}
	for name := range databases {
		got[name] = query[bool](t, strings.TrimPrefix(server, pgtest.URLEnv+"="), "select exists (select from pg_database where datname = $1)", name)
		t.Cleanup(func() { drop(t, strings.TrimPrefix(server, pgtest.URLEnv+"="), name) })
	}
	if diff := cmp.Diff(databases, got); diff != "" {
		t.Errorf("databases: -want +got\n%s", diff)
	}
}

func drop(t *testing.T, server, name string) {
	conn, err := pgx.Connect(context.Background(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), "drop database if exists "+name+" with (force)"); err != nil {
		t.Error(err)
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		env  func(t *testing.T) []string
	}{
		{"private", func(*testing.T) []string { return []string{pgtest.URLEnv + "=", pgtest.KeepEnv + "=1"} }},
		{"external", func(t *testing.T) []string { return []string{pgtest.URLEnv + "=" + pgtest.URL(t, nil)} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base, _, rest := helper(t, "fail", tt.env(t)...)
			out := rest()
			if !strings.Contains(out, "kept the database: "+base) {
				t.Fatalf("it does not say that it kept %s:\n%s", base, out)
			}
			if pid := regexp.MustCompile(`its server runs until: kill (\d+)`).FindStringSubmatch(out); pid != nil {
				t.Cleanup(func() {
					id, _ := strconv.Atoi(pid[1])
					if p, err := os.FindProcess(id); err != nil || p.Signal(syscall.SIGTERM) != nil {
						t.Errorf("end the kept server %d: %v", id, err)
					}
				})
			}
			u, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			if name := query[string](t, base, "select current_database()"); "/"+name != u.Path {
				t.Errorf("connected to %s, want %s", name, u.Path)
			}
			name := u.Path[1:]
			u.Path = "/postgres"
			drop(t, u.String(), name)
		})
	}
}

func BenchmarkClone(b *testing.B) {
	tpl := &pgtest.Template{Name: "bench", Build: func(ctx context.Context, url string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		for i := range 10 {
			if _, err := conn.Exec(ctx, fmt.Sprintf("create table t%d (id bigint primary key, a text, b json)", i)); err != nil {
				return err
			}
		}
		return nil
	}}
	pgtest.URL(b, tpl)
	for _, how := range []string{"create", "create and drop", "parallel create and drop"} {
		b.Run(how, func(b *testing.B) {
			switch how {
			case "create":
				for b.Loop() {
					pgtest.URL(b, tpl)
				}
			case "create and drop":
				for b.Loop() {
					pgtest.CloneAndDrop(b, tpl)
				}
			default:
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						pgtest.CloneAndDrop(b, tpl)
					}
				})
			}
		})
	}
}
