package admin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/netfault"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// A writing is a call that changes something.
type writing struct {
	name      string
	call      func(context.Context, *admin.Client) error
	statement string // the query that changes it
	commits   bool   // by a COMMIT: the statement is in a transaction
	done      string // SQL that counts the rows that the call has changed
	whole     int    // how many they are
	sent      admin.Sent
}

func wrote[R any](_ R, err error) error { return err }

const newJobs = "select count(*)::int from graphile_worker._private_jobs as jobs join graphile_worker._private_tasks as tasks on tasks.id = task_id where identifier = 'new'"

// writings are all calls that change something.
func writings() []writing {
	two := []admin.JobSpec{{TaskIdentifier: "new"}, {TaskIdentifier: "new"}}
	ids := []int64{1, 2}
	many := make([]int64, 5001) // more than one statement takes
	for i := range many {
		many[i] = int64(i + 1)
	}
	filter := admin.Filter{IDs: ids}
	cleanup := func(task admin.CleanupTask) func(context.Context, *admin.Client) error {
		return func(ctx context.Context, c *admin.Client) error {
			return wrote(c.Cleanup(ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{task}}))
		}
	}
	gone := func(n int) string {
		return fmt.Sprintf("select %d - count(*)::int from graphile_worker._private_jobs where id <= %d", n, n)
	}
	priority := admin.RescheduleValues{Priority: new(77)}
	const prioritized = "select count(*)::int from graphile_worker._private_jobs where priority = 77"
	const failed = "select count(*)::int from graphile_worker._private_jobs where last_error = 'why'"
	const retried = "select count(*)::int from graphile_worker._private_jobs where id <= 2 and attempts = 0"
	const held = "select count(*)::int from graphile_worker._private_jobs where id <= 2 and run_at = 'infinity'"
	const released = "select count(*)::int from graphile_worker._private_jobs where id = 10006 and run_at <> 'infinity'"
	changing := func(n int) admin.Sent { return admin.Sent{Jobs: n, IDs: many[:n]} }
	batch := admin.Sent{Jobs: 2, IDs: ids, Batch: 1}
	return []writing{
		{"AddJob", func(ctx context.Context, c *admin.Client) error { return wrote(c.AddJob(ctx, "new", nil, nil)) },
			"JobAdd", false, newJobs, 1, admin.Sent{Jobs: 1}},
		{"AddJobs", func(ctx context.Context, c *admin.Client) error { return wrote(c.AddJobs(ctx, two, nil)) },
			"JobAddMany", true, newJobs, 2, admin.Sent{Jobs: 2}},
		{"AddJobs of one", func(ctx context.Context, c *admin.Client) error { return wrote(c.AddJobs(ctx, two[:1], nil)) },
			"JobAdd", false, newJobs, 1, admin.Sent{Jobs: 1}},
		{"AddJobsIDs", func(ctx context.Context, c *admin.Client) error { return wrote(c.AddJobsIDs(ctx, two, nil)) },
			"JobAddManyIDs", true, newJobs, 2, admin.Sent{Jobs: 2}},
		{"Adder.AddJob", func(ctx context.Context, c *admin.Client) error {
			return wrote(admin.NewAdder(c, nil).AddJob(ctx, "new", nil, nil))
		}, "JobAdd", false, newJobs, 1, admin.Sent{Jobs: 1}},
		{"CompleteJobs", func(ctx context.Context, c *admin.Client) error { return wrote(c.CompleteJobs(ctx, ids, nil)) },
			"JobComplete", false, gone(2), 2, changing(2)},
		{"CompleteJobs, returning ids", func(ctx context.Context, c *admin.Client) error {
			return wrote(c.CompleteJobs(ctx, ids, &admin.ChangeOptions{Return: admin.ReturnIDs}))
		}, "JobCompleteIDs", false, gone(2), 2, changing(2)},
		{"CompleteJobs, many", func(ctx context.Context, c *admin.Client) error {
			return wrote(c.CompleteJobs(ctx, many, &admin.ChangeOptions{Return: admin.ReturnCount}))
		}, "JobCompleteIDs", true, gone(5001), 5001, changing(5001)},
		{"FailJobs", func(ctx context.Context, c *admin.Client) error { return wrote(c.FailJobs(ctx, ids, new("why"), nil)) },
			"JobFail", false, failed, 2, changing(2)},
		{"RescheduleJobs", func(ctx context.Context, c *admin.Client) error {
			return wrote(c.RescheduleJobs(ctx, ids, priority, nil))
		},
			"JobReschedule", false, prioritized, 2, changing(2)},
		{"RetryJobs", func(ctx context.Context, c *admin.Client) error { return wrote(c.RetryJobs(ctx, ids, nil)) },
			"JobReschedule", false, retried, 2, changing(2)},
		{"RemoveJob", func(ctx context.Context, c *admin.Client) error { return wrote(c.RemoveJob(ctx, "key", nil)) },
			"JobRemove", false, "select 1 - count(*)::int from graphile_worker._private_jobs where key = 'key'", 1, admin.Sent{Jobs: 1}},
		{"ForceUnlockWorkers", func(ctx context.Context, c *admin.Client) error {
			return wrote(c.ForceUnlockWorkers(ctx, []string{"pool-a", "pool-b"}, nil))
		}, "WorkerUnlock", false, "select 2 - count(*)::int from graphile_worker._private_jobs where locked_by like 'pool-_'", 2, admin.Sent{Workers: 2}},
		{"Cleanup of jobs", cleanup(admin.DeletePermafailedJobs), "JobDeletePermafailed", false,
			"select 1 - count(*)::int from graphile_worker._private_jobs where attempts >= max_attempts", 1, admin.Sent{Task: admin.DeletePermafailedJobs, Batch: 1}},
		{"Cleanup of tasks", cleanup(admin.GCTaskIdentifiers), "TaskDeleteUnused", false,
			"select 1 - count(*)::int from graphile_worker._private_tasks where identifier = 'unused'", 1, admin.Sent{Task: admin.GCTaskIdentifiers, Batch: 1}},
		{"Cleanup of queues", cleanup(admin.GCJobQueues), "QueueDelete", false,
			"select 1 - count(*)::int from graphile_worker._private_job_queues where queue_name = 'unused'", 1,
			admin.Sent{Task: admin.GCJobQueues, Batch: 1, Queues: 1}},
		{"RestoreQueues", func(ctx context.Context, c *admin.Client) error { return wrote(c.RestoreQueues(ctx, nil)) }, "QueueRestore", true,
			"select count(*)::int from graphile_worker._private_job_queues where queue_name = 'restored-999'", 1, admin.Sent{Jobs: 1, Queues: 1}},
		{"CompleteWhere", func(ctx context.Context, c *admin.Client) error { return wrote(c.CompleteWhere(ctx, filter, nil)) },
			"JobComplete", true, gone(2), 2, batch},
		{"FailWhere", func(ctx context.Context, c *admin.Client) error {
			return wrote(c.FailWhere(ctx, filter, new("why"), nil))
		},
			"JobFail", true, failed, 2, batch},
		{"RescheduleWhere", func(ctx context.Context, c *admin.Client) error {
			return wrote(c.RescheduleWhere(ctx, filter, priority, nil))
		}, "JobReschedule", true, prioritized, 2, batch},
		{"RetryWhere", func(ctx context.Context, c *admin.Client) error { return wrote(c.RetryWhere(ctx, filter, nil)) },
			"JobReschedule", true, retried, 2, batch},
		{"HoldJobs", func(ctx context.Context, c *admin.Client) error { return wrote(c.HoldJobs(ctx, ids, nil)) },
			"JobHold", false, held, 2, changing(2)},
		{"HoldWhere", func(ctx context.Context, c *admin.Client) error { return wrote(c.HoldWhere(ctx, filter, nil)) },
			"JobHold", true, held, 2, batch},
		{"ReleaseJobs", func(ctx context.Context, c *admin.Client) error {
			return wrote(c.ReleaseJobs(ctx, []int64{10006}, nil))
		},
			"JobRelease", false, released, 1, admin.Sent{Jobs: 1, IDs: []int64{10006}}},
		{"ReleaseWhere", func(ctx context.Context, c *admin.Client) error {
			return wrote(c.ReleaseWhere(ctx, admin.Filter{IDs: []int64{10006}}, nil))
		}, "JobRelease", true, released, 1, admin.Sent{Jobs: 1, IDs: []int64{10006}, Batch: 1}},
		{"CompleteJobs, saving", func(ctx context.Context, c *admin.Client) error {
			return wrote(c.CompleteJobs(ctx, ids, &admin.ChangeOptions{Save: func([]admin.Job) error { return nil }}))
		}, "JobComplete", true, gone(2), 2, changing(2)},
		{"PauseQueue", func(ctx context.Context, c *admin.Client) error { return wrote(c.PauseQueue(ctx, "unused", nil)) }, "QueueSet", true,
			"select count(*)::int from graphile_worker._private_job_queues where queue_name = 'unused' and locked_at = 'infinity'", 1, admin.Sent{Queues: 1}},
		{"ResumeQueue", func(ctx context.Context, c *admin.Client) error { return wrote(c.ResumeQueue(ctx, "paused", nil)) }, "QueueSet", true,
			"select count(*)::int from graphile_worker._private_job_queues where queue_name = 'paused' and locked_at is null", 1, admin.Sent{Queues: 1}},
	}
}

