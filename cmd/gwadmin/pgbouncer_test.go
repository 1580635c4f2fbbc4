//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/proxies"
	"github.com/gwadmin/gwadmin/migrations"
)

// pooledConns is how many connections the pooler makes to a database.
const pooledConns = 2

// pooled is a site that the command reaches through PgBouncer in transaction mode, and the
// test directly.
func pooled(t testing.TB, schema string) *site {
	t.Helper()
	s := siteIn(t, nil, schema)
	s.url = proxies.PgBouncer(t, s.url, pooledConns)
	return s
}

// checkClean checks that the pooler's connections hold no lock and have no session state.
func (s *site) checkClean() {
	s.Helper()
	pool, err := pgxpool.New(s.Context(), s.url+"&default_query_exec_mode=exec")
	if err != nil {
		s.Fatal(err)
	}
	defer pool.Close()
	type state struct {
		SearchPath, LockTimeout, StatementTimeout, Plans, Role string
		Conforming, ReadOnly                                   string
		Prepared, Listening, Temporary                         int
	}
	const query = `select current_setting('search_path'), current_setting('lock_timeout'), current_setting('statement_timeout'),
		current_setting('plan_cache_mode'),
		current_setting('role'), current_setting('standard_conforming_strings'), current_setting('default_transaction_read_only'),
		(select count(*) from pg_prepared_statements), (select count(*) from pg_listening_channels()),
		(select count(*) from pg_class where relnamespace = pg_my_temp_schema())`
	pids := make(map[int]bool)
	for range pooledConns { // each transaction has a connection of its own
		tx, err := pool.Begin(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		defer tx.Rollback(context.Background())
		var pid int
		if err := tx.QueryRow(s.Context(), "select pg_backend_pid()").Scan(&pid); err != nil {
			s.Fatal(err)
		}
		pids[pid] = true
		rows, err := tx.Query(s.Context(), query)
		if err != nil {
			s.Fatal(err)
		}
		got, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[state])
		if err != nil {
			s.Fatal(err)
		}
		want := state{
			SearchPath: `"$user", public`, LockTimeout: "0", StatementTimeout: "0", Plans: "auto", Role: "none",
			Conforming: "on", ReadOnly: "off",
		}
		check(s, "a server connection's session", want, got)
	}
	check(s, "server connections", pooledConns, len(pids))
	check(s, "locks", 0, value[int](s, `select count(*) from pg_locks
		where database = (select oid from pg_database where datname = current_database())
		and pid <> pg_backend_pid() and (locktype = 'advisory' or relation in (select oid from pg_class where relkind = 'r' and oid >= 16384))`))
}

// atOnce runs a function four times concurrently.
func atOnce(fn func(n int)) {
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() { fn(n) })
	}
	wg.Wait()
}

// Every verb works if each of its transactions is on another connection.
func TestThroughPgBouncer(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{graphile.DefaultSchema, weird} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			s := pooled(t, schema)
			must := func(code int, args ...string) result {
				t.Helper()
				got := s.run(args...)
				checkCode(t, code, got)
				return got
			}
			must(exitPending, "migrate", "status")
			atOnce(func(int) { must(exitOK, "migrate", "up") })
			atOnce(func(n int) {
				must(exitOK, "migrate", []string{"status", "plan", "validate", "sql"}[n])
			})
			s.checkClean()

			roles := make([]string, 4)
			for i := range roles {
				roles[i] = s.role("web").name
			}
			atOnce(func(n int) {
				add := func(args ...string) string {
					t.Helper()
					got := must(exitOK, append([]string{"jobs", "add", "seed", `{"n": 1}`, "--yes", "--output", "json"}, args...)...)
					var said struct{ Job struct{ ID int64 } }
					if err := json.Unmarshal([]byte(got.Stdout), &said); err != nil {
						t.Fatal(err)
					}
					return strconv.FormatInt(said.Job.ID, 10)
				}
				key := fmt.Sprintf("key-%d", n)
				id := add("--queue", "q", "--run-at", "+1h", "--flag", "f")
				must(exitOK, "jobs", "show", id)
				must(exitOK, "jobs", "reschedule", id, "--run-at", "now", "--priority", "-1", "--yes")
				must(exitOK, "jobs", "fail", id, "--reason", "why not", "--yes")
				must(exitOK, "jobs", "retry", id, "--dry-run")
				must(exitOK, "jobs", "retry", id, "--yes")
				must(exitOK, "jobs", "complete", id, "--yes")
				must(exitSkipped, "jobs", "show", id)
				add("--key", key, "--dry-run")
				add("--key", key)
				must(exitOK, "jobs", "show", "--key", key)
				must(exitOK, "jobs", "remove", key, "--yes")

				id = add()
				worker := fmt.Sprintf("worker-%d", n)
				s.exec("update graphile_worker._private_jobs set locked_at = now(), locked_by = $1 where id = $2::text::bigint", worker, id)
				must(exitSkipped, "jobs", "complete", id, "--yes")
				must(exitOK, "workers", "unlock", worker, "--dry-run")
				must(exitOK, "workers", "unlock", worker, "--yes", "--force")
				must(exitOK, "cleanup", "--dry-run")

				kind := []string{"producer", "admin", "reader", "producer"}[n]
				must(exitOK, "migrate", "grants", kind, roles[n], "--apply", "--yes")
				must(exitOK, "migrate", "grants", kind, roles[n], "--apply", "--revoke", "--yes")
			})
			atOnce(func(int) {
				must(exitOK, "cleanup", "--tasks", "DELETE_PERMAFAILED_JOBS,GC_TASK_IDENTIFIERS,GC_JOB_QUEUES", "--keep", "seed", "--yes")
			})
			check(t, "jobs left", 4, value[int](s, "select count(*) from graphile_worker.jobs"))
			must(exitOK, "migrate", "validate")
			s.checkClean()

			must(exitRefused, "migrate", "down")
			must(exitOK, "migrate", "down", "--yes")
			must(exitPending, "migrate", "status")
			s.checkClean()
		})
	}
}

