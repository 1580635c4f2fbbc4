// Package pgtest gives each test a PostgreSQL database of its own, cloned from
// a template in milliseconds, so that tests run in parallel.
//
// All test binaries of one "go test" share a private server, which package
// pgserver finds or fetches. GWADMIN_TEST_DATABASE_URL names another server to
// use instead; the role needs the right to create databases, whose names
// begin with "gwadmin_test_" and, for templates, "gwadmin_template_".
//
// A test's database is dropped when the test ends. That of a failed test is kept,
// and its URL logged, on the server that GWADMIN_TEST_DATABASE_URL names, and
// on the private one if GWADMIN_TEST_KEEP is set, which then lives on for an hour.
//
// Where no PostgreSQL can be had, tests are skipped, but fail if CI is set.
package pgtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
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
	inst, err := pgserver.Find(tb.Context(), findOptions(major))
	if err != nil {
		unavailable(tb, err)
	}
	server, err := pgserver.Start(tb.Context(), serverOptions(inst))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Logf("stop PostgreSQL %d: %v", major, err)
		}
	})
	c, err := connect(tb.Context(), server.URL("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.close)
	return c
}

// Replicated starts a server and a hot standby of it, which live as long as the test,
// and returns the URLs of a database on the one and on the other. It is made like
// that of [URL].
func Replicated(tb testing.TB, t *Template) (primary, standby string) {
	tb.Helper()
	inst, err := pgserver.Find(tb.Context(), findOptions(0))
	if err != nil {
		unavailable(tb, err)
	}
	start := func(of *pgserver.Server) *pgserver.Server {
		server, err := pgserver.Start(tb.Context(), pgserver.Options{Installation: inst, Primary: of, Settings: map[string]string{
			"autovacuum": "off", "wal_keep_size": "1GB", "synchronous_commit": "local", // or the last commit is sent late
		}})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			if err := server.Stop(); err != nil {
				tb.Logf("stop PostgreSQL: %v", err)
			}
		})
		return server
	}
	first := start(nil)
	second := start(first)
	c, err := connect(tb.Context(), first.URL("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.close)
	primary = c.URL(tb, t)
	u, err := url.Parse(primary)
	if err != nil {
		tb.Fatal(err)
	}
	CatchUp(tb, primary, second.URL("postgres"))
	return primary, second.URL(strings.TrimPrefix(u.Path, "/"))
}

// CatchUp waits until a standby has done what its primary has committed.
func CatchUp(tb testing.TB, primary, standby string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), buildTimeout)
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
	external  bool
	lease     *lease // nil unless the server is the shared one
	version   int    // such as 150018
	admin     *pgxpool.Pool
	templates sync.Map // from a template's database to its build, func() error
	mu        sync.Mutex
	inUse     []*pgx.Conn // each holds the lock of a template
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
	name := fmt.Sprintf("gwadmin_test_%.30s_%.10s", slug(tb.Name()), strings.ToLower(rand.Text()))
	create := "create database " + name + " template " + template
	if c.version >= 150000 {
		create += " strategy file_copy" // quicker than logging each page, with fsync off
	}
	if _, err := c.admin.Exec(tb.Context(), create); err != nil {
		tb.Fatalf("create a database: %v", err)
	}
	url := c.url(name)
	tb.Cleanup(func() {
		if tb.Failed() && c.keep(tb, url) {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		if _, err := c.admin.Exec(ctx, "drop database if exists "+name+" with (force)"); err != nil {
			tb.Logf("drop database %s: %v", name, err)
		}
	})
	return url
}

// Pool is the function [Pool], on this server.
func (c *Cluster) Pool(tb testing.TB, t *Template, opts ...func(*pgxpool.Config)) *pgxpool.Pool {
	tb.Helper()
	config := Config(tb, c.URL(tb, t))
	for _, opt := range opts {
		opt(config)
	}
	pool, err := pgxpool.NewWithConfig(tb.Context(), config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closePool(tb, pool) })
	return pool
}

// closePool does not wait for a connection that a failed test never gave back.
func closePool(tb testing.TB, pool *pgxpool.Pool) {
	closed := make(chan struct{})
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
		tb.Logf("a connection to %s was not released", pool.Config().ConnConfig.Database)
	}
}

// keep reports whether a failed test's database stays, and says how to reach it.
func (c *Cluster) keep(tb testing.TB, url string) bool {
	switch {
	case c.external:
		tb.Logf("kept the database: %s", url)
	case os.Getenv(KeepEnv) != "" && c.lease != nil:
		tb.Logf("kept the database: %s (%s)", url, c.lease.keep())
	default:
		return false
	}
	return true
}

func (c *Cluster) url(database string) string {
	u := c.base
	u.Path = "/" + database
	return u.String()
}

// connect readies the server that a maintenance database's URL reaches.
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
	c := &Cluster{base: *u}
	if c.admin, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	err = c.admin.QueryRow(ctx, "select current_setting('server_version_num')::int").Scan(&c.version)
	return c, err
}

func (c *Cluster) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.inUse {
		conn.Close(context.Background())
	}
	c.admin.Close()
}

// shared is this process's way to the server that it shares, for all its life.
var shared = sync.OnceValues(func() (*Cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	if base := os.Getenv(URLEnv); base != "" {
		c, err := connect(ctx, base)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", URLEnv, err)
		}
		c.external = true
		return c, nil
	}
	l, err := join(ctx)
	if err != nil {
		return nil, err
	}
	c, err := connect(ctx, l.URL)
	if err != nil {
		return nil, err
	}
	c.lease = l
	return c, nil
})

func sharedCluster(tb testing.TB) *Cluster {
	tb.Helper()
	c, err := shared()
	if err != nil {
		unavailable(tb, err)
	}
	return c
}

// A lease keeps the shared server running. Its exported fields are what the
// supervisor sends when the server runs, or cannot.
type lease struct {
	URL     string
	PID     int // of the supervisor
	Error   string
	Missing bool // the error is [pgserver.ErrNoPostgres]

	conn net.Conn // held, never closed: the end of the process does
}

// unavailable ends a test that cannot have a server.
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

func findOptions(major int) pgserver.FindOptions {
	return pgserver.FindOptions{Major: major, Fetch: true}
}

// serverOptions suit many small databases that are soon thrown away.
func serverOptions(inst pgserver.Installation) pgserver.Options {
	return pgserver.Options{Installation: inst, Settings: map[string]string{
		"max_connections": "400",
		"shared_buffers":  "256MB",
		"wal_level":       "minimal",
		"max_wal_senders": "0",
		"max_wal_size":    "256MB",
		"autovacuum":      "off", // or plans change while a test runs
	}}
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
