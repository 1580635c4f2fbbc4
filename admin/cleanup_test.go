package admin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// stock are the rows of the tables that cleanup changes.
type stock struct {
	Jobs          []int64
	Tasks, Queues []string
}

func (b *bench) stock() stock {
	b.Helper()
	return stock{
		Jobs:   rowsOf[int64](b, `select id from graphile_worker._private_jobs order by id`),
		Tasks:  rowsOf[string](b, `select identifier from graphile_worker._private_tasks order by identifier collate "C"`),
		Queues: rowsOf[string](b, `select queue_name from graphile_worker._private_job_queues order by queue_name collate "C"`),
	}
}

func TestCleanup(t *testing.T) {
	t.Parallel()
	const (
		jobs   = admin.DeletePermafailedJobs
		tasks  = admin.GCTaskIdentifiers
		queues = admin.GCJobQueues
	)
	for _, tc := range []struct {
		reason  string
		options admin.CleanupOptions
		want    map[admin.CleanupTask]int64
		dry     map[admin.CleanupTask]int64 // nil: the same
		gone    stock
	}{
		{
			reason: "without tasks it deletes unused queues", options: admin.CleanupOptions{},
			want: map[admin.CleanupTask]int64{queues: 2},
			gone: stock{Queues: []string{"", "q unused"}},
		},
		{
			reason:  "permanently failed jobs without a lock, not even a stale one",
			options: admin.CleanupOptions{Tasks: []admin.CleanupTask{jobs}},
			want:    map[admin.CleanupTask]int64{jobs: 3},
			gone:    stock{Jobs: []int64{5, 8, 9}},
		},
		{
			reason:  "tasks without jobs",
			options: admin.CleanupOptions{Tasks: []admin.CleanupTask{tasks}},
			want:    map[admin.CleanupTask]int64{tasks: 3},
			gone:    stock{Tasks: []string{"", `kept "1"`, "unused"}},
		},
		{
			reason:  "tasks without jobs, except those to keep, which need not exist",
			options: admin.CleanupOptions{Tasks: []admin.CleanupTask{tasks}, KeepTasks: []string{`kept "1"`, "", "send", nasty}},
			want:    map[admin.CleanupTask]int64{tasks: 1},
			gone:    stock{Tasks: []string{"unused"}},
		},
		{
			reason:  "all three tasks, each once, in the order in which each leaves rows for the next",
			options: admin.CleanupOptions{Tasks: []admin.CleanupTask{queues, tasks, jobs, queues}, KeepTasks: []string{""}},
			want:    map[admin.CleanupTask]int64{jobs: 3, tasks: 3, queues: 3},
			dry:     map[admin.CleanupTask]int64{jobs: 3, tasks: 2, queues: 2},
			gone:    stock{Jobs: []int64{5, 8, 9}, Tasks: []string{"fails", `kept "1"`, "unused"}, Queues: []string{"", "q fails", "q unused"}},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				b.fixture()
				fails := added(admin.Job{TaskIdentifier: "fails", QueueName: new("q fails"), Attempts: 3, MaxAttempts: 3})
				beyond, held, stale := fails, fails, fails
				beyond.Attempts = 30
				held.TaskIdentifier, held.QueueName, held.LockedBy, held.LockedAt = "held", new("q held"), new("pool-a"), ago(0)
				stale.TaskIdentifier, stale.QueueName, stale.LockedBy, stale.LockedAt = "stale", new("q stale"), new("pool-a"), ago(9*time.Hour)
				b.insert(fails, beyond, held, stale)
				b.exec(`insert into graphile_worker._private_tasks (identifier) values ('unused'), (''), ('kept "1"')`)
				b.exec(`insert into graphile_worker._private_job_queues (queue_name) values ('q unused'), ('')`)
				b.exec(`insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by)
					values ('q busy', now(), 'pool-a'), ('q lost', now() - interval '9 hours', 'pool-b')`)

				want, before := b.stock(), b.tables()
				dry := tc.options
				dry.DryRun = true
				predicted := tc.want
				if tc.dry != nil {
					predicted = tc.dry
				}
				b.check("dry run", &admin.CleanupResult{Deleted: predicted}, b.ok(b.client.Cleanup(b.ctx, dry)))
				b.check("tables after the dry run", before, b.tables())

				b.check("result", &admin.CleanupResult{Deleted: tc.want}, b.ok(b.client.Cleanup(b.ctx, tc.options)))
				want.Jobs = slices.DeleteFunc(want.Jobs, func(id int64) bool { return slices.Contains(tc.gone.Jobs, id) })
				want.Tasks = slices.DeleteFunc(want.Tasks, func(name string) bool { return slices.Contains(tc.gone.Tasks, name) })
				want.Queues = slices.DeleteFunc(want.Queues, func(name string) bool { return slices.Contains(tc.gone.Queues, name) })
				b.check("rows", want, b.stock())

				nothing := map[admin.CleanupTask]int64{}
				for task := range tc.want {
					nothing[task] = 0
				}
				b.check("the same again", &admin.CleanupResult{Deleted: nothing}, b.ok(b.client.Cleanup(b.ctx, tc.options)))
			})
		})
	}
}