// refill empties the tables, and inserts what the writings change.
func (b *bench) refill(jobs int) {
	b.Helper()
	for _, sql := range []string{
		"truncate graphile_worker._private_jobs, graphile_worker._private_tasks, graphile_worker._private_job_queues",
		"insert into graphile_worker._private_tasks (identifier) values ('send'), ('unused')",
		"insert into graphile_worker._private_job_queues (queue_name) values ('unused')",
		"insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by) values ('paused', 'infinity', 'gwadmin:paused:{}')",
		"select setval(pg_get_serial_sequence('graphile_worker._private_jobs', 'id'), 100000)",
	} {
		b.exec(sql)
	}
	insert := func(columns, values string, args ...any) {
		b.Helper()
		b.exec("insert into graphile_worker._private_jobs (task_id, id, "+columns+") overriding system value select tasks.id, "+values+
			" from graphile_worker._private_tasks as tasks where identifier = 'send'", args...)
	}
	insert("attempts", "generate_series(1, $1::int), 1", jobs)
	insert("key", "10001, 'key'")
	insert("locked_by, locked_at", "10002, 'pool-a', now()")
	insert("locked_by, locked_at", "10003, 'pool-b', now()")
	insert("attempts, max_attempts", "10004, 3, 3")
	insert("job_queue_id", "10005, 999")
	insert("run_at, locked_by", `10006, 'infinity', 'gwadmin:held:{"run_at": "2024-02-29T12:00:00Z"}'`)
}

