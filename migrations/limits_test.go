package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/migrations"
)

// limited returns a migrator of the same schema with other limits.
func (b *bench) limited(options migrations.Options) *migrations.Migrator {
	b.Helper()
	options.Schema = b.schema
	m, err := migrations.New(b.another().pool, &options)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// atWork is a database of 0.16.6 with an Up that has done half of its work. The
// function lets it end.
func atWork(t *testing.T) (*bench, func()) {
	t.Helper()
	b := newBench(t, seeded(t, "0.16.6"))
	tx := b.begin()
	if _, err := tx.Exec(b.ctx, "insert into graphile_worker.migrations (id) values (20)"); err != nil {
		t.Fatal(err)
	}
	_, result := b.upAside(b.ctx)
	b.awaitLocks(1)
	return b, func() {
		t.Helper()
		if err := tx.Rollback(b.ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
	}
}

func TestWaitLock(t *testing.T) {
	t.Parallel()
	b, finish := atWork(t)
	unchanged := b.unchanged()
	const wait = 100 * time.Millisecond
	m := b.limited(migrations.Options{WaitLock: wait})
	for reason, call := range map[string]func(context.Context) error{
		"migrate up":   func(ctx context.Context) error { _, err := m.Up(ctx, nil); return err },
		"migrate down": func(ctx context.Context) error { _, err := m.Down(ctx, migrations.DownOptions{}); return err },
		`grant reader to role "x"`: func(ctx context.Context) error {
			return m.Grants().Grant(ctx, migrations.Reader, "x")
		},
	} {
		start := time.Now()
		err := call(b.ctx)
		if took := time.Since(start); took < wait || took > wait+10*time.Second {
			t.Errorf("%s: gave up after %s, want %s", reason, took, wait)
		}
		if !errors.Is(err, migrations.ErrLocked) {
			t.Errorf("%s: got %v, want ErrLocked", reason, err)
			continue
		}
		want := reason + `: another migrator is at work on schema "graphile_worker": waited 100ms for it: ` +
			"ERROR: canceling statement due to lock timeout (SQLSTATE 55P03)"
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("%s: text: -want +got\n%s", reason, diff)
		}
	}
	unchanged()

	result := make(chan error, 1)
	patient := b.limited(migrations.Options{WaitLock: time.Minute})
	go func() {
		got, err := patient.Up(b.ctx, nil)
		if err == nil && len(got.Applied) > 0 {
			err = fmt.Errorf("applied %v once more", got.Applied)
		}
		result <- err
	}()
	b.awaitLocks(2)
	finish()
	if err := <-result; err != nil {
		t.Errorf("who waited long enough: %v", err)
	}
	b.checkCatalog()
}

// Down waits for a lock only for LockTimeout at a time, so that those who wait behind it
// get through in between.
func TestLockTimeoutGivesWay(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.up()
	holder := b.begin()
	if _, err := holder.Exec(b.ctx, "lock table graphile_worker._private_jobs in row exclusive mode"); err != nil {
		t.Fatal(err)
	}
	m := b.limited(migrations.Options{LockTimeout: 400 * time.Millisecond})
	result := make(chan error, 1)
	go func() {
		_, err := m.Down(b.ctx, migrations.DownOptions{})
		result <- err
	}()
	for range 3 {
		b.awaitLocks(1)
		producer := b.begin()
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
		if _, err := producer.Exec(ctx, "select graphile_worker.add_job('seed')"); err != nil {
			t.Fatalf("a producer behind Down: %v", err)
		}
		cancel()
		if err := producer.Rollback(b.ctx); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-result:
		t.Fatalf("Down did not try again: %v", err)
	default:
	}
	if err := holder.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	if left := b.catalog(); len(left) > 0 {
		t.Errorf("Down left %v", left)
	}
}

func TestLockTimeoutEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.up()
	unchanged := b.unchanged()
	holder := b.begin()
	if _, err := holder.Exec(b.ctx, "lock table graphile_worker._private_jobs in row exclusive mode"); err != nil {
		t.Fatal(err)
	}
	m := b.limited(migrations.Options{LockTimeout: 10 * time.Millisecond})
	start := time.Now()
	_, err := m.Down(b.ctx, migrations.DownOptions{})
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "55P03" {
		t.Errorf("got %v, want SQLSTATE 55P03 (lock_not_available)", err)
	}
	if errors.Is(err, migrations.ErrLocked) {
		t.Error("the error says that another migrator is at work")
	}
	const want = "migrate down: nothing was changed: a lock was not available at any of 10 tries: " +
		`lock table "graphile_worker"."_private_jobs": ERROR: canceling statement due to lock timeout (SQLSTATE 55P03)`
	if err != nil {
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("text: -want +got\n%s", diff)
		}
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("it took %s, too little for ten tries with pauses", took)
	}
	unchanged()

	// The pauses end with the context.
	ctx, cancel := context.WithTimeout(b.ctx, 150*time.Millisecond)
	defer cancel()
	if _, err := m.Down(ctx, migrations.DownOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
}

