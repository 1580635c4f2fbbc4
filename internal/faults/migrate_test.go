package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/catalog"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/netfault"
	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// A schemaState is all that migrations change.
type schemaState struct {
	Facts []catalog.Fact
	Rows  map[string][]string // of each table, without the ledgers' times
}

// stateOf reads the schema graphile_worker, which need not exist.
func stateOf(t *testing.T, pool *pgxpool.Pool) (state schemaState) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		found, err := catalog.Read(t.Context(), tx, graphile.DefaultSchema)
		if err != nil {
			return err
		}
		state.Facts = slices.Concat(found.Facts, found.Bodies)
		return nil
	})
	if err == nil && len(state.Facts) > 1 {
		err = pool.AcquireFunc(t.Context(), func(conn *pgxpool.Conn) (err error) {
			state.Rows, err = upstream.Snapshot(t.Context(), conn.Conn(), "")
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// comparable returns the state without what differs each time.
func (s schemaState) comparable() schemaState { return schemaState{s.Facts, s.withoutLedgers()} }

// withoutLedgers returns the rows of the tables in which migrations write nothing.
func (s schemaState) withoutLedgers() map[string][]string {
	rows := map[string][]string{}
	for table, of := range s.Rows {
		if table != "migrations" && !strings.HasPrefix(table, migrations.VersionTable) {
			rows[table] = of
		}
	}
	return rows
}

// checkMigrated checks that the schema is what the migrations build.
func checkMigrated(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	found, err := migrator(t, pool, nil).Validate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range found.Differences {
		t.Errorf("the catalog: %s", difference)
	}
}

func migrator(t *testing.T, pool *pgxpool.Pool, options *migrations.Options) *migrations.Migrator {
	t.Helper()
	m, err := migrations.New(pool, options)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newDatabase creates a database and returns its URL. A release of Graphile Worker installs
// its schema there, with jobs in every state, unless the release is empty.
func newDatabase(t *testing.T, s *pgserver.Server, name, release string) string {
	t.Helper()
	exec(t, open(t, s.URL("postgres")), "create database "+name)
	url := s.URL(name)
	if release == "" {
		return url
	}
	upstream.Ensure(t)
	if err := upstream.Install(t.Context(), release, url, ""); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := upstream.SeedStates(t.Context(), conn, ""); err != nil {
		t.Fatal(err)
	}
	return url
}

func up(ctx context.Context, m *migrations.Migrator) error {
	_, err := m.Up(ctx, nil)
	return err
}

func down(ctx context.Context, m *migrations.Migrator) error {
	_, err := m.Down(ctx, migrations.DownOptions{})
	return err
}

// A killing ends a migrator's connection at a statement.
type killing struct {
	how    string
	action netfault.Action
}

var killings = []killing{
	{"the client dies before it", netfault.Cut},
	{"pg_terminate_backend before it", netfault.Stall},
	{"the client dies after it", netfault.CutAnswer},
}

// Migrations are killed at each of their statements in three ways. Nothing is changed, or
// everything where COMMIT was executed.
func TestMigrateKilled(t *testing.T) {
	s := server(t, nil)
	random := source(seed(t), 0)
	killed, statements := 0, 0
	for i, tc := range []struct {
		name, release string
		change        func(context.Context, *migrations.Migrator) error
	}{
		{"up on an empty database", "", up},
		{"up on 0.16.6", "0.16.6", up},
		{"up on 0.18.0", "0.18.0", up},
		{"down", "", down},
	} {
		name := fmt.Sprintf("killed_%d", i)
		url := newDatabase(t, s, name, tc.release)
		if tc.name == "down" {
			pool := open(t, url)
			if err := up(t.Context(), migrator(t, pool, nil)); err != nil {
				t.Fatal(err)
			}
			pool.Close()
		}
		exec(t, open(t, s.URL("postgres")), "create database "+name+"_whole template "+name)
		sent, err := killedAt(t, s.URL(name+"_whole"), tc.change, -1, killing{})
		if err != nil {
			t.Fatal(err)
		}
		after := stateOf(t, open(t, s.URL(name+"_whole")))
		look := open(t, url)
		before := stateOf(t, look)
		if cmp.Equal(before, after) {
			t.Fatalf("%s changes nothing", tc.name)
		}
		statements += len(sent)
		commit := slices.IndexFunc(sent, netfault.Commit)
		for _, killing := range killings {
			numbers := []int{0, commit}
			if n := len(sent); full() {
				numbers = make([]int, n)
				for i := range numbers {
					numbers[i] = i
				}
			} else {
				numbers = append(numbers, random.IntN(n), random.IntN(n))
			}
			for _, n := range numbers {
				if n == commit && killing.action == netfault.CutAnswer {
					continue // the last of all
				}
				what := fmt.Sprintf("%s: statement %d, %s: %.60q", tc.name, n, killing.how, sent[n])
				if _, err := killedAt(t, url, tc.change, n, killing); err == nil {
					t.Fatalf("%s: no error", what)
				}
				killed++
				if diff := cmp.Diff(before, stateOf(t, look)); diff != "" {
					t.Fatalf("%s: half done: -before +after\n%s", what, diff)
				}
			}
		}
		if _, err := killedAt(t, url, tc.change, commit, killings[2]); err == nil {
			t.Errorf("%s: no error though the answer to COMMIT is lost", tc.name)
		}
		killed++
		for _, reason := range []string{"the answer to COMMIT is lost", "again"} {
			if diff := cmp.Diff(after.comparable(), stateOf(t, look).comparable()); diff != "" {
				t.Fatalf("%s: %s: -want +got\n%s", tc.name, reason, diff)
			}
			if err := tc.change(t.Context(), migrator(t, look, nil)); err != nil {
				t.Errorf("%s: again: %v", tc.name, err)
			}
		}
	}
	row(t, "%d kills at %d statements, before and after them and by pg_terminate_backend: each time nothing was changed, or everything if COMMIT was executed", killed, statements)
}

// killedAt makes a change through a proxy that kills its connection at the statement number
// n, from 0. It returns the statements that were sent when the session has ended.
func killedAt(t *testing.T, url string, change func(context.Context, *migrations.Migrator) error, n int, killing killing) (sent []string, err error) {
	t.Helper()
	const name = "migrator"
	proxy := netfault.New(t, url)
	pool := open(t, proxy.URL(), named(name))
	defer pool.Close()
	if err := pool.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	trap := proxy.At(func(sql string) bool {
		sent = append(sent, sql)
		return len(sent) == n+1
	}, killing.action)
	done := make(chan error, 1)
	go func() { done <- change(t.Context(), migrator(t, pool, nil)) }()
	look := open(t, url)
	select {
	case err = <-done:
	case <-trap.Sprung():
		if killing.action == netfault.Stall {
			exec(t, look, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1", name)
		}
		proxy.Heal()
		err = <-done
	}
	proxy.Heal() // and sent is complete
	pool.Close()
	look.Close()
	return sent, err
}

// Migrators of ours are killed again and again, eight at once, beside installers of npm's,
// until all have succeeded.
func TestMigrateTogether(t *testing.T) {
	s := server(t, nil)
	from := seed(t)
	upstream.Ensure(t)
	killed, rounds := 0, 0
	for round := range form(1, 10) {
		for i, release := range form([]string{"0.16.6"}, []string{"", "0.16.6", "0.17.3", "0.18.0"}) {
			rounds++
			url := newDatabase(t, s, fmt.Sprintf("together_%d_%d", round, i), release)
			look := open(t, url)
			before := stateOf(t, look).withoutLedgers()
			proxy := netfault.New(t, url)
			var running sync.WaitGroup
			for range form(1, 3) {
				running.Go(func() {
					if err := upstream.Install(t.Context(), "0.18.0", url, ""); err != nil {
						t.Error(err)
					}
				})
			}
			var kills atomic.Int64
			for actor := range 8 {
				random := source(from, round*100+i*10+actor)
				running.Go(func() {
					pool := open(t, proxy.URL())
					defer pool.Close()
					for lives := form(3, 10); ; lives-- {
						if lives > 0 {
							action := killings[random.IntN(3)].action
							if action == netfault.Stall {
								action = netfault.Cut
							}
							left := random.IntN(100)
							proxy.At(func(string) bool { left--; return left < 0 }, action)
						}
						err := up(t.Context(), migrator(t, pool, nil))
						if err == nil && lives <= 0 {
							return
						}
						if pgErr := (*pgconn.PgError)(nil); errors.As(err, &pgErr) {
							t.Error(err)
							return
						}
						if err != nil {
							kills.Add(1)
						}
					}
				})
			}
			running.Wait()
			killed += int(kills.Load())
			proxy.Heal()
			checkMigrated(t, look)
			if release != "" {
				if diff := cmp.Diff(before, stateOf(t, look).withoutLedgers()); diff != "" {
					t.Errorf("round %d, on %s: rows: -before +after\n%s", round, release, diff)
				}
			}
		}
	}
	row(t, "%d rounds of 8 migrators beside npm's installers, %d times one was killed: one catalog, every row kept", rounds, killed)
}

// A timing is the longest that a statement of a worker has taken, in a stretch of time.
type timing struct {
	mu      sync.Mutex
	longest time.Duration
	count   int
}

func (g *timing) add(took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.longest = max(g.longest, took)
	g.count++
}

// take returns the longest and begins anew.
func (g *timing) take() (longest time.Duration, count int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	longest, count = g.longest, g.count
	g.longest, g.count = 0, 0
	return longest, count
}

// The statements of a worker: it takes a job, and completes it.
const (
	takeJob = `
		update graphile_worker._private_jobs as jobs set attempts = attempts + 1, locked_at = now(), locked_by = $1
		where id = (
			select id from graphile_worker._private_jobs where is_available and run_at <= now() and job_queue_id is null
			order by priority, run_at limit 1 for update skip locked
		)
		returning id`
	finishJob = "delete from graphile_worker._private_jobs where id = $1"
)

// Up and Down run beside workers, which hold and finish jobs all the time, and behind a long
// transaction, which has added and changed jobs. Up does not wait. Down gives way.
func TestMigrateBesideWorkers(t *testing.T) {
	s := server(t, nil)
	url := newDatabase(t, s, "busy", "0.17.3")
	workers, look := open(t, url), open(t, url)
	exec(t, look, "select graphile_worker.add_job('work', '{}') from generate_series(1, $1)", form(2_000, 50_000))
	exec(t, look, "select graphile_worker.add_job('greet', '{\"sleepMs\": 5}', queue_name => 'queue ' || n % 10) from generate_series(1, $1) as n", form(500, 5_000))

	long, err := look.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer long.Rollback(context.Background())
	const touch = `select graphile_worker.add_job('greet', job_key => 'long');
		update graphile_worker._private_jobs set priority = 1 where id = (select max(id) from graphile_worker._private_jobs where is_available)`
	if _, err := long.Exec(t.Context(), touch, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}

	driver := upstream.Start(t, "0.17.3", url, "")
	javascript, err := driver.StartWorker(t.Context(), upstream.WorkerOptions{Tasks: []string{"greet"}, Concurrency: 4})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var times timing
	var running sync.WaitGroup
	for n := range 8 {
		running.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				var id int64
				err := workers.QueryRow(ctx, takeJob, fmt.Sprint("worker ", n)).Scan(&id)
				if err == nil {
					times.add(time.Since(start))
					start = time.Now()
					_, err = workers.Exec(ctx, finishJob, id)
				}
				if err == nil {
					times.add(time.Since(start))
				} else if !errors.Is(err, pgx.ErrNoRows) && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	pause := form(200*time.Millisecond, 5*time.Second)
	// alongside returns what the workers' statements took during the migration.
	alongside := func(migrate func(context.Context) error) (longest, took time.Duration, err error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		times.take()
		start := time.Now()
		err = migrate(ctx)
		took = time.Since(start)
		longest, count := times.take()
		if count == 0 {
			t.Error("the workers did nothing meanwhile")
		}
		return longest, took, err
	}
	lockTimeout := form(200*time.Millisecond, 2*time.Second)
	bound := lockTimeout + 2*time.Second // for a busy machine
	time.Sleep(pause)
	without, _ := times.take()

	m := migrator(t, look, &migrations.Options{LockTimeout: lockTimeout})
	upLongest, upTook, err := alongside(func(ctx context.Context) error { return up(ctx, m) })
	if err != nil {
		t.Fatalf("up behind a long transaction: %v", err)
	}
	checkMigrated(t, look)
	downLongest, downTook, err := alongside(func(ctx context.Context) error {
		_, err := m.Down(ctx, migrations.DownOptions{LoseJobs: 1e9})
		return err
	})
	if pgErr := (*pgconn.PgError)(nil); !errors.As(err, &pgErr) || pgErr.Code != "55P03" || !strings.Contains(err.Error(), "nothing was changed") {
		t.Fatalf("down behind a long transaction: got %v, want SQLSTATE 55P03 (lock_not_available) and that nothing was changed", err)
	}
	checkMigrated(t, look)
	for what, longest := range map[string]time.Duration{"up": upLongest, "down": downLongest} {
		if longest > bound {
			t.Errorf("during %s a worker waited %s, the lock timeout is %s", what, longest, lockTimeout)
		}
	}

	if err := long.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range form(100, 1000) { // JavaScript's workers go on
		if job, err := javascript.Finished(t.Context()); err != nil || job.Error != "" {
			t.Fatalf("a job in JavaScript: %+v, %v", job, err)
		}
	}
	stop()
	running.Wait()
	if err := javascript.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if logs := driver.Logs(); len(logs) > 0 {
		t.Errorf("graphile-worker logged %v", logs)
	}
	row(t, "8 workers and JavaScript's, behind a long transaction: up took %s and down gave up after %s; a worker waited at most %s during up, %s during down, %s without; lock timeout %s",
		upTook.Round(time.Millisecond), downTook.Round(time.Millisecond), upLongest.Round(time.Millisecond),
		downLongest.Round(time.Millisecond), without.Round(time.Millisecond), lockTimeout)
}