// through returns a client on a pool that connects by way of a proxy.
func (b *bench) through(opts ...func(*pgxpool.Config)) (*netfault.Proxy, *pgxpool.Pool) {
	b.Helper()
	proxy := netfault.New(b, b.pool.Config().ConnString())
	config := pgtest.Config(b, proxy.URL())
	for _, opt := range opts {
		opt(config)
	}
	return proxy, pgtest.OpenPool(b, config)
}

func named(query string) func(string) bool { return netfault.Containing("-- name: " + query + " ") }

// A call whose statement or COMMIT was sent and not answered says that its outcome is
// unknown. Any other error of the connection means that nothing was done.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			proxy, pool := b.through(func(config *pgxpool.Config) { config.ConnConfig.DefaultQueryExecMode = mode })
			client := admin.New(pool, admin.WithCommitGrace(time.Millisecond))
			b.ok(nil, client.Check(b.ctx))
			for _, w := range writings() {
				b.outcomes(w, proxy, client, pool.Reset)
			}
		})
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run("database/sql/"+mode.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			proxy, pool := b.through(func(config *pgxpool.Config) { config.ConnConfig.DefaultQueryExecMode = mode })
			db := stdlib.OpenDB(*pool.Config().ConnConfig)
			defer db.Close()
			db.SetMaxIdleConns(0)
			client := admin.New(admin.SQL(db), admin.WithCommitGrace(time.Millisecond))
			b.ok(nil, client.Check(b.ctx))
			for _, w := range writings() {
				b.outcomes(w, proxy, client, func() {})
			}
		})
	}
}

