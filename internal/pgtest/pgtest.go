// Package pgtest gives each test a PostgreSQL database of its own, cloned from
// a template in milliseconds, so that tests run in parallel.
//
// Each test binary starts a private server with its first database; package
// pgserver finds or fetches the programs. The server ends with the test binary,
// however that ends, and its directory is removed. GWADMIN_TEST_DATABASE_URL names
// another server to use instead, directly and not through a pooler. Its role needs
// the right to create databases, whose names begin with "gwadmin_test_".
//
// A test's database is dropped when the test ends. That of a failed test is kept,
// and its URL logged, on the server that GWADMIN_TEST_DATABASE_URL names, and
// on the private one if GWADMIN_TEST_KEEP is set, which then runs on.
//
// Where no PostgreSQL can be had, tests are skipped, but fail if CI is set.
package pgtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/pgserver"
)

// Environment variables.
const (
	URLEnv  = "GWADMIN_TEST_DATABASE_URL" // a server to use instead of a private one
	KeepEnv = "GWADMIN_TEST_KEEP"         // not empty: keep the databases of failed tests
)

const (
	setUpTimeout = 5 * time.Minute // fetching a server, or building a template
	dropTimeout  = 10 * time.Second
	closeTimeout = 2 * time.Second
	maxConns     = 8
)

// URL creates a database for the test and returns its URL. It is a copy of the
// template, or empty where t is nil. It may be called from parallel tests, and
// more than once in one.
func URL(tb testing.TB, t *Template) string {
	tb.Helper()
	return sharedCluster(tb).URL(tb, t)
}

// Pool creates a database like [URL] and returns a pool of connections to it,
// set up like [Config] does and then by opts. It is closed when the test ends.
func Pool(tb testing.TB, t *Template, opts ...func(*pgxpool.Config)) *pgxpool.Pool {
	tb.Helper()
	return sharedCluster(tb).Pool(tb, t, opts...)
}

// Config returns the configuration of a pool in which search_path is empty, so
// that a name without its schema is an error, with at most 8 connections.
func Config(tb testing.TB, url string) *pgxpool.Config {
	tb.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		tb.Fatal(err)
	}
	config.ConnConfig.RuntimeParams["search_path"] = ""
	config.MaxConns = maxConns
	return config
}

// Server starts a server of the given major version, which lives as long as
// the test. It is fetched where it is not installed.
func Server(tb testing.TB, major int) *Cluster {
	tb.Helper()
	c, _ := testServer(tb, major, pgserver.Options{Settings: settings})
	return c
}

// Replicated starts a server and a hot standby of it, which live as long as the test,
// and returns the URLs of a database on the one and on the other. It is made like
// that of [URL].
func Replicated(tb testing.TB, t *Template) (primary, standby string) {
	tb.Helper()
	opts := pgserver.Options{Settings: map[string]string{
		"autovacuum": "off", "wal_keep_size": "1GB", "synchronous_commit": "local", // or the last commit is sent late
	}}
	c, first := testServer(tb, 0, opts)
	opts.Primary = first
	_, second := testServer(tb, 0, opts)
	primary = c.URL(tb, t)
	CatchUp(tb, primary, second.URL("postgres"))
	u, err := url.Parse(primary)
	if err != nil {
		tb.Fatal(err)
	}
	return primary, second.URL(strings.TrimPrefix(u.Path, "/"))
}

