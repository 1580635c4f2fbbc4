package migrations_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/migrations"
)

// Up, Status and Down do not depend on the session's settings.
func TestSessions(t *testing.T) {
	t.Parallel()
	parameters := func(pairs ...string) func(*pgxpool.Config) {
		return func(c *pgxpool.Config) {
			for i := 0; i < len(pairs); i += 2 {
				c.ConnConfig.RuntimeParams[pairs[i]] = pairs[i+1]
			}
		}
	}
	mode := func(m pgx.QueryExecMode) func(*pgxpool.Config) {
		return func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = m }
	}
	for _, tc := range []struct {
		reason string
		config func(*pgxpool.Config)
	}{
		{"a single connection", func(c *pgxpool.Config) { c.MaxConns = 1 }},
		{"a pooler without prepared statements", mode(pgx.QueryExecModeExec)},
		{"the simple protocol", mode(pgx.QueryExecModeSimpleProtocol)},
		{"cached descriptions", mode(pgx.QueryExecModeCacheDescribe)},
		{"the usual search_path", func(c *pgxpool.Config) { delete(c.ConnConfig.RuntimeParams, "search_path") }},
		{"the schema in the search_path", parameters("search_path", "graphile_worker, public")},
		{"serializable by default", parameters("default_transaction_isolation", "serializable")},
		{"read-only by default", parameters("default_transaction_read_only", "on")},
		{"a far time zone", parameters("TimeZone", "Pacific/Kiritimati", "DateStyle", "SQL, DMY")},
		{"warnings are errors", parameters("plpgsql.extra_errors", "all")},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			odd := b.another(tc.config)
			unchanged := b.unchanged()
			for range 2 {
				if diff := cmp.Diff(allMigrations, odd.up().Applied); diff != "" {
					t.Errorf("up: -want +got\n%s", diff)
				}
				b.checkCatalog()
				b.checkLedger()
				if applied := odd.up().Applied; len(applied) > 0 {
					t.Errorf("up again: applied %v", applied)
				}
				want := &migrations.Status{Schema: b.schema, Revision: 20, Breaking: 19, Migrations: appliedMigrations()}
				for _, b := range []*bench{odd, b} {
					got, err := b.migrator.Status(b.ctx)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, got, justNow); diff != "" {
						t.Errorf("status: -want +got\n%s", diff)
					}
				}
				if diff := cmp.Diff(downwards(), odd.down(migrations.DownOptions{})); diff != "" {
					t.Errorf("down: -want +got\n%s", diff)
				}
				unchanged()
			}
		})
	}
}

// A role that owns the schema may migrate it, though it may create none; another
// role may not, and changes nothing.
func TestUpAsRole(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	role := "gwadmin_test_" + strings.ToLower(rand.Text())
	as := b.another(func(c *pgxpool.Config) {
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "set role "+role)
			return err
		}
	})
	b.exec("create role " + role + "; create schema graphile_worker")
	t.Cleanup(func() {
		_, err := b.pool.Exec(context.Background(), "drop owned by "+role+"; drop role "+role, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Error(err)
		}
	})
	unchanged := b.unchanged()
	var pgErr *pgconn.PgError
	if _, err := as.migrator.Up(b.ctx, nil); !errors.As(err, &pgErr) || pgErr.Code != "42501" {
		t.Errorf("got %v, want SQLSTATE 42501 (insufficient_privilege)", err)
	}
	unchanged()
	b.exec("alter schema graphile_worker owner to " + role)
	if diff := cmp.Diff(allMigrations, as.up().Applied); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	b.checkCatalog()
}

// If the context ends, while Up works or waits for the lock, nothing has changed and the
// pool works.
func TestUpCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t, seeded(t, "0.16.6"))
	unchanged := b.unchanged()
	tx := b.begin()
	if _, err := tx.Exec(b.ctx, "insert into graphile_worker.migrations (id) values (20)"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	first, firstResult := b.upAside(ctx)
	b.awaitLocks(1) // for the ledger's row
	second, secondResult := b.upAside(ctx)
	b.awaitLocks(2) // for the first
	cancel()
	for _, result := range []<-chan error{firstResult, secondResult} {
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	}
	for _, other := range []*bench{first, second} {
		if err := other.pool.Ping(b.ctx); err != nil {
			t.Error(err)
		}
		for start := time.Now(); other.pool.Stat().AcquiredConns() > 0; time.Sleep(time.Millisecond) {
			if time.Since(start) > 5*time.Second {
				t.Fatal("a connection has not come back")
			}
		}
	}
	if err := tx.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	unchanged()
	second.up()
	b.checkCatalog()
}