// outcomes breaks the connection of a call in every way.
func (b *bench) outcomes(w writing, proxy *netfault.Proxy, client *admin.Client, disconnect func()) {
	b.Helper()
	statement := named(w.statement)
	for _, tc := range []struct {
		reason  string
		at      func(string) bool
		action  netfault.Action
		cancel  bool // end the context when the statement has come
		applies bool
		unknown bool
		done    bool
	}{
		{"the connection is cut before the statement", statement, netfault.Cut, false, true, !w.commits, false},
		{"the answer of the statement is lost", statement, netfault.CutAnswer, false, true, !w.commits, !w.commits},
		{"the context ends while the statement is stalled", statement, netfault.Stall, true, true, !w.commits, false},
		{"the connection is cut before COMMIT", netfault.Commit, netfault.Cut, false, w.commits, true, false},
		{"the answer of COMMIT is lost", netfault.Commit, netfault.CutAnswer, false, w.commits, true, true},
		{"the grace is over while COMMIT is stalled", netfault.Commit, netfault.Stall, true, w.commits, true, false},
	} {
		if !tc.applies {
			continue
		}
		what := w.name + ": " + tc.reason
		b.refill(max(2, len(w.sent.IDs)))
		trap := proxy.At(tc.at, tc.action)
		ctx, cancel := context.WithCancel(b.ctx)
		if tc.cancel {
			go func() {
				select {
				case <-trap.Sprung():
				case <-b.ctx.Done():
				}
				cancel()
			}()
		}
		err := w.call(ctx, client)
		cancel()
		proxy.Cut() // what was stalled never gets there
		proxy.Heal()
		select {
		case <-trap.Sprung():
		default:
			b.Errorf("%s: it was not sent", what)
		}
		b.check(what+": an error", true, err != nil)
		b.check(what+": outcome unknown", tc.unknown, errors.Is(err, admin.ErrOutcomeUnknown))
		if unknown, ok := errors.AsType[*admin.OutcomeUnknownError](err); ok {
			b.check(what+": what was sent", w.sent, unknown.Sent)
		} else if tc.unknown {
			b.Errorf("%s: %T", what, err)
		}
		if tc.cancel {
			b.check(what+": it is the context's error", true, errors.Is(err, context.Canceled))
		}
		want := 0
		if tc.done {
			want = w.whole
		}
		b.check(what+": rows changed", want, rowsOf[int](b, w.done)[0])
	}

	what := w.name + ": no connection can be made"
	b.refill(max(2, len(w.sent.IDs)))
	disconnect()
	proxy.Refuse()
	err := w.call(b.ctx, client)
	b.check(what+": an error", true, err != nil)
	b.check(what+": outcome unknown", false, errors.Is(err, admin.ErrOutcomeUnknown))
	proxy.Heal()
	ended, cancel := context.WithCancel(b.ctx)
	cancel()
	err = w.call(ended, client)
	b.check(w.name+": the context has ended before: outcome unknown", "false, true",
		fmt.Sprintf("%t, %t", errors.Is(err, admin.ErrOutcomeUnknown), errors.Is(err, context.Canceled)))
	b.check(what+": rows changed", 0, rowsOf[int](b, w.done)[0])
	b.ok(nil, w.call(b.ctx, client))
	b.check(w.name+": rows changed", w.whole, rowsOf[int](b, w.done)[0])
}

