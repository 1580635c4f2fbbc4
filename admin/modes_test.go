package admin_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement,
	pgx.QueryExecModeCacheDescribe,
	pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec,
	pgx.QueryExecModeSimpleProtocol,
}

// TestConformance makes every call on every supported schema, through a pool, a connection and
// a transaction, and on that of the migrations with an ordinary name and one that must be
// quoted, in every mode of pgx.
func TestConformance(t *testing.T) {
	t.Parallel()
	ours := func(_ testing.TB, schema string) *pgtest.Template { return testdb.Ours(schema) }
	npm := func(version string) func(testing.TB, string) *pgtest.Template {
		return func(tb testing.TB, schema string) *pgtest.Template { return testdb.Upstream(tb, version, schema) }
	}
	for _, tc := range []struct {
		name     string
		template func(testing.TB, string) *pgtest.Template
		schemas  []string
		modes    []pgx.QueryExecMode
	}{
		{"ours", ours, []string{graphile.DefaultSchema, weird}, modes},
		{"npm 0.18.0", npm("0.18.0"), []string{graphile.DefaultSchema}, modes[:1]}, // the catalog is that of ours
		{"npm 0.17.3", npm("0.17.3"), []string{graphile.DefaultSchema}, modes[:1]},
		{"npm 0.16.6", npm("0.16.6"), []string{graphile.DefaultSchema}, modes[:1]},
	} {
		for _, schema := range tc.schemas {
			for _, mode := range tc.modes {
				for way, run := range ways {
					t.Run(fmt.Sprintf("%s/%s/%s/%s", tc.name, schema, mode, way), func(t *testing.T) {
						t.Parallel()
						run(benchIn(t, tc.template(t, schema), schema, func(config *pgxpool.Config) {
							config.ConnConfig.DefaultQueryExecMode = mode
						}))
					})
				}
			}
		}
	}
}

// ways are the ways to make the calls.
var ways = map[string]func(*bench){
	"pool": conform,
	"connection": func(b *bench) {
		err := b.pool.AcquireFunc(b.ctx, func(conn *pgxpool.Conn) error {
			conform(b.in(conn.Conn()))
			return nil
		})
		b.ok(nil, err)
	},
	"committed transaction": func(b *bench) {
		tx := b.ok(b.pool.Begin(b.ctx)).(pgx.Tx)
		defer func() { _ = tx.Rollback(b.ctx) }()
		committed(b, tx, func() error { return tx.Commit(b.ctx) })
	},
	"rolled back transaction": func(b *bench) {
		tx := b.ok(b.pool.Begin(b.ctx)).(pgx.Tx)
		defer func() { _ = tx.Rollback(b.ctx) }()
		rolledBack(b, tx, func() error { return tx.Rollback(b.ctx) })
	},
	"sql.DB": func(b *bench) { conform(b.in(admin.SQL(b.sqlDB()))) },
	"sql.Conn": func(b *bench) {
		conn := b.ok(b.sqlDB().Conn(b.ctx)).(*sql.Conn)
		defer conn.Close()
		conform(b.in(admin.SQL(conn)))
	},
	"committed sql.Tx": func(b *bench) {
		tx := b.ok(b.sqlDB().BeginTx(b.ctx, nil)).(*sql.Tx)
		defer func() { _ = tx.Rollback() }()
		committed(b, admin.SQL(tx), tx.Commit)
	},
	"rolled back sql.Tx": func(b *bench) {
		tx := b.ok(b.sqlDB().BeginTx(b.ctx, nil)).(*sql.Tx)
		defer func() { _ = tx.Rollback() }()
		rolledBack(b, admin.SQL(tx), tx.Rollback)
	},
}

func committed(b *bench, tx admin.DB, commit func() error) {
	inside := b.in(tx)
	conform(inside)
	want := inside.jobs()
	b.check("before the commit", []admin.Job{}, b.jobs())
	b.ok(nil, commit())
	b.check("after the commit", want, b.jobs())
}

func rolledBack(b *bench, tx admin.DB, rollback func() error) {
	before := withoutSequences(b.tables())
	conform(b.in(tx))
	b.ok(nil, rollback())
	b.check("after the rollback", before, withoutSequences(b.tables()))
}