// The error says what was to be locked if only the server knows that.
func TestLockTimeoutSays(t *testing.T) {
	t.Parallel()
	b := newBench(t, seeded(t, "0.16.6"))
	role := b.role("late")
	m := b.limited(migrations.Options{LockTimeout: 10 * time.Millisecond})
	for _, tc := range []struct {
		held, names string
		call        func() error
	}{
		{"insert into graphile_worker.migrations (id) values (19)", `: while inserting index tuple (0,19) in relation "migrations", by SQL statement "insert into `,
			func() error { _, err := m.Up(b.ctx, nil); return err }},
		{"select from graphile_worker._private_jobs", "graphile_worker._private_jobs for ",
			func() error { return m.Grants().Grant(b.ctx, migrations.Producer, role) }},
	} {
		holder := b.begin()
		if _, err := holder.Exec(b.ctx, tc.held); err != nil {
			t.Fatal(err)
		}
		unchanged := b.unchanged()
		err := tc.call()
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "55P03" {
			t.Fatalf("%s: got %v, want SQLSTATE 55P03 (lock_not_available)", tc.held, err)
		}
		for _, part := range []string{"nothing was changed: a lock was not available at any of 10 tries: ", tc.names} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q is not in %q", part, err)
			}
		}
		unchanged()
		if err := holder.Rollback(b.ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// LockTimeout applies to calls that only read.
func TestLockTimeoutOfReads(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.up()
	holder := b.begin()
	if _, err := holder.Exec(b.ctx, "lock table graphile_worker.migrations in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	m := b.limited(migrations.Options{LockTimeout: 10 * time.Millisecond})
	calls := map[string]func(context.Context) error{
		"migration status: ": func(ctx context.Context) error { _, err := m.Status(ctx); return err },
		"plan: ":             func(ctx context.Context) error { _, err := m.Plan(ctx, nil); return err },
		"migrate down: ": func(ctx context.Context) error {
			_, err := m.Down(ctx, migrations.DownOptions{DryRun: true})
			return err
		},
		"indexes: ":  func(ctx context.Context) error { _, err := m.Indexes().List(ctx); return err },
		"validate: ": func(ctx context.Context) error { _, err := m.Validate(ctx); return err },
	}
	for title, call := range calls {
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
		err := call(ctx)
		cancel()
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "55P03" {
			t.Errorf("%s got %v, want SQLSTATE 55P03 (lock_not_available)", title, err)
		} else if want := title + "a lock was not available at any of 10 tries: "; !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q does not begin with %q", err, want)
		}
	}
	if err := holder.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	for title, call := range calls {
		if err := call(b.ctx); err != nil {
			t.Errorf("%s %v", title, err)
		}
	}
}

// The server's statement_timeout does not apply to the wait for another migrator, only to
// what follows it.
func TestStatementTimeoutOfServer(t *testing.T) {
	t.Parallel()
	const timeout = 200 * time.Millisecond
	b, finish := atWork(t)
	other := b.another(func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["statement_timeout"] = "200ms"
	})
	result := make(chan error, 1)
	go func() {
		_, err := other.migrator.Down(b.ctx, migrations.DownOptions{To: 3})
		result <- err
	}()
	b.awaitLocks(2)
	time.Sleep(2 * timeout)
	finish()
	if err := <-result; err != nil {
		t.Fatalf("it did not wait for the other migrator: %v", err)
	}

	holder := b.begin()
	if _, err := holder.Exec(b.ctx, "select from graphile_worker.goose_db_version for update"); err != nil {
		t.Fatal(err)
	}
	var pgErr *pgconn.PgError
	if _, err := other.migrator.Down(b.ctx, migrations.DownOptions{To: 2}); !errors.As(err, &pgErr) || pgErr.Code != "57014" {
		t.Errorf("got %v, want SQLSTATE 57014 (query_canceled)", err)
	}
}

func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	b := newBench(t, seeded(t, "0.16.6"))
	unchanged := b.unchanged()
	holder := b.begin()
	if _, err := holder.Exec(b.ctx, "insert into graphile_worker.migrations (id) values (20)"); err != nil {
		t.Fatal(err)
	}
	_, err := b.limited(migrations.Options{StatementTimeout: 100 * time.Millisecond}).Up(b.ctx, nil)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "57014" {
		t.Errorf("got %v, want SQLSTATE 57014 (query_canceled)", err)
	}
	if err := holder.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	unchanged()
}

// A longer limit than PostgreSQL takes works like none.
func TestLongLimits(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	const long = 1e6 * time.Hour
	m := b.limited(migrations.Options{WaitLock: long, LockTimeout: long, StatementTimeout: long})
	if _, err := m.Up(b.ctx, nil); err != nil {
		t.Error(err)
	}
}

func TestLimitsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, tc := range []struct {
		options migrations.Options
		want    string
	}{
		{migrations.Options{WaitLock: -1}, "new migrator: WaitLock is negative: -1ns"},
		{migrations.Options{LockTimeout: -time.Second}, "new migrator: LockTimeout is negative: -1s"},
		{migrations.Options{StatementTimeout: -time.Hour}, "new migrator: StatementTimeout is negative: -1h0m0s"},
	} {
		m, err := migrations.New(b.pool, &tc.options)
		if m != nil || err == nil {
			t.Errorf("%+v is accepted", tc.options)
			continue
		}
		if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
	unchanged := b.unchanged()
	_, err := b.migrator.Up(b.ctx, &migrations.UpOptions{WaitIdle: new(-time.Second)})
	if err == nil {
		t.Fatal("a negative WaitIdle is accepted")
	}
	if diff := cmp.Diff("migrate up: WaitIdle is negative: -1s", err.Error()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	unchanged()
}
