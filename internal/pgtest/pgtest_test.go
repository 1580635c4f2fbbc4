package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

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
	if query[bool](t, dir, `select exists (select from pg_database where datname ~ '^gwadmin_template_broken_[0-9a-f]+$')`) {
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
	if !strings.HasPrefix(dropped, "gwadmin_test_testdatabaseisdropped") {
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
		{"", "skip", &pgserver.NotFoundError{}, "a developer without PostgreSQL can run the other tests"},
		{"true", "fatal", &pgserver.NotFoundError{}, "CI must not pass by testing nothing"},
		{"", "fatal", errors.New("the server is broken"), "that is no lack of a server"},
	} {
		t.Setenv("CI", tt.ci)
		tb := &fakeTB{TB: t}
		pgtest.Unavailable(tb, tt.err)
		if tb.outcome != tt.want {
			t.Errorf("CI=%q, %T: %s, want %s: %s", tt.ci, tt.err, tb.outcome, tt.want, tt.reason)
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

// TestHelperFails is a part of TestKeep.
func TestHelperFails(t *testing.T) {
	if os.Getenv(failEnv) == "" {
		t.Skip("not a test by itself")
	}
	pgtest.URL(t, nil)
	t.Fail()
}

const failEnv = "GWADMIN_PGTEST_TEST_FAIL"

// runFailing runs TestHelperFails and returns the URL that it says it kept.
func runFailing(t *testing.T, env ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperFails$", "-test.v")
	cmd.Env = append(slices.Concat(os.Environ(), env), failEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("it passed:\n%s", out)
	}
	kept := regexp.MustCompile(`kept the database: (\S+)`).FindSubmatch(out)
	if kept == nil {
		return ""
	}
	if pid := regexp.MustCompile(`or until: kill (\d+)`).FindSubmatch(out); pid != nil {
		id, _ := strconv.Atoi(string(pid[1]))
		t.Cleanup(func() { terminate(t, id) })
	}
	return string(kept[1])
}

func TestKeep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		env  func(t *testing.T) []string
		kept bool
	}{
		{"private", func(*testing.T) []string { return []string{pgtest.URLEnv + "=", pgtest.KeepEnv + "="} }, false},
		{"private and kept", func(*testing.T) []string { return []string{pgtest.URLEnv + "=", pgtest.KeepEnv + "=1"} }, true},
		{"external", func(t *testing.T) []string { return []string{pgtest.URLEnv + "=" + pgtest.URL(t, nil)} }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			kept := runFailing(t, tt.env(t)...)
			if (kept != "") != tt.kept {
				t.Fatalf("kept %q, want kept: %t", kept, tt.kept)
			}
			if !tt.kept {
				return
			}
			u, err := url.Parse(kept)
			if err != nil {
				t.Fatal(err)
			}
			name := query[string](t, kept, "select current_database()")
			if "/"+name != u.Path {
				t.Errorf("connected to %s, want %s", name, u.Path)
			}
			u.Path = "/postgres"
			conn, err := pgx.Connect(t.Context(), u.String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			if _, err := conn.Exec(t.Context(), "drop database "+name+" with (force)"); err != nil {
				t.Error(err)
			}
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