// A migrator that waits for another holds a connection of the pooler, and returns it.
func TestWaitLockThroughPgBouncer(t *testing.T) {
	t.Parallel()
	s := pooled(t, graphile.DefaultSchema)
	checkCode(t, exitOK, s.run("migrate", "up"))
	release := s.holding("lock table graphile_worker._private_jobs in row exclusive mode")
	first := s.start("migrate", "down", "--yes", "--lock-timeout", "1m")
	s.blocked()
	checkCode(t, exitRefused, s.run("migrate", "up", "--wait-lock", "50ms"))
	second := s.start("migrate", "up", "--wait-lock", "0")
	s.eventually(waiting(2))
	second.interrupt()
	checkCode(t, exitInterrupted, second.wait())
	s.eventually("(select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock') = 1")
	release()
	checkCode(t, exitOK, first.wait())
	s.checkClean()
}

// The libraries work, too, in the query modes without prepared statements.
func TestLibraryThroughPgBouncer(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			s := pooled(t, weird)
			config, err := pgxpool.ParseConfig(s.url)
			if err != nil {
				t.Fatal(err)
			}
			config.MaxConns = 8
			config.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			migrator, err := migrations.New(pool, &migrations.Options{Schema: weird})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			atOnce(func(int) {
				if _, err := migrator.Up(ctx, &migrations.UpOptions{WaitIdle: new(time.Duration(0))}); err != nil {
					t.Error(err)
				}
			})
			found, err := migrator.Validate(ctx)
			if err != nil || len(found.Differences) > 0 {
				t.Errorf("validate: %v, %v", found, err)
			}
			client := admin.New(pool, admin.WithSchema(weird))
			atOnce(func(n int) {
				for range 3 {
					if err := useClient(ctx, pool, client, n); err != nil {
						t.Error(err)
					}
				}
			})
			if err := useAdder(ctx, client); err != nil {
				t.Error(err)
			}
			check(t, "jobs left", 77, value[int](s, "select count(*) from graphile_worker.jobs"))
			s.checkClean()
			if _, err := migrator.Down(ctx, migrations.DownOptions{LoseJobs: 77}); err != nil {
				t.Error(err)
			}
			s.checkClean()
		})
	}
}

// useAdder adds jobs with and without keys in shared commits.
func useAdder(ctx context.Context, client *admin.Client) error {
	adder := admin.NewAdder(client, nil)
	failures := make([]error, 200)
	var calls sync.WaitGroup
	for i := range failures {
		calls.Go(func() {
			var options admin.AddJobOptions
			if i%3 > 0 {
				options.JobKey, options.JobKeyMode = new(fmt.Sprint("key-", i%10)), []admin.JobKeyMode{"", admin.UnsafeDedupe}[i%2]
			}
			_, failures[i] = adder.AddJob(ctx, "seed", i, &options)
		})
	}
	calls.Wait()
	return errors.Join(append(failures, adder.Close(ctx))...)
}

// useClient makes each call on its own jobs, and leaves none.
func useClient(ctx context.Context, pool *pgxpool.Pool, client *admin.Client, n int) error {
	key := fmt.Sprintf("key-%d", n)
	one, err := client.AddJob(ctx, "seed", map[string]any{"text": `"\ ☃`}, &admin.AddJobOptions{
		QueueName: new("q"), RunAt: admin.Never(), JobKey: &key, Flags: []string{"a", "b"},
	})
	if err != nil {
		return err
	}
	if got, err := client.GetJobByKey(ctx, key); err != nil || got.ID != one.ID {
		return fmt.Errorf("get job %d by its key: %+v, %w", one.ID, got, err)
	}
	many, err := client.AddJobs(ctx, []admin.JobSpec{{TaskIdentifier: "seed"}, {TaskIdentifier: "seed", Payload: []int{1}}}, nil)
	if err != nil {
		return err
	}
	ids := []int64{many[0].ID, many[1].ID, one.ID}
	changes := []func() (*admin.ChangeResult, error){
		func() (*admin.ChangeResult, error) {
			return client.RescheduleJobs(ctx, ids, admin.RescheduleValues{RunAt: admin.At(time.Now()), Attempts: new(1)}, nil)
		},
		func() (*admin.ChangeResult, error) { return client.FailJobs(ctx, ids, nil, nil) },
		func() (*admin.ChangeResult, error) { return client.RetryJobs(ctx, ids, nil) },
		func() (*admin.ChangeResult, error) { return client.CompleteJobs(ctx, ids[:2], nil) },
	}
	for i, change := range changes {
		got, err := change()
		if err != nil {
			return err
		}
		if want := len(ids) - i/3; len(got.Jobs) != want || len(got.Skipped) > 0 {
			return fmt.Errorf("change %d: %d jobs, and left alone %v, want %d jobs", i, len(got.Jobs), got.Skipped, want)
		}
	}
	if _, err := client.ForceUnlockWorkers(ctx, []string{key}, nil); err != nil {
		return err
	}
	if _, err := client.Cleanup(ctx, admin.CleanupOptions{DryRun: true}); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		removed, err := client.WithTx(tx).RemoveJob(ctx, key, nil)
		if err == nil && removed.Outcome != admin.Removed {
			err = fmt.Errorf("remove %s: %s", key, removed.Outcome)
		}
		return err
	})
}