// In the caller's transaction no call says that its outcome is unknown: the transaction has
// not been committed.
func TestOutcomesInTransaction(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			proxy, pool := b.through(func(config *pgxpool.Config) { config.ConnConfig.DefaultQueryExecMode = mode })
			client := admin.New(pool)
			b.ok(nil, client.Check(b.ctx))
			for _, w := range writings() {
				if w.name == "Adder.AddJob" { // which is on no transaction
					continue
				}
				for _, begun := range []string{"by Begin", "by SQL"} {
					b.refill(max(2, len(w.sent.IDs)))
					conn := b.ok(pool.Acquire(b.ctx)).(*pgxpool.Conn)
					in := client
					if begun == "by Begin" {
						in = client.WithTx(b.ok(conn.Begin(b.ctx)).(pgx.Tx))
					} else {
						b.ok(conn.Exec(b.ctx, "begin"))
						in = admin.New(conn.Conn())
					}
					proxy.At(named(w.statement), netfault.CutAnswer)
					err := w.call(b.ctx, in)
					conn.Release()
					what := w.name + " in a transaction begun " + begun
					b.check(what+": an error", true, err != nil)
					b.check(what+": outcome unknown", false, errors.Is(err, admin.ErrOutcomeUnknown))
					b.check(what+": rows changed", 0, rowsOf[int](b, w.done)[0])
				}
			}
		})
	}
}

// Dry runs and calls that read change nothing, whatever is lost.
func TestOutcomesOfReading(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.refill(5001)
	before := b.tables()
	proxy, pool := b.through()
	client := admin.New(pool)
	b.ok(nil, client.Check(b.ctx))
	ids := rowsOf[int64](b, "select id from graphile_worker._private_jobs order by id")
	filter := admin.Filter{IDs: []int64{1, 2}}
	change, where := &admin.ChangeOptions{DryRun: true}, &admin.WhereOptions{DryRun: true}
	priority := admin.RescheduleValues{Priority: new(77)}
	for what, call := range map[string]func() error{
		"CompleteJobs":       func() error { return wrote(client.CompleteJobs(b.ctx, ids[:2], change)) },
		"CompleteJobs, many": func() error { return wrote(client.CompleteJobs(b.ctx, ids, change)) },
		"FailJobs":           func() error { return wrote(client.FailJobs(b.ctx, ids[:2], nil, change)) },
		"RescheduleJobs":     func() error { return wrote(client.RescheduleJobs(b.ctx, ids[:2], priority, change)) },
		"RetryJobs":          func() error { return wrote(client.RetryJobs(b.ctx, ids[:2], change)) },
		"RemoveJob":          func() error { return wrote(client.RemoveJob(b.ctx, "key", &admin.RemoveOptions{DryRun: true})) },
		"ForceUnlockWorkers": func() error {
			return wrote(client.ForceUnlockWorkers(b.ctx, []string{"pool-a"}, &admin.UnlockOptions{DryRun: true}))
		},
		"Cleanup":                          func() error { return wrote(client.Cleanup(b.ctx, admin.CleanupOptions{DryRun: true})) },
		"RestoreQueues":                    func() error { return wrote(client.RestoreQueues(b.ctx, &admin.RestoreOptions{DryRun: true})) },
		"CompleteWhere":                    func() error { return wrote(client.CompleteWhere(b.ctx, filter, where)) },
		"FailWhere":                        func() error { return wrote(client.FailWhere(b.ctx, filter, nil, where)) },
		"RescheduleWhere":                  func() error { return wrote(client.RescheduleWhere(b.ctx, filter, priority, where)) },
		"RetryWhere":                       func() error { return wrote(client.RetryWhere(b.ctx, filter, where)) },
		"PauseQueue":                       func() error { return wrote(client.PauseQueue(b.ctx, "unused", &admin.PauseOptions{DryRun: true})) },
		"ResumeQueue":                      func() error { return wrote(client.ResumeQueue(b.ctx, "paused", &admin.ResumeOptions{DryRun: true})) },
		"ListJobs":                         func() error { return wrote(client.ListJobs(b.ctx, filter, nil)) },
		"GetJob":                           func() error { return wrote(client.GetJob(b.ctx, 1)) },
		"Stats":                            func() error { return wrote(client.Stats(b.ctx, nil)) },
		"Check":                            func() error { return client.Check(b.ctx) },
		"UndeclaredTasks":                  func() error { return wrote(client.UndeclaredTasks(b.ctx, nil)) },
		"TaskIdentifiers":                  func() error { return wrote(client.TaskIdentifiers(b.ctx)) },
		"QueueNames":                       func() error { return wrote(client.QueueNames(b.ctx, "", 0)) },
		"Now":                              func() error { return wrote(client.Now(b.ctx)) },
		"CompleteJobs of one that is gone": func() error { return wrote(client.CompleteJobs(b.ctx, []int64{40404}, nil)) },
	} {
		trap := proxy.At(func(sql string) bool {
			return strings.HasPrefix(sql, "-- name: ") && !strings.HasPrefix(sql, "-- name: JobComplete ")
		}, netfault.CutAnswer)
		err := call()
		select {
		case <-trap.Sprung():
		default:
			b.Errorf("%s: nothing was sent", what)
		}
		if what == "CompleteJobs of one that is gone" { // which lost only the reason
			b.check(what+": error", nil, err)
			continue
		}
		b.check(what+": an error", true, err != nil)
		b.check(what+": outcome unknown", false, errors.Is(err, admin.ErrOutcomeUnknown))
	}
	b.check("tables", before, b.tables())
}

