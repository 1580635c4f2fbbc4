//go:build unix

package faults

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/migrations"
)

// setting sets a parameter of a pool's sessions, for open.
func setting(name, value string) func(*pgxpool.Config) {
	return func(config *pgxpool.Config) { config.ConnConfig.RuntimeParams[name] = value }
}

// checkLimit checks that an error has the SQLSTATE of a limit, names what to do, and says
// that nothing was done.
func checkLimit(t *testing.T, what string, err error, code, todo string) {
	t.Helper()
	pgErr, _ := errors.AsType[*pgconn.PgError](err)
	switch {
	case pgErr == nil || pgErr.Code != code:
		t.Errorf("%s: got %v, want SQLSTATE %s", what, err, code)
	case !strings.Contains(err.Error(), todo):
		t.Errorf("%s: %q does not name %q", what, err, todo)
	case errors.Is(err, admin.ErrOutcomeUnknown):
		t.Errorf("%s: the outcome is unknown: %v", what, err)
	}
}

// Every call that changes something runs into a limit of the server. Those that only read go
// on where they can, and all go on when there is no limit any more.
func TestLimits(t *testing.T) {
	s := server(t, map[string]string{"max_connections": "30"})
	url := migrated(t, s)
	look := open(t, url)
	// lockTables keeps others from writing.
	lockTables := func() (unlock func()) {
		tx, err := look.Begin(t.Context())
		if err == nil {
			_, err = tx.Exec(t.Context(), "lock table graphile_worker._private_jobs, graphile_worker._private_job_queues in exclusive mode")
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() { _ = tx.Rollback(t.Context()) }
	}
	// connectAll uses all connections that are left.
	connectAll := func() (disconnect func()) {
		var conns []*pgx.Conn
		for {
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				break
			}
			conns = append(conns, conn)
		}
		return func() {
			for _, conn := range conns {
				_ = conn.Close(t.Context())
			}
		}
	}
	nothing := func() func() { return func() {} }
	failed := 0
	for i, tc := range []struct {
		setting, value string
		code, todo     string
		reads          bool // go on
		begin          func() (end func())
	}{
		{"default_transaction_read_only", "on", "25006", "turn default_transaction_read_only off", true, nothing},
		{"statement_timeout", "100ms", "57014", "raise statement_timeout", true, lockTables},
		{"lock_timeout", "50ms", "55P03", "raise lock_timeout", true, lockTables},
		{"application_name", "one too many", "53300", "raise max_connections", false, connectAll},
	} {
		scene, err := newScene(t.Context(), look, i)
		if err != nil {
			t.Fatal(err)
		}
		strand(t, look)
		before := stateOf(t, look)
		limited := open(t, url, setting(tc.setting, tc.value))
		end := tc.begin()
		for _, call := range everyCall {
			what := tc.setting + ", " + call.method
			err := call.do(t.Context(), admin.New(limited), scene)
			if tc.reads && !call.changes {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
				continue
			}
			checkLimit(t, what, err, tc.code, tc.todo)
			failed++
		}
		end()
		if diff := cmp.Diff(before, stateOf(t, look)); diff != "" {
			t.Errorf("%s: -before +after\n%s", tc.setting, diff)
		}
		unlimited := limited
		if tc.setting == "default_transaction_read_only" {
			unlimited = look
		}
		for _, call := range everyCall {
			if err := call.do(t.Context(), admin.New(unlimited), scene); err != nil {
				t.Errorf("%s, without the limit: %s: %v", tc.setting, call.method, err)
			}
		}
		limited.Close()
	}
	row(t, "%d calls ran into default_transaction_read_only, statement_timeout, lock_timeout or max_connections: each error says what to do, and nothing was changed", failed)
}

// On a standby every call that changes something is refused, and the others are answered.
func TestReadOnlyServer(t *testing.T) {
	primary, standby := replicated(t)
	look := open(t, migrated(t, primary))
	scene, err := newScene(t.Context(), look, 0)
	if err != nil {
		t.Fatal(err)
	}
	strand(t, look)
	before := stateOf(t, look)
	replica := open(t, standby.URL("postgres"))
	wait(t, "the standby has the jobs", func(ctx context.Context) bool {
		var n int
		err := replica.QueryRow(ctx, "select count(*) from graphile_worker._private_jobs").Scan(&n)
		return err == nil && n == 7
	})
	refused := 0
	for _, call := range everyCall {
		err := call.do(t.Context(), admin.New(replica), scene)
		if call.changes {
			checkLimit(t, call.method, err, "25006", "connect to the primary")
			refused++
		} else if err != nil {
			t.Errorf("%s: %v", call.method, err)
		}
	}
	for what, change := range map[string]func(context.Context, *migrations.Migrator) error{"up": up, "down": down} {
		checkLimit(t, what, change(t.Context(), migrator(t, replica, nil)), "0A000", "connect to the primary")
		refused++
	}
	if diff := cmp.Diff(before, stateOf(t, look)); diff != "" {
		t.Errorf("-before +after\n%s", diff)
	}
	row(t, "%d calls that change something were refused on a standby, and say so; those that only read were answered", refused)
}