// An error ends the cleanup. The result has the rows that were deleted before.
func TestCleanupStops(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		all := admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.GCJobQueues, admin.DeletePermafailedJobs, admin.GCTaskIdentifiers}}
		b.fixture()
		b.exec(`insert into graphile_worker._private_job_queues (queue_name) values ('unused')`)
		b.exec(`create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'not these' using errcode = 'TEST1'; end $$`)
		b.exec(`create trigger refuse before delete on graphile_worker._private_job_queues execute function public.refuse()`)
		result, err := b.client.Cleanup(b.ctx, all)
		b.check("error", "TEST1", code(err))
		b.check("its result", &admin.CleanupResult{Deleted: map[admin.CleanupTask]int64{
			admin.DeletePermafailedJobs: 1, admin.GCTaskIdentifiers: 0, admin.GCJobQueues: 0,
		}}, result)
		b.check("queues left", []int{3}, rowsOf[int](b, "select count(*)::int from graphile_worker._private_job_queues"))
	})
}

// Cleanup deletes more rows than a batch has in several transactions.
func TestCleanupBatches(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.many(25_000)
	b.exec(`update graphile_worker._private_jobs set attempts = 25 where id % 2 = 0`)
	b.exec(`update graphile_worker._private_jobs set locked_at = now() where id = 24000`)
	b.exec(`insert into graphile_worker._private_job_queues (queue_name, locked_at)
		select 'queue ' || n, case n when 7 then now() end from generate_series(1, 20005) as n`)
	b.ok(nil, b.client.Check(b.ctx))
	b.sent.take()
	result := b.ok(b.client.Cleanup(b.ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.DeletePermafailedJobs, admin.GCJobQueues}}))
	b.check("result", &admin.CleanupResult{Deleted: map[admin.CleanupTask]int64{
		admin.DeletePermafailedJobs: 12_499, admin.GCJobQueues: 20_004,
	}}, result)
	b.check("queries", []string{
		"JobSpan", "JobDeletePermafailed", "QueueUnusedIDs", "QueueDelete", "QueueDelete", "QueueDelete", "JobCountAddedTo",
	}, b.sent.names())
}

// With many unused queues and many jobs without a queue, each statement is an anti-join,
// which reads both tables once.
func TestCleanupPlans(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.exec(`insert into graphile_worker._private_tasks (identifier) select 'task ' || n from generate_series(1, 60000) as n`)
		b.exec(`insert into graphile_worker._private_job_queues (queue_name) select 'queue ' || n from generate_series(1, 60000) as n`)
		b.exec(`
			insert into graphile_worker._private_jobs (task_id, job_queue_id, attempts)
			select n / 2 + 1, n / 2 + 1, case n % 10 when 5 then 25 else 0 end from generate_series(1, 60000) as n`)
		b.exec(`analyze graphile_worker._private_tasks, graphile_worker._private_job_queues, graphile_worker._private_jobs`)

		options := admin.CleanupOptions{
			Tasks:     []admin.CleanupTask{admin.DeletePermafailedJobs, admin.GCTaskIdentifiers, admin.GCJobQueues},
			KeepTasks: []string{"task 60000"},
		}
		for _, dry := range []bool{true, false} {
			options.DryRun = dry
			b.sent.take()
			began := time.Now()
			result := b.ok(b.client.Cleanup(b.ctx, options)).(*admin.CleanupResult)
			if took := time.Since(began); took > 10*time.Second {
				b.Errorf("it took %v", took)
			}
			b.check("result", &admin.CleanupResult{Deleted: map[admin.CleanupTask]int64{
				admin.DeletePermafailedJobs: 6000, admin.GCTaskIdentifiers: 29998, admin.GCJobQueues: 29999,
			}}, result)

			antiJoins := map[string]bool{}
			for _, q := range b.sent.take() {
				if !strings.HasPrefix(q.Name, "Task") && q.Name != "QueueUnusedIDs" {
					continue
				}
				plan := strings.Join(rowsOf[string](b, "explain (costs off) "+q.SQL, q.Args...), "\n")
				antiJoins[q.Name] = strings.Contains(plan, "Anti Join") && !strings.Contains(plan, "SubPlan")
				if !antiJoins[q.Name] {
					b.Logf("%s:\n%s", q.Name, plan)
				}
			}
			want := map[string]bool{"TaskDeleteUnused": true, "QueueUnusedIDs": true}
			if dry {
				want = map[string]bool{"TaskCountUnused": true, "QueueUnusedIDs": true}
			}
			b.check("anti-joins", want, antiJoins)
		}
	})
}