// A call by filter whose third batch is unknown returns what the first two have done, and
// names the jobs of the third.
func TestOutcomeOfBatch(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.refill(50)
	proxy, pool := b.through()
	client := admin.New(pool)
	b.ok(nil, client.Check(b.ctx))
	const running = 2
	batches := 0
	got, err := client.CompleteWhere(b.ctx, admin.Filter{TaskIdentifiers: []string{"send"}}, &admin.WhereOptions{
		BatchSize: 20, Sample: new(0),
		Progress: func(admin.ChangeResult) {
			if batches++; batches == 2 {
				proxy.At(netfault.Commit, netfault.CutAnswer)
			}
		},
	})
	unknown, ok := errors.AsType[*admin.OutcomeUnknownError](err)
	if !ok {
		t.Fatal(err)
	}
	ids := []int64{41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 10001, 10004, 10005, 10006}
	b.check("what was sent", admin.Sent{Jobs: 14, IDs: ids, Batch: 3}, unknown.Sent)
	b.check("call", "complete jobs where", unknown.Call)
	b.check("error", "complete jobs where: outcome unknown: sent batch 3 with 14 jobs: look before you repeat the call: ", strings.TrimSuffix(err.Error(), unknown.Err.Error()))
	b.check("result of the batches before", []int64{40, 40}, []int64{got.Matched, got.Changed})
	b.check("jobs that are left", running, len(rowsOf[int64](b, "select id from graphile_worker._private_jobs")))
}

// The server ends the session of a statement: the error does not tell whether that came
// before or after the commit.
func TestOutcomeOfEndedSession(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.refill(2)
	b.ok(nil, b.client.Check(b.ctx))
	other := b.begin()
	b.in(other).exec("lock table graphile_worker._private_jobs")
	failed := make(chan error)
	go func() { failed <- wrote(b.client.CompleteJobs(b.ctx, []int64{1}, nil)) }()
	b.blocked()
	b.exec("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
	err := <-failed
	b.check("SQLSTATE", "57P01", code(err))
	b.check("outcome unknown", true, errors.Is(err, admin.ErrOutcomeUnknown))
}

// A COMMIT that PostgreSQL refuses is not unknown.
func TestOutcomeOfRefusedCommit(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.exec(`create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = 'GWBAD'; end $$`)
	b.exec(`create constraint trigger refuse after insert on graphile_worker._private_jobs deferrable initially deferred
		for each row execute function public.refuse()`)
	err := wrote(b.client.AddJobs(b.ctx, []admin.JobSpec{{TaskIdentifier: "new"}, {TaskIdentifier: "new"}}, nil))
	b.check("SQLSTATE", "GWBAD", code(err))
	b.check("outcome unknown", false, errors.Is(err, admin.ErrOutcomeUnknown))
}

// The job that unsafe_dedupe has left as it is was found, but its names could not be read.
func TestOutcomeWithoutNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.refill(2)
	proxy, pool := b.through()
	client := admin.New(pool)
	b.ok(nil, client.Check(b.ctx))
	deduped := &admin.AddJobOptions{JobKey: new("key"), JobKeyMode: admin.UnsafeDedupe}
	proxy.At(named("TaskNames"), netfault.Cut)
	err := wrote(client.AddJob(b.ctx, "new", nil, deduped))
	b.check("outcome unknown", true, errors.Is(err, admin.ErrOutcomeUnknown))
	b.check("revision", 1, rowsOf[int](b, "select revision from graphile_worker._private_jobs where key = 'key'")[0])
}