func TestUpWithEndedContext(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := b.migrator.Up(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	b.up()
}

// Up does not wait for workers, and workers do not wait for Up.
func TestUpBesideWorkers(t *testing.T) {
	t.Parallel()
	b := newBench(t, seeded(t, "0.16.6"))
	const work = `
		set local lock_timeout to '5s';
		select id from graphile_worker.jobs;
		select graphile_worker.add_job('greet', job_key => 'keyed');
		update graphile_worker._private_jobs set attempts = attempts + 1, locked_at = now(), locked_by = 'w'
			where id = (select id from graphile_worker._private_jobs where is_available limit 1 for update skip locked);
		update graphile_worker._private_job_queues set locked_at = now(), locked_by = 'w' where queue_name = 'free';
		insert into graphile_worker._private_tasks (identifier) values (pg_catalog.gen_random_uuid()) on conflict do nothing;
		delete from graphile_worker._private_jobs where locked_by = 'w';
		lock table graphile_worker._private_jobs, graphile_worker._private_tasks,
			graphile_worker._private_job_queues, graphile_worker._private_known_crontabs in row exclusive mode`
	worker, ledger := b.begin(), b.begin()
	if _, err := worker.Exec(b.ctx, work, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	// Stop Up halfway.
	if _, err := ledger.Exec(b.ctx, "insert into graphile_worker.migrations (id) values (20)"); err != nil {
		t.Fatal(err)
	}
	_, result := b.upAside(b.ctx)
	b.awaitLocks(1)
	other := b.begin()
	elsewhere := strings.NewReplacer("greet", "seed", "keyed", "other", "free", "busy").Replace(work)
	if _, err := other.Exec(b.ctx, elsewhere, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Errorf("a worker while Up runs: %v", err)
	}
	if err := other.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-result:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Up waits for a worker")
	}
	if err := worker.Commit(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.checkCatalog()
	b.checkLedger()
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for what, refused := range map[string]func() (*migrations.Migrator, error){
		"*pgxpool.Pool": func() (*migrations.Migrator, error) { return migrations.New((*pgxpool.Pool)(nil), nil) },
		"*sql.DB":       func() (*migrations.Migrator, error) { return migrations.New((*sql.DB)(nil), nil) },
		"*sql.Conn":     func() (*migrations.Migrator, error) { return migrations.New((*sql.Conn)(nil), nil) },
	} {
		if _, err := refused(); err == nil || !strings.Contains(err.Error(), "the "+what+" is nil") {
			t.Errorf("a nil %s: %v", what, err)
		}
	}
	b := newBench(t, nil)
	if _, err := migrations.New(b.pool, &migrations.Options{Schema: strings.Repeat("x", 64)}); err == nil {
		t.Error("a schema name that PostgreSQL would cut is accepted")
	}
	for _, options := range []*migrations.Options{nil, {}} {
		m, err := migrations.New(b.pool, options)
		if err != nil {
			t.Fatal(err)
		}
		status, err := m.Status(b.ctx)
		if err != nil || status.Schema != "graphile_worker" {
			t.Errorf("options %v: got %+v and %v, want the default schema", options, status, err)
		}
	}
}

// Not parallel: it looks at what the whole process runs.
func TestUpLeavesNoGoroutines(t *testing.T) {
	b := newBench(t, nil)
	openers := func() int {
		var stacks strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
			t.Fatal(err)
		}
		return strings.Count(stacks.String(), "sql.(*DB).connectionOpener(")
	}
	before := openers()
	for range 3 {
		b.up()
	}
	time.Sleep(10 * time.Millisecond) // one may be about to end
	if n := openers() - before; n > 0 {
		t.Errorf("%d goroutines of database/sql live on", n)
	}
}
