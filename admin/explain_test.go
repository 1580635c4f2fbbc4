package admin_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// said returns the reasons as lines, with TIME for times and PID for processes.
func said(e *admin.Explanation) (lines []string) {
	for _, reason := range e.Reasons {
		line := string(reason.Kind) + ": " + reason.Text
		if reason.Do != "" {
			line += " -> " + reason.Do
		}
		if !reason.Blocks {
			line = "(" + line + ")"
		}
		line = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`).ReplaceAllString(line, "TIME")
		lines = append(lines, regexp.MustCompile(`(P|p)rocess \d+`).ReplaceAllString(line, "${1}rocess PID"))
	}
	return lines
}

// A real worker takes none of the jobs that Explain says are blocked, and takes each when
// what Explain says has been done about it.
func TestInteropExplain(t *testing.T) {
	t.Parallel()
	for _, version := range upstream.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			upstream.Ensure(t)
			b := newInterop(t, testdb.Upstream(t, version, ""))
			d := b.driver(version)
			c := b.client
			in := func(queue string) *admin.AddJobOptions { return &admin.AddJobOptions{QueueName: &queue} }
			set := func(id int64, columns string) int64 {
				b.Helper()
				b.exec("update graphile_worker._private_jobs set "+columns+" where id = $1", id)
				return id
			}
			reschedule := func(id int64) {
				b.Helper()
				_, err := c.RescheduleJobs(b.ctx, []int64{id}, admin.RescheduleValues{RunAt: admin.In(0)}, nil)
				b.ok(err)
			}
			// A worker clears stale locks within its first minute.
			b.exec(`create schema watch`)
			b.exec(`create function watch.keep() returns trigger language plpgsql as $$ begin return case when new.locked_at is null then old else new end; end $$`)
			for _, table := range []string{"jobs", "job_queues"} {
				b.exec(`create trigger keep before update on graphile_worker._private_` + table +
					` for each row when (old.locked_by like 'lost-%') execute function watch.keep()`)
			}
			sweep := func(int64) {
				b.exec(`drop trigger if exists keep on graphile_worker._private_jobs`)
				b.exec(`drop trigger if exists keep on graphile_worker._private_job_queues`)
			}

			busy := b.worker(d, upstream.WorkerOptions{Tasks: []string{"run"}}) // with one job, until it is released
			held := b.add(`{"holdUntilReleased": true}`, in("busy"))
			me := b.started(busy).LockedBy
			lock := func(sql string, args ...any) pgx.Tx {
				b.Helper()
				tx, err := b.pool.Begin(b.ctx)
				b.ok(err)
				b.Cleanup(func() { _ = tx.Rollback(b.ctx) })
				_, err = tx.Exec(b.ctx, sql, args...)
				b.ok(err)
				return tx
			}
			add := func(options *admin.AddJobOptions) int64 {
				b.Helper()
				if options == nil {
					options = &admin.AddJobOptions{}
				}
				options.RunAt = admin.Never() // until it is set up
				return b.add("{}", options)
			}
			due := func(id int64, columns string) int64 {
				b.Helper()
				if columns != "" {
					columns += ", "
				}
				return set(id, columns+"run_at = now() - interval '1 minute'")
			}
			rows := []struct {
				id   int64
				want []string
				do   func(id int64) // nil: nothing helps
			}{
				{held, []string{fmt.Sprintf("running: %s has held the job since TIME, as attempt 1 of 25. If the worker is dead, its lock becomes stale after 4 hours. -> if the worker is dead: gwadmin workers unlock %[1]s", me)}, nil},
				{due(add(nil), "locked_at = now(), locked_by = 'dead', attempts = 1"), []string{
					"running: dead has held the job since TIME, as attempt 1 of 25. If the worker is dead, its lock becomes stale after 4 hours. -> if the worker is dead: gwadmin workers unlock dead",
				}, func(int64) {
					_, err := c.ForceUnlockWorkers(b.ctx, []string{"dead"}, nil)
					b.ok(err)
				}},
				{due(add(nil), "attempts = 25"), []string{"attempts: All 25 attempts are used. No worker takes the job again. -> gwadmin jobs retry ID"}, func(id int64) {
					_, err := c.RetryJobs(b.ctx, []int64{id}, nil)
					b.ok(err)
				}},
				{set(add(nil), "run_at = now() + interval '1 hour'"), []string{"not due: The job is due at TIME. -> gwadmin jobs reschedule ID --run-at now"}, reschedule},
				{set(add(nil), "run_at = now() + interval '1 hour', attempts = 2"), []string{"not due: The job is due at TIME, after attempt 2 of 25 has failed. -> gwadmin jobs reschedule ID --run-at now"}, reschedule},
				{add(nil), []string{"never due: run_at is infinity: the job never becomes due by itself. -> gwadmin jobs reschedule ID --run-at now"}, reschedule},
				{add(in("quiet")), []string{
					"never due: run_at is infinity: the job never becomes due by itself. -> gwadmin jobs reschedule ID --run-at now",
					"paused: The queue quiet has been paused since TIME by ada: a reason. -> gwadmin queues resume quiet",
				}, func(id int64) {
					reschedule(id)
					_, err := c.ResumeQueue(b.ctx, "quiet", nil)
					b.ok(err)
				}},
				{due(add(&admin.AddJobOptions{Priority: new(-30)}), "job_queue_id = 999"), []string{
					"stranded: The queue of the job does not exist: a cleanup has deleted it. No worker takes the job. -> gwadmin queues restore",
				}, func(int64) {
					_, err := c.RestoreQueues(b.ctx, nil)
					b.ok(err)
				}},
				{due(add(nil), "task_id = 404"), []string{"task gone: The task of the job does not exist: no worker knows it. -> add the job again"}, nil},
				{due(add(&admin.AddJobOptions{Flags: []string{"gpu"}, Priority: new(-20)}), ""), []string{
					"(flags: The job has the flags gpu. A worker that forbids one of them does not take it. The database does not know which flags a worker forbids. -> compare the flags with forbiddenFlags of the workers)",
				}, func(int64) {
					b.worker(d, upstream.WorkerOptions{Tasks: []string{"run"}, PollInterval: 50 * time.Millisecond})
				}},
				{due(add(nil), "locked_at = now() - interval '5 hours', locked_by = 'lost-1', attempts = 1"), []string{
					"stale: lost-1 took the job at TIME, more than 4 hours ago, so that the lock is stale. The next worker that clears stale locks frees the job: each one does so within its first minute, and then every 8 to 10 minutes. -> if the worker is dead: gwadmin workers unlock lost-1",
				}, func(id int64) {
					sweep(id)
					b.worker(d, upstream.WorkerOptions{Tasks: []string{"run"}, SweepInterval: 20 * time.Millisecond})
				}},
				{due(add(&admin.AddJobOptions{QueueName: new("lost"), Priority: new(-10)}), ""), []string{
					"queue stale: lost-2 has held the queue lost since TIME, for no job that still exists. This lock is stale: the next worker that clears stale locks frees the queue. -> if the worker is dead: gwadmin workers unlock lost-2",
				}, sweep},
				{due(add(&admin.AddJobOptions{QueueName: new("busy"), Priority: new(-10)}), ""), []string{
					fmt.Sprintf("queue held: %s has held the queue busy since TIME, for job %d. The jobs of a queue run one after another. -> if the worker is dead: gwadmin workers unlock %[1]s", me, held),
				}, func(int64) { b.ok(busy.Release(b.ctx, held)) }},
			}
			_, err := c.PauseQueue(admin.WithActor(b.ctx, "ada"), "quiet", &admin.PauseOptions{Reason: "a reason"})
			b.ok(err)
			b.exec("update graphile_worker._private_job_queues set locked_at = now() - interval '5 hours', locked_by = 'lost-2' where queue_name = 'lost'")
			rowLocked, queueLocked, unknown := add(&admin.AddJobOptions{Priority: new(-30)}), add(&admin.AddJobOptions{QueueName: new("open"), Priority: new(-30)}), int64(0)
			due(rowLocked, "")
			due(queueLocked, "")
			txs := []pgx.Tx{
				lock("select from graphile_worker._private_jobs where id = $1 for update", rowLocked),
				lock("select from graphile_worker._private_job_queues where queue_name = 'open' for update"),
			}
			job, err := c.AddJob(b.ctx, "other", nil, &admin.AddJobOptions{Priority: new(-30)})
			b.ok(err)
			unknown = job.ID

			explained := func(id int64, want ...string) {
				b.Helper()
				e, err := c.Explain(b.ctx, id)
				b.ok(err)
				for i := range want {
					want[i] = strings.ReplaceAll(want[i], " ID", fmt.Sprint(" ", id))
				}
				var got []string
				for _, line := range said(e) {
					if !strings.HasPrefix(line, "(ahead") {
						got = append(got, line)
					}
				}
				interopDiff(b, fmt.Sprint("job ", id), want, got)
			}
			// Jobs that the worker takes show that it has looked, and has passed over the others.
			w := b.worker(d, upstream.WorkerOptions{Tasks: []string{"run"}, Concurrency: 4, PollInterval: 50 * time.Millisecond, ForbiddenFlags: []string{"gpu"}})
			for range 2 {
				beside := b.add("{}", nil)
				interopDiff(b, "the next job that starts", beside, b.started(w).ID)
				interopDiff(b, "the next job that finishes", beside, b.finished(w).ID)
			}
			for _, row := range rows {
				explained(row.id, row.want...)
			}
			explained(rowLocked, "row locked: An open transaction of process PID since TIME has locked or changed the job. Workers skip the job until the transaction ends. -> end the transaction")
			explained(queueLocked, "row locked: An open transaction of process PID since TIME has locked or changed its queue. Workers skip the job until the transaction ends. -> end the transaction")
			explained(unknown, "(task unseen: No worker holds a job of the task other now, and workers hold 3 jobs of other tasks. The database does not know which tasks a worker has. -> check that a running worker has the task)")

			runs := func(id int64) {
				b.Helper()
				for interopRows[bool](b, "select exists (select from graphile_worker._private_jobs where id = $1)", id)[0] {
					time.Sleep(5 * time.Millisecond)
				}
			}
			for _, tx := range txs {
				b.ok(tx.Rollback(b.ctx))
			}
			runs(rowLocked)
			runs(queueLocked)
			b.worker(d, upstream.WorkerOptions{Tasks: []string{"other"}})
			runs(unknown)
			for _, row := range rows {
				if row.do != nil {
					row.do(row.id)
					runs(row.id)
				}
			}
		})
	}
}

// A worker takes the jobs in the order that Explain tells.
func TestInteropExplainAhead(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	b := newInterop(t, testdb.Upstream(t, interopRelease, ""))
	w := b.worker(b.driver(interopRelease), upstream.WorkerOptions{Tasks: []string{"run"}})
	held := b.add(`{"holdUntilReleased": true}`, nil)
	b.started(w)
	var ids []int64
	for i := range 30 {
		options := &admin.AddJobOptions{Priority: new(rand.N(4) - 2), RunAt: admin.At(time.Now().Add(-time.Duration(rand.N(1_000_000)) * time.Millisecond))}
		if i%5 == 0 {
			options.QueueName = new(fmt.Sprint("queue ", i))
		}
		ids = append(ids, b.add("{}", options))
	}
	b.add("{}", &admin.AddJobOptions{Priority: new(-9), RunAt: admin.At(time.Now().Add(time.Hour))}) // not due
	_, err := b.client.PauseQueue(b.ctx, "quiet", nil)
	b.ok(err)
	b.add("{}", &admin.AddJobOptions{Priority: new(-9), QueueName: new("quiet")}) // does not come before the others
	want := map[int64]int64{}
	for _, id := range ids {
		e, err := b.client.Explain(b.ctx, id)
		b.ok(err)
		want[id] = e.Ahead.Jobs
	}
	b.ok(w.Release(b.ctx, held))
	got := map[int64]int64{}
	for i := range ids {
		got[b.started(w).ID] = int64(i)
	}
	interopDiff(t, "jobs ahead", want, got)
}

// The bounds of the count, what slows all workers, and a job that does not exist.
func TestExplain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.insert(added(admin.Job{TaskIdentifier: "send", RunAt: *admin.At(day1)}))
		explain := func(id int64) *admin.Explanation {
			b.Helper()
			return b.ok(b.client.Explain(b.ctx, id)).(*admin.Explanation)
		}
		unseen := "(task unseen: No worker holds a job of the task send now, and no worker holds any job. The database does not know which tasks a worker has. -> check that a running worker has the task)"
		want := &admin.Explanation{Job: b.list(admin.Filter{}, admin.ListOptions{PayloadBytes: 100})[0], Now: now(), Ahead: &admin.Ahead{}}
		got := explain(1)
		b.check("reasons", []string{unseen}, said(got))
		got.Reasons = nil
		b.check("explanation", want, got)

		b.insert(added(admin.Job{TaskIdentifier: "send", RunAt: *admin.At(day1), Attempts: 1, LockedAt: ago(time.Minute), LockedBy: new("pool-a")}))
		b.check("nothing known", []string{"(ready: Nothing stands in the way: the next worker that knows the task send takes the job.)"}, said(explain(1)))

		b.exec(`insert into graphile_worker._private_jobs (task_id, run_at) select 1, $1 from generate_series(1, $2)`, day0, admin.MaxAhead)
		b.check("as many as are counted", &admin.Ahead{Jobs: admin.MaxAhead}, explain(1).Ahead)
		b.exec(`insert into graphile_worker._private_jobs (task_id, run_at) values (1, $1)`, day0)
		b.check("more", &admin.Ahead{Jobs: admin.MaxAhead, More: true}, explain(1).Ahead)
		b.check("reasons", []string{"(ahead: More than 10000 ready jobs come before this one, by priority, run_at and id.)"}, said(explain(1)))

		// A name is quoted for a shell.
		b.insert(added(admin.Job{TaskIdentifier: "send", RunAt: *admin.At(day0), QueueName: new("it's mail")}))
		b.ok(b.client.PauseQueue(b.ctx, "it's mail", nil))
		last := b.list(admin.Filter{QueueNames: []string{"it's mail"}}, admin.ListOptions{})[0].ID
		b.check("what to do", `gwadmin queues resume 'it'\''s mail'`, explain(last).Reasons[0].Do)

		if _, err := b.client.Explain(b.ctx, 404404); !is(admin.ErrJobNotFound)(err) {
			b.Errorf("a job that does not exist: %v", err)
		}
	})
}

