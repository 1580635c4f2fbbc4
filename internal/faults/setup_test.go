package faults

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/migrations"
)

// full reports whether the full form of the suite runs.
func full() bool { return os.Getenv("GWADMIN_FAULTS") == "full" }

// form returns the value for the form that runs.
func form[T any](short, whole T) T {
	if full() {
		return whole
	}
	return short
}

// row prints the figure of a row of the suite.
func row(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("row: "+t.Name()+": "+format, args...)
}

// seed returns the seed of the test's random choices, and prints it.
func seed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("GWADMIN_FAULTS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("GWADMIN_FAULTS_SEED: %v", err)
		}
	}
	t.Logf("GWADMIN_FAULTS_SEED=%d", seed)
	return seed
}

// source returns the random choices of one of the test's actors. Not safe for concurrent use.
func source(seed uint64, actor int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(actor))) }

// server starts a PostgreSQL that keeps what it has committed if it is killed. It lives as
// long as the test. The settings override its own.
func server(t *testing.T, settings map[string]string) *pgserver.Server {
	t.Helper()
	return startServer(t, pgserver.Options{Settings: settings})
}

// startServer is server with other options. The installation is found.
func startServer(t *testing.T, options pgserver.Options) *pgserver.Server {
	t.Helper()
	var err error
	if options.Installation, err = pgserver.Find(t.Context(), pgserver.FindOptions{Fetch: true, Progress: os.Stderr}); err != nil {
		if errors.Is(err, pgserver.ErrNoPostgres) && os.Getenv("CI") == "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	settings := map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"max_connections": "200", "shared_buffers": "256MB",
	}
	maps.Copy(settings, options.Settings)
	options.Settings = settings
	s, err := pgserver.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return s
}

// migrated migrates the database "postgres" of a server and returns its URL.
func migrated(t *testing.T, s *pgserver.Server) (url string) {
	t.Helper()
	url = s.URL("postgres")
	migrator, err := migrations.New(open(t, url), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Up(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return url
}

// open opens a pool that is closed when the test ends. search_path is empty.
func open(t *testing.T, url string, configure ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.RuntimeParams["search_path"] = ""
	config.MaxConns = 8
	for _, configure := range configure {
		configure(config)
	}
	return pgtest.OpenPool(t, config)
}

// named sets the application_name of a pool's sessions, for open.
func named(name string) func(*pgxpool.Config) {
	return func(config *pgxpool.Config) { config.ConnConfig.RuntimeParams["application_name"] = name }
}

// exec runs a statement that must not fail.
func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// wait returns when the condition holds, and fails the test if that takes a minute.
func wait(t *testing.T, what string, condition func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !condition(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited a minute: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestServer checks that the suite's own server keeps what it has committed when it is
// killed. If it did not, the other rows would prove nothing.
func TestServer(t *testing.T) {
	s := server(t, nil)
	url := migrated(t, s)
	random := source(seed(t), 0)
	pool := open(t, url, named("faults"))
	exec(t, pool, "create table public.kept (n int)")
	times := form(2, 10)
	for n := range times {
		for range 1 + random.IntN(50) {
			exec(t, pool, "insert into public.kept values ($1)", n)
		}
		var before, after int
		count := "select count(*)::int from public.kept"
		if err := pool.QueryRow(t.Context(), count).Scan(&before); err != nil {
			t.Fatal(err)
		}
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		wait(t, "the pool connects again", func(ctx context.Context) bool {
			return pool.QueryRow(ctx, count).Scan(&after) == nil
		})
		if before != after {
			t.Fatalf("%d rows were committed, and %d are there after kill -9", before, after)
		}
	}
	row(t, "%d kills, every committed row kept; PostgreSQL %s", times, s.Version)
}