// conform makes each call at least once, on an empty schema.
func conform(b *bench) {
	b.Helper()
	c := b.client
	b.ok(nil, c.Check(b.ctx))
	jobs := b.fixture()

	full := added(admin.Job{
		ID: 8, TaskIdentifier: nasty, QueueName: new(nasty), Payload: marshalled(nasty), Priority: -1,
		RunAt: admin.RunAt{Time: later.UTC()}, MaxAttempts: 2, Key: new(nasty), Flags: []string{"", nasty},
	})
	b.check("AddJob", &full, b.ok(c.AddJob(b.ctx, nasty, nasty, &admin.AddJobOptions{
		QueueName: new(nasty), RunAt: admin.At(later), MaxAttempts: new(2), JobKey: new(nasty),
		JobKeyMode: admin.PreserveRunAt, Priority: new(-1), Flags: []string{nasty, ""},
	})))
	never := added(admin.Job{ID: 9, TaskIdentifier: "send", Payload: json.RawMessage("null"), RunAt: *admin.Never()})
	b.check("AddJob without a key", &never, b.ok(c.AddJob(b.ctx, "send", json.RawMessage("null"), &admin.AddJobOptions{RunAt: admin.Never()})))

	bulk, again := full, full
	bulk.ID, bulk.TaskIdentifier, bulk.Key, bulk.RunAt = 10, "bulk", nil, *admin.Never()
	again.Revision, again.Payload, again.Flags = 1, json.RawMessage(`{"a": "\\"}`), nil
	added, err := c.AddJobs(b.ctx, []admin.JobSpec{
		{
			TaskIdentifier: "bulk", Payload: nasty, QueueName: new(nasty), RunAt: admin.Never(), MaxAttempts: new(2),
			Priority: new(-1), Flags: []string{nasty, ""},
		},
		{
			TaskIdentifier: nasty, Payload: json.RawMessage(`{"a": "\\"}`), QueueName: new(nasty), RunAt: admin.At(day0),
			MaxAttempts: new(2), JobKey: new(nasty), Priority: new(-1),
		},
	}, &admin.AddJobsOptions{PreserveRunAt: true})
	b.ok(nil, err)
	b.check("AddJobs", []admin.Job{again, bulk}, sortJobs(added))
	jobs = append(jobs, again, never, bulk)
	b.check("table with all jobs", jobs, b.jobs())

	b.check("GetJob", &admin.ListedJob{Job: jobs[1], State: admin.Ready, PayloadBytes: len(jobs[1].Payload)}, b.ok(c.GetJob(b.ctx, 2)))
	b.check("GetJobByKey", &admin.ListedJob{Job: again, State: admin.Scheduled, PayloadBytes: len(again.Payload)}, b.ok(c.GetJobByKey(b.ctx, nasty)))
	_, err = c.GetJob(b.ctx, 404)
	b.check("GetJob of none", admin.ErrJobNotFound, err, cmpopts.EquateErrors())
	_, err = c.GetJobByKey(b.ctx, "key 404")
	b.check("GetJobByKey of none", admin.ErrJobNotFound, err, cmpopts.EquateErrors())

	ids := []int64{404, 3, 2, 1, 8}
	skipped := []admin.Skip{locked(jobs[2]), missing(404)}
	change := func(what string, does func(*admin.Job), result *admin.ChangeResult, err error) {
		b.Helper()
		b.ok(nil, err)
		var changed []admin.Job
		for _, i := range []int{0, 1, 7} {
			does(&jobs[i])
			changed = append(changed, jobs[i])
		}
		b.check(what, changedAll(changed, skipped), result)
		b.check("table after "+what, jobs, b.jobs())
	}
	result, err := c.RescheduleJobs(b.ctx, ids, admin.RescheduleValues{
		RunAt: admin.At(later), Priority: new(0), Attempts: new(0), MaxAttempts: new(5),
	}, nil)
	change("RescheduleJobs", func(j *admin.Job) {
		j.RunAt, j.Priority, j.Attempts, j.MaxAttempts, j.UpdatedAt = admin.RunAt{Time: later.UTC()}, 0, 0, 5, now()
	}, result, err)
	result, err = c.RescheduleJobs(b.ctx, ids, admin.RescheduleValues{RunAt: admin.Never()}, nil)
	change("RescheduleJobs to infinity", func(j *admin.Job) { j.RunAt = *admin.Never() }, result, err)
	result, err = c.FailJobs(b.ctx, ids, new(nasty), nil)
	change("FailJobs", failed(nasty), result, err)
	result, err = c.RetryJobs(b.ctx, ids, nil)
	change("RetryJobs", func(j *admin.Job) { j.RunAt, j.Attempts = admin.RunAt{Time: now()}, 0 }, result, err)

	dry := changedAll([]admin.Job{jobs[0]}, skipped)
	dry.DryRun = true
	b.check("a dry run", dry,
		b.ok(c.CompleteJobs(b.ctx, []int64{1, 404, 3}, &admin.ChangeOptions{DryRun: true})))
	b.check("CompleteJobs", changedAll([]admin.Job{jobs[0]}, skipped), b.ok(c.CompleteJobs(b.ctx, []int64{1, 404, 3}, nil)))
	b.check("RemoveJob", &admin.RemoveResult{Outcome: admin.Removed, Job: &jobs[7]}, b.ok(c.RemoveJob(b.ctx, nasty, nil)))
	b.check("RemoveJob of a locked job", &admin.RemoveResult{Outcome: admin.Left, Skip: new(locked(jobs[2]))}, b.ok(c.RemoveJob(b.ctx, "key 3", nil)))
	jobs[2].Key, jobs[2].Attempts, jobs[2].UpdatedAt = nil, jobs[2].MaxAttempts, now()
	b.check("RemoveJob detaching", &admin.RemoveResult{Outcome: admin.Detached, Job: &jobs[2]},
		b.ok(c.RemoveJob(b.ctx, "key 3", &admin.RemoveOptions{DetachLocked: true})))
	jobs = slices.Delete(jobs, 7, 8)[1:]
	b.check("table after RemoveJob", jobs, b.jobs())

	b.check("ForceUnlockWorkers", &admin.UnlockResult{
		Unlocked: []admin.WorkerLocks{{WorkerID: "pool-a", Jobs: 2, Oldest: jobs[5].LockedAt, Newest: jobs[1].LockedAt}}, Idle: []string{nasty},
	}, b.ok(c.ForceUnlockWorkers(b.ctx, []string{"pool-a", nasty}, nil)))
	for _, i := range []int{1, 5} {
		jobs[i].LockedBy, jobs[i].LockedAt = nil, nil
	}
	b.check("table after ForceUnlockWorkers", jobs, b.jobs())

	pause := admin.Pause{By: nasty, Reason: nasty, Since: now()}
	b.check("PauseQueue", &admin.PauseResult{Queue: nasty, Pause: pause},
		b.ok(c.PauseQueue(admin.WithActor(b.ctx, nasty), nasty, &admin.PauseOptions{Reason: nasty})))
	queues := b.ok(c.Queues(b.ctx)).([]admin.Queue)
	paused := slices.IndexFunc(queues, func(q admin.Queue) bool { return q.Name == nasty })
	b.check("the paused queue", &pause, queues[paused].Paused)
	b.check("ResumeQueue", &admin.ResumeResult{Queue: nasty, Found: true, Pause: &pause}, b.ok(c.ResumeQueue(b.ctx, nasty, nil)))

	b.exec(`insert into graphile_worker._private_tasks (identifier) values ('unused')`)
	b.exec(`insert into graphile_worker._private_job_queues (queue_name) values ('unused'), ('q unused')`)
	b.check("Cleanup", &admin.CleanupResult{Deleted: map[admin.CleanupTask]int64{
		admin.DeletePermafailedJobs: 2, admin.GCTaskIdentifiers: 1, admin.GCJobQueues: 2,
	}}, b.ok(c.Cleanup(b.ctx, admin.CleanupOptions{
		Tasks:     []admin.CleanupTask{admin.GCJobQueues, admin.GCTaskIdentifiers, admin.DeletePermafailedJobs},
		KeepTasks: []string{nasty},
	})))
	jobs = slices.DeleteFunc(jobs, func(j admin.Job) bool { return j.Permafailed() })
	b.check("table after Cleanup", jobs, b.jobs())
}