// What slows all workers is read from the server, and told from some size on.
func TestExplainBurden(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		burden := func() (pid int32, begun bool, dead int64) {
			b.Helper()
			row, err := admin.ServerBurden(b.ctx, b.client)
			b.ok(nil, err)
			return row.Pid, row.Begun.Valid, row.DeadRows
		}
		tx := b.begin()
		inside := b.in(tx)
		inside.exec("set transaction isolation level repeatable read")
		old := rowsOf[int32](inside, "select pg_backend_pid()")[0]
		pid, begun, _ := burden()
		b.check("the oldest transaction", []any{old, true}, []any{pid, begun})

		at := now()
		for _, tc := range []struct {
			age        time.Duration
			live, dead int64
			want       []string
		}{
			{5 * time.Minute, 0, 99_999, nil},
			{5*time.Minute + 1, 0, 0, []string{"(long transaction: Process PID has had a transaction open since TIME. As long as it lasts, deleted jobs stay in the index, and slow down all workers. -> end the transaction of process PID)"}},
			{0, 100_000, 100_000, nil},
			{0, 99_999, 100_000, []string{"(dead rows: The table of jobs has about 100000 dead rows and 99999 live ones, and was last vacuumed at TIME. Dead rows slow down all workers. -> vacuum the table of jobs)"}},
		} {
			b.check("reasons", tc.want, said(admin.ExplainBurden(at, at.Add(-tc.age), tc.live, tc.dead)))
		}
	})
}

// What to do names another schema, and tells a name from a flag.
func TestExplainElsewhere(t *testing.T) {
	t.Parallel()
	b := benchIn(t, testdb.Ours(weird), weird)
	id := b.ok(b.client.AddJob(b.ctx, "send", nil, &admin.AddJobOptions{QueueName: new("--all")})).(*admin.Job).ID
	b.ok(b.client.PauseQueue(b.ctx, "--all", nil))
	b.ok(b.client.FailJobs(b.ctx, []int64{id}, nil, nil))
	var do []string
	for _, reason := range b.ok(b.client.Explain(b.ctx, id)).(*admin.Explanation).Reasons {
		do = append(do, reason.Do)
	}
	b.check("what to do", []string{
		fmt.Sprintf(`gwadmin jobs retry --schema 'Weird "Name"' %d`, id),
		`gwadmin queues resume --schema 'Weird "Name"' -- --all`,
	}, do)
}