// testServer starts a server that lives as long as the test.
func testServer(tb testing.TB, major int, opts pgserver.Options) (*Cluster, *pgserver.Server) {
	tb.Helper()
	var err error
	opts.Installation, err = pgserver.Find(tb.Context(), pgserver.FindOptions{Major: major, Fetch: true})
	if err != nil {
		unavailable(tb, err)
	}
	server, err := pgserver.Start(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Logf("stop PostgreSQL: %v", err)
		}
	})
	c, err := connect(tb.Context(), server.URL("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.admin.Close)
	return c, server
}

// CatchUp waits until a standby has done what its primary has committed.
func CatchUp(tb testing.TB, primary, standby string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), setUpTimeout)
	defer cancel()
	ask := func(url, sql string, args ...any) (text string) {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			tb.Fatal(err)
		}
		defer conn.Close(ctx)
		if err := conn.QueryRow(ctx, sql, args...).Scan(&text); err != nil {
			tb.Fatal(err)
		}
		return text
	}
	end := ask(primary, "select pg_current_wal_flush_lsn()::text")
	for ask(standby, "select (pg_last_wal_replay_lsn() >= $1::text::pg_lsn)::text", end) != "true" {
		time.Sleep(5 * time.Millisecond)
	}
}

// Cluster is a PostgreSQL server that gives databases to tests. Its methods may
// be called from parallel tests.
type Cluster struct {
	base      url.URL
	prefix    string                       // of the names of this process's databases
	last      atomic.Int64                 // number of the last database
	keep      func(database string) string // keeps a failed test's database and says where; nil: none is kept
	version   int                          // such as 150018
	admin     *pgxpool.Pool
	templates sync.Map // from a template's name and key to its build, func() (string, error)
}

// URL is the function [URL], on this server.
func (c *Cluster) URL(tb testing.TB, t *Template) string {
	tb.Helper()
	template := "template0"
	if t != nil {
		var err error
		if template, err = c.template(t); err != nil {
			tb.Fatalf("build the template %s: %v", t.Name, err)
		}
	}
	name := c.name(tb.Name())
	create := "create database " + name + " template " + template
	if c.version >= 150000 {
		create += " strategy file_copy" // quicker than logging each page, with fsync off
	}
	if _, err := c.admin.Exec(tb.Context(), create); err != nil {
		tb.Fatalf("create a database: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() && c.keep != nil {
			tb.Logf("kept the database: %s", c.keep(name))
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		if err := c.drop(ctx, name); err != nil {
			tb.Logf("drop database %s: %v", name, err)
		}
	})
	return c.url(name)
}

// Pool is the function [Pool], on this server.
func (c *Cluster) Pool(tb testing.TB, t *Template, opts ...func(*pgxpool.Config)) *pgxpool.Pool {
	tb.Helper()
	config := Config(tb, c.URL(tb, t))
	for _, opt := range opts {
		opt(config)
	}
	return OpenPool(tb, config)
}

// OpenPool opens a pool that is closed when the test ends.
func OpenPool(tb testing.TB, config *pgxpool.Config) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgxpool.NewWithConfig(tb.Context(), config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// Does not wait for a connection that a failed test never released.
		closed := make(chan struct{})
		go func() {
			pool.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(closeTimeout):
			tb.Logf("a connection to %s was not released", config.ConnConfig.Database)
		}
	})
	return pool
}

// name returns a new database's name.
func (c *Cluster) name(of string) string {
	return fmt.Sprintf("%s%.25s_%d", c.prefix, slug(of), c.last.Add(1))
}

func (c *Cluster) drop(ctx context.Context, name string) error {
	if err := c.disconnect(ctx, name); err != nil {
		return err
	}
	_, err := c.admin.Exec(ctx, "drop database if exists "+name+" with (force)")
	return err
}