// A statement that the end of the context cancels is refused if PostgreSQL says so.
func TestOutcomeCanceled(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.refill(2)
	pool := pgtest.OpenPool(t, func() *pgxpool.Config {
		config := b.pool.Config()
		config.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: time.Minute}
		}
		return config
	}())
	client := admin.New(pool)
	b.ok(nil, client.Check(b.ctx))
	other := b.begin()
	b.in(other).exec("lock table graphile_worker._private_jobs")
	ctx, cancel := context.WithCancel(b.ctx)
	failed := make(chan error)
	go func() { failed <- wrote(client.CompleteJobs(ctx, []int64{1}, nil)) }()
	b.blocked()
	cancel()
	err := <-failed
	b.check("SQLSTATE", "57014", code(err))
	b.check("outcome unknown", false, errors.Is(err, admin.ErrOutcomeUnknown))
	b.ok(nil, other.Rollback(b.ctx))
	b.check("rows", 8, len(rowsOf[int64](b, "select id from graphile_worker._private_jobs")))
}

// Every call may be repeated, but for an addition without a key.
func TestRepeat(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	calls := writings()
	for _, mode := range []admin.JobKeyMode{admin.Replace, admin.PreserveRunAt, admin.UnsafeDedupe} {
		keyed := &admin.AddJobOptions{JobKey: new("new"), JobKeyMode: mode}
		calls = append(calls,
			writing{name: "AddJob with a key, " + string(mode), call: func(ctx context.Context, c *admin.Client) error {
				return wrote(c.AddJob(ctx, "new", nil, keyed))
			}, done: newJobs, whole: 1},
			writing{name: "Adder.AddJob with a key, " + string(mode), call: func(ctx context.Context, c *admin.Client) error {
				return wrote(admin.NewAdder(c, nil).AddJob(ctx, "new", nil, keyed))
			}, done: newJobs, whole: 1})
	}
	calls = append(calls, writing{name: "AddJobs with keys", call: func(ctx context.Context, c *admin.Client) error {
		return wrote(c.AddJobs(ctx, []admin.JobSpec{{TaskIdentifier: "new", JobKey: new("new 1")}, {TaskIdentifier: "new", JobKey: new("new 2")}}, nil))
	}, done: newJobs, whole: 2})
	for _, w := range calls {
		b.refill(max(2, len(w.sent.IDs)))
		for call := 1; call <= 2; call++ {
			b.ok(nil, w.call(b.ctx, b.client))
			want := w.whole
			if w.done == newJobs && !strings.Contains(w.name, "with ") {
				want *= call
			}
			b.check(fmt.Sprintf("%s: rows changed by call %d", w.name, call), want, rowsOf[int](b, w.done)[0])
		}
	}
}

// A worker has taken the job before the addition is repeated, or has run it.
func TestRepeatAfterWorker(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		for _, tc := range []struct {
			mode   admin.JobKeyMode
			worker string // does this to the job
			want   int    // jobs after the second call
		}{
			{admin.Replace, "update graphile_worker._private_jobs set locked_by = 'pool-a', locked_at = now(), attempts = 1", 2},
			{admin.Replace, "delete from graphile_worker._private_jobs", 1},
			{admin.UnsafeDedupe, "update graphile_worker._private_jobs set locked_by = 'pool-a', locked_at = now(), attempts = 1", 1},
			{admin.UnsafeDedupe, "delete from graphile_worker._private_jobs", 1},
		} {
			b.exec("delete from graphile_worker._private_jobs")
			keyed := &admin.AddJobOptions{JobKey: new("new"), JobKeyMode: tc.mode}
			first := b.add("new", nil, keyed)
			b.exec(tc.worker)
			again := b.add("new", nil, keyed)
			b.check(string(tc.mode)+": "+tc.worker, tc.want, len(b.jobs()))
			b.check(string(tc.mode)+": the same job", tc.mode == admin.UnsafeDedupe && strings.HasPrefix(tc.worker, "update"), first.ID == again.ID)
		}
	})
}