// The server ends a caller's transaction that is idle for too long. The pauses of a call by
// filter are not in a transaction.
func TestIdleInTransaction(t *testing.T) {
	s := startServer(t, pgserver.Options{TCP: true})
	url := migrated(t, s)
	look := open(t, url)
	limited := open(t, url, setting("idle_in_transaction_session_timeout", "100ms"))
	client := admin.New(limited)
	scene, err := newScene(t.Context(), look, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := stateOf(t, look)
	err = pgx.BeginFunc(t.Context(), limited, func(tx pgx.Tx) error {
		inside := client.WithTx(tx)
		if err := changed(5)(inside.CompleteJobs(t.Context(), scene.ids, nil)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		_, err := inside.AddJob(t.Context(), scene.task, nil, nil)
		return err
	})
	checkLimit(t, "idle in a transaction", err, "25P03", "let less time pass")
	if diff := cmp.Diff(before, stateOf(t, look)); diff != "" {
		t.Errorf("-before +after\n%s", diff)
	}
	options := &admin.WhereOptions{BatchSize: 1, Pause: 200 * time.Millisecond}
	if err := changed(5)(client.RescheduleWhere(t.Context(), scene.filter(), admin.RescheduleValues{Priority: new(1)}, options)); err != nil {
		t.Errorf("a pause between batches: %v", err)
	}
	row(t, "an idle transaction was ended, with an error that says what to do and without effect; pauses of a call by filter are outside of transactions")
}

// The client's clock is wrong by decades, and steps ahead: a bubble of synctest begins in the
// year 2000. All times are those of the database's clock.
func TestClockSteps(t *testing.T) {
	s := server(t, nil)
	url := migrated(t, s)
	const year = 365 * 24 * time.Hour
	steps := []time.Duration{0, time.Hour, 25 * year, 2 * year, 50 * year}
	calls := 0
	synctest.Test(t, func(t *testing.T) {
		timeless := func(config *pgxpool.Config) { config.HealthCheckPeriod = math.MaxInt64 }
		look := open(t, url, timeless)
		client := admin.New(open(t, url, timeless))
		adder := admin.NewAdder(client, nil)
		in := admin.In(time.Hour)
		for n, step := range steps {
			time.Sleep(step)
			scene, err := newScene(t.Context(), look, n)
			if err != nil {
				t.Fatal(err)
			}
			check := func(what string, want time.Duration, err error, ids ...int64) {
				t.Helper()
				calls++
				var got []time.Duration // AddJobs asks for the time before it adds the jobs
				if err == nil {
					err = look.QueryRow(t.Context(), `select array_agg(date_trunc('minute', run_at - updated_at + '30 seconds'))
						from graphile_worker._private_jobs where id = any ($1)`, ids).Scan(&got)
				}
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if diff := cmp.Diff(slices.Repeat([]time.Duration{want}, len(ids)), got); diff != "" {
					t.Errorf("the client's clock is at %s: %s: run_at after the call: -want +got\n%s", time.Now(), what, diff)
				}
			}
			state := func(id int64, want admin.State) {
				t.Helper()
				job, err := client.GetJob(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if job.State != want {
					t.Errorf("the client's clock is at %s: job %d is %s, want %s", time.Now(), id, job.State, want)
				}
			}
			job, err := client.AddJob(t.Context(), scene.task, nil, nil)
			check("AddJob", 0, err, job.ID)
			state(job.ID, admin.Ready)
			later, err := client.AddJob(t.Context(), scene.task, nil, &admin.AddJobOptions{RunAt: in})
			check("AddJob in an hour", time.Hour, err, later.ID)
			state(later.ID, admin.Scheduled)
			later, err = adder.AddJob(t.Context(), scene.task, nil, &admin.AddJobOptions{RunAt: in})
			check("Adder.AddJob in an hour", time.Hour, err, later.ID)
			ids, err := client.AddJobsIDs(t.Context(), []admin.JobSpec{{TaskIdentifier: scene.task, RunAt: in}, {TaskIdentifier: scene.task, RunAt: in}}, nil)
			check("AddJobs in an hour", time.Hour, err, ids...)
			_, err = client.RescheduleJobs(t.Context(), scene.ids, admin.RescheduleValues{RunAt: in}, nil)
			check("RescheduleJobs in an hour", time.Hour, err, scene.ids...)
			_, err = client.RetryJobs(t.Context(), scene.ids, nil)
			check("RetryJobs", 0, err, scene.ids...)
			_, err = client.RescheduleWhere(t.Context(), admin.Filter{IDs: scene.ids}, admin.RescheduleValues{RunAt: in}, nil)
			check("RescheduleWhere in an hour", time.Hour, err, scene.ids...)
			_, err = client.RetryWhere(t.Context(), admin.Filter{IDs: scene.ids}, nil)
			check("RetryWhere", 0, err, scene.ids...)
			for age, want := range map[string]admin.State{"3 hours": admin.Running, "5 hours": admin.Stale} {
				exec(t, look, "update graphile_worker._private_jobs set locked_at = now() - $1::text::interval, locked_by = 'w' where id = $2", age, job.ID)
				state(job.ID, want)
			}
			now, err := client.Now(t.Context())
			var server time.Time
			if err == nil {
				err = look.QueryRow(t.Context(), "select now()").Scan(&server)
			}
			if err != nil || server.Sub(now).Abs() > time.Minute {
				t.Errorf("Now returns %s (%v), and the database's time is %s", now, err, server)
			}
		}
	})
	row(t, "the client's clock at 2000 to 2077: %d calls set run_at by the database's clock, which decides what is scheduled and which locks are stale", calls)
}