// disconnect ends all connections to a database and waits until they are gone.
// PostgreSQL waits for that as well before it copies or drops a database, but in steps
// of 100 ms.
func (c *Cluster) disconnect(ctx context.Context, name string) error {
	for {
		var connected int
		err := c.admin.QueryRow(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity
			where datname = $1 and backend_type = 'client backend'`, name).Scan(&connected)
		if err != nil || connected == 0 {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

func (c *Cluster) url(database string) string {
	u := c.base
	u.Path = "/" + database
	return u.String()
}

// connect prepares the server that a maintenance database's URL reaches.
func connect(ctx context.Context, base string) (*Cluster, error) {
	u, err := url.Parse(base)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return nil, errors.New("the server's address is not a postgres:// URL")
	}
	config, err := pgxpool.ParseConfig(base)
	if err != nil {
		return nil, err
	}
	config.MaxConns = maxConns
	c := &Cluster{base: *u, prefix: "gwadmin_test_"}
	if c.admin, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	err = c.admin.QueryRow(ctx, "select current_setting('server_version_num')::int").Scan(&c.version)
	return c, err
}

// shared is the server of this process, for all its life.
var shared = sync.OnceValues(func() (*Cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), setUpTimeout)
	defer cancel()
	if base := os.Getenv(URLEnv); base != "" {
		c, err := connect(ctx, base)
		if err == nil {
			err = c.share(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", URLEnv, err)
		}
		return c, nil
	}
	found, err := pgserver.Find(ctx, pgserver.FindOptions{Fetch: true, Progress: os.Stderr})
	if err != nil {
		return nil, err
	}
	server, err := pgserver.Start(ctx, pgserver.Options{Installation: found, Settings: settings})
	if err != nil {
		return nil, err
	}
	c, err := connect(ctx, server.URL("postgres"))
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	if os.Getenv(KeepEnv) != "" {
		c.keep = func(database string) string {
			return fmt.Sprintf("%s (its server runs until: kill %s)", c.url(database), server.Detach())
		}
	}
	return c, nil
})

// lockClass is the first half of the advisory locks that [Cluster.share] takes.
const lockClass = 0x67776164

// share prepares for a server that other processes use as well. The names of a
// process's databases have a number, and the process holds an advisory lock with that
// number. Databases whose process has ended are dropped, unless they are kept.
func (c *Cluster) share(ctx context.Context) error {
	process := rand.Int32()
	lock, err := c.admin.Acquire(ctx) // and never released
	if err != nil {
		return err
	}
	if _, err := lock.Exec(ctx, "select pg_advisory_lock($1, $2)", lockClass, process); err != nil {
		return err
	}
	rows, err := c.admin.Query(ctx, `
		select datname::text from pg_database
		where datname ~ ('^' || $1 || '[0-9]+_') and shobj_description(oid, 'pg_database') is distinct from 'kept'
		and split_part(datname, '_', 3) not in (select objid::text from pg_locks where locktype = 'advisory' and classid = $2)`,
		c.prefix, lockClass)
	if err != nil {
		return err
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range left {
		_ = c.drop(ctx, name) // another process may drop it at the same time
	}
	c.prefix += fmt.Sprintf("%d_", process)
	c.keep = func(database string) string {
		u := c.base // whose password is the user's
		u.Path = "/" + database
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		if _, err := c.admin.Exec(ctx, "comment on database "+database+" is 'kept'"); err != nil {
			return fmt.Sprintf("%s (until the next test binary runs: %v)", u.Redacted(), err)
		}
		return u.Redacted()
	}
	return nil
}

func sharedCluster(tb testing.TB) *Cluster {
	tb.Helper()
	c, err := shared()
	if err != nil {
		unavailable(tb, err)
	}
	return c
}

// unavailable skips or fails a test for which there is no server.
func unavailable(tb testing.TB, err error) {
	tb.Helper()
	if !errors.Is(err, pgserver.ErrNoPostgres) {
		tb.Fatal(err)
	}
	text := fmt.Sprintf("%v\n  set %s to the URL of a server to create databases in", err, URLEnv)
	if os.Getenv("CI") != "" {
		tb.Fatal(text)
	}
	tb.Skip(text)
}

// settings suit many small databases that are soon thrown away.
var settings = map[string]string{
	"max_connections": "400",
	"shared_buffers":  "256MB",
	"wal_level":       "minimal",
	"max_wal_senders": "0",
	"max_wal_size":    "256MB",
	"autovacuum":      "off", // so that plans do not change while a test runs
}

// slug makes a part of a database's name.
func slug(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(cmp.Or(s, "unnamed")))
}