// A call with no more ids than one statement takes is one query.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	ids := make([]int64, 5000)
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	add := func(options *admin.AddJobOptions) func(context.Context, *admin.Client) error {
		return func(ctx context.Context, c *admin.Client) error {
			_, err := c.AddJob(ctx, "new", nil, options)
			return err
		}
	}
	addMany := func(specs ...admin.JobSpec) func(context.Context, *admin.Client) error {
		return func(ctx context.Context, c *admin.Client) error {
			_, err := c.AddJobs(ctx, specs, nil)
			return err
		}
	}
	unlock := func(options *admin.UnlockOptions) func(context.Context, *admin.Client) error {
		return func(ctx context.Context, c *admin.Client) error {
			_, err := c.ForceUnlockWorkers(ctx, []string{"pool-a", "pool-b", "pool-404"}, options)
			return err
		}
	}
	remove := func(key string, options *admin.RemoveOptions) func(context.Context, *admin.Client) error {
		return func(ctx context.Context, c *admin.Client) error {
			_, err := c.RemoveJob(ctx, key, options)
			return err
		}
	}
	many := func(c change, ids []int64) func(context.Context, *admin.Client) error {
		return func(ctx context.Context, client *admin.Client) error {
			_, err := c.call(ctx, client, ids)
			return err
		}
	}
	for _, tc := range []struct {
		reason string
		call   func(context.Context, *admin.Client) error
		want   []string
	}{
		{"AddJob, of a new task in a new queue", add(&admin.AddJobOptions{QueueName: new("new"), JobKey: new("new")}), []string{"JobAdd"}},
		{"AddJob, deduped: the job may have another task and queue", add(&admin.AddJobOptions{JobKey: new("key 2"), JobKeyMode: admin.UnsafeDedupe}), []string{"JobAdd", "TaskNames", "QueueNames"}},
		{"AddJobs", addMany(admin.JobSpec{TaskIdentifier: "send"}, admin.JobSpec{TaskIdentifier: "new"}), []string{"begin", "JobAddMany", "TaskNames", "commit"}},
		{"AddJobs, into a queue", addMany(admin.JobSpec{TaskIdentifier: "send", QueueName: new("new")}, admin.JobSpec{TaskIdentifier: "send"}), []string{"begin", "JobAddMany", "TaskNames", "QueueNames", "commit"}},
		{"AddJobs of one", addMany(admin.JobSpec{TaskIdentifier: "send", JobKey: new("new")}), []string{"JobAdd"}},
		{"AddJobs of nothing", addMany(), nil},
		{"CompleteJobs", many(changes["complete"], ids), []string{"JobComplete", "JobLocks"}},
		{"FailJobs", many(changes["fail"], ids), []string{"JobFail", "JobLocks"}},
		{"RescheduleJobs", many(changes["reschedule"], ids), []string{"JobReschedule", "JobLocks"}},
		{"RetryJobs", many(changes["retry"], ids), []string{"JobReschedule", "JobLocks"}},
		{"one id more than one statement takes", many(changes["retry"], append([]int64{0}, ids...)), []string{"begin", "JobReschedule", "JobLocks", "JobReschedule", "JobLocks", "commit"}},
		{"an id twice", many(changes["retry"], append([]int64{1}, ids...)), []string{"JobReschedule", "JobLocks"}},
		{"ids without a skipped job", many(changes["retry"], []int64{1, 2}), []string{"JobReschedule"}},
		{"an id that is not found", many(changes["retry"], []int64{404}), []string{"JobReschedule", "JobLocks"}},
		{"no ids", many(changes["retry"], nil), nil},
		{"RemoveJob", remove("key 2", nil), []string{"JobRemove"}},
		{"RemoveJob of a locked job", remove("key 3", nil), []string{"JobRemove", "JobGetByKey"}},
		{"RemoveJob, detaching", remove("key 3", &admin.RemoveOptions{DetachLocked: true}), []string{"JobRemove"}},
		{"ForceUnlockWorkers", unlock(nil), []string{"WorkerUnlock"}},
		{"ForceUnlockWorkers, dry", unlock(&admin.UnlockOptions{DryRun: true}), []string{"WorkerLocks"}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				b.fixture()
				b.ok(nil, b.client.Check(b.ctx))
				// The first call checks the schema. Its queries are not counted.
				b.ok(b.client.CompleteJobs(b.ctx, nil, nil))
				b.sent.take()
				b.ok(nil, tc.call(b.ctx, b.client))
				b.check("queries", tc.want, b.sent.names())
			})
		})
	}
}
