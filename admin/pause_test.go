package admin_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// The lock of a queue before, during and after a pause.
func TestPauseQueue(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		ctx := admin.WithActor(b.ctx, "ada")
		locks := func() []string {
			b.Helper()
			return rowsOf[string](b, `select concat_ws(' ', queue_name, case locked_at when 'infinity' then 'forever' else to_char(locked_at at time zone 'UTC', 'YYYY-MM-DD') end,
				regexp_replace(locked_by, '20\d\d-[^"]*', 'NOW')) from graphile_worker._private_job_queues order by queue_name`)
		}
		job := admin.Job{TaskIdentifier: "send", QueueName: new("mail"), RunAt: *admin.At(day0)}
		b.insert(added(job), added(job))
		b.exec("update graphile_worker._private_jobs set locked_at = $1, locked_by = 'pool-a', attempts = 1 where id = 1", day1)
		b.exec("update graphile_worker._private_job_queues set locked_at = $1, locked_by = 'pool-a'", day1)

		// A dry run changes nothing.
		want := &admin.PauseResult{DryRun: true, Queue: "mail", Pause: admin.Pause{By: "ada", Reason: "why", Since: now()}, HeldBy: new("pool-a"), HeldSince: &day1}
		b.check("dry", want, b.ok(b.client.PauseQueue(ctx, "mail", &admin.PauseOptions{Reason: "why", DryRun: true})))
		added := &admin.PauseResult{DryRun: true, Queue: "new", Pause: admin.Pause{Since: now()}, Added: true}
		b.check("dry, a queue that does not exist", added, b.ok(b.client.PauseQueue(b.ctx, "new", &admin.PauseOptions{DryRun: true})))
		b.check("locks", []string{"mail 2024-03-01 pool-a"}, locks())

		want.DryRun, added.DryRun = false, false
		b.check("paused", want, b.ok(b.client.PauseQueue(ctx, "mail", &admin.PauseOptions{Reason: "why"})))
		b.check("a queue that does not exist", added, b.ok(b.client.PauseQueue(b.ctx, "new", nil)))
		want.Already, want.HeldBy, want.HeldSince = true, nil, nil
		b.check("paused again", want, b.ok(b.client.PauseQueue(b.ctx, "mail", &admin.PauseOptions{Reason: "another"})))
		paused := []string{`mail forever gwadmin:paused:{"by":"ada","reason":"why","since":"NOW"}`, `new forever gwadmin:paused:{"by":"","reason":"","since":"NOW"}`}
		b.check("locks", paused, locks())
		b.check("Queues", []admin.Queue{
			{Name: "mail", Paused: &want.Pause, Jobs: admin.Counts{admin.Stale: 1, admin.Paused: 1}},
			{Name: "new", Paused: &added.Pause, Jobs: admin.Counts{}},
		}, b.ok(b.client.Queues(b.ctx)))
		waiting := b.list(admin.Filter{States: []admin.State{admin.Paused}}, admin.ListOptions{})
		b.check("jobs", []any{1, int64(2), &want.Pause, (*time.Time)(nil)}, []any{len(waiting), waiting[0].ID, waiting[0].QueuePaused, waiting[0].QueueLockedAt})

		// The lock goes back to the worker that holds a job of the queue.
		running := &admin.ResumeResult{DryRun: true, Queue: "mail", Found: true, Pause: &want.Pause, Running: &admin.RunningJob{ID: 1, LockedBy: "pool-a", LockedAt: day1}}
		b.check("dry", running, b.ok(b.client.ResumeQueue(b.ctx, "mail", &admin.ResumeOptions{DryRun: true})))
		b.check("locks", paused, locks())
		tx := b.begin()
		_, err := b.client.WithTx(tx).ResumeQueue(b.ctx, "mail", nil)
		b.check("in a transaction", true, errors.Is(err, admin.ErrContended))
		b.ok(nil, tx.Commit(b.ctx))
		b.check("locks", paused, locks())
		running.DryRun = false
		b.check("resumed", running, b.ok(b.client.ResumeQueue(b.ctx, "mail", nil)))
		b.check("resumed", &admin.ResumeResult{Queue: "new", Found: true, Pause: &added.Pause}, b.ok(b.client.ResumeQueue(b.ctx, "new", nil)))
		b.check("locks", []string{"mail 2024-03-01 pool-a", "new"}, locks())
		b.check("not paused", &admin.ResumeResult{Queue: "mail", Found: true}, b.ok(b.client.ResumeQueue(b.ctx, "mail", nil)))
		b.check("not found", &admin.ResumeResult{Queue: "none"}, b.ok(b.client.ResumeQueue(b.ctx, "none", nil)))

		// A pause that somebody has written by hand.
		b.exec("update graphile_worker._private_job_queues set locked_at = 'infinity', locked_by = 'gwadmin:paused:by hand' where queue_name = 'new'")
		b.check("by hand", &admin.ResumeResult{Queue: "new", Found: true, Pause: &admin.Pause{Reason: "by hand"}}, b.ok(b.client.ResumeQueue(b.ctx, "new", nil)))

		for _, call := range []func() (*admin.PauseResult, error){
			func() (*admin.PauseResult, error) { return b.client.PauseQueue(b.ctx, strings.Repeat("q", 129), nil) },
			func() (*admin.PauseResult, error) {
				return b.client.PauseQueue(b.ctx, "mail", &admin.PauseOptions{Reason: strings.Repeat("r", 1001)})
			},
			func() (*admin.PauseResult, error) {
				return b.client.PauseQueue(admin.WithActor(b.ctx, "\x00"), "mail", nil)
			},
		} {
			if _, err := call(); !errors.Is(err, admin.ErrInvalid) {
				b.Errorf("invalid input: %v", err)
			}
		}
	})
}

// interopWorkers are the kinds of workers that must respect a pause.
var interopWorkers = []struct {
	version    string
	localQueue int
}{{"0.16.6", 0}, {"0.17.3", 0}, {"0.17.3", 3}, {"0.18.0", 0}, {"0.18.0", 3}}

// onWorkers runs a test with each kind of worker, on the schema of its release.
func onWorkers(t *testing.T, test func(b *interop, d *upstream.Driver, options upstream.WorkerOptions)) {
	t.Parallel()
	for _, kind := range interopWorkers {
		t.Run(fmt.Sprintf("%s, local queue of %d", kind.version, kind.localQueue), func(t *testing.T) {
			t.Parallel()
			upstream.Ensure(t)
			b := newInterop(t, testdb.Upstream(t, kind.version, ""))
			test(b, b.driver(kind.version), upstream.WorkerOptions{
				Tasks: []string{"run"}, Concurrency: 3, LocalQueue: kind.localQueue, PollInterval: 50 * time.Millisecond,
			})
		})
	}
}

// interopPauses logs what no worker may do: change the lock of a paused queue, or take a job
// beside another of its queue.
const interopPauses = `
	create schema watch;
	create table watch.violations (what text);
	create function watch.watch_queue() returns trigger language plpgsql as $$ begin
		if current_setting('application_name') <> 'office' then
			insert into watch.violations values (concat_ws(' ', 'queue', old.locked_by, 'became', new.locked_by));
		end if;
		return null;
	end $$;
	create trigger watch after update on graphile_worker._private_job_queues for each row
		when (old.locked_by like 'gwadmin:%') execute function watch.watch_queue();
	create function watch.watch_job() returns trigger language plpgsql as $$ begin
		insert into watch.violations select concat_ws(' ', 'job', new.id, 'beside', other.id) from graphile_worker._private_jobs as other
			where other.job_queue_id = new.job_queue_id and other.locked_at is not null and other.id <> new.id;
		return null;
	end $$;
	create trigger watch after update on graphile_worker._private_jobs for each row
		when (old.locked_at is null and new.locked_at is not null) execute function watch.watch_job()`

// A running job finishes while its queue is paused, and no other job of the queue starts. A
// queue that is resumed meanwhile runs the next job when the first has finished.
func TestInteropPause(t *testing.T) {
	onWorkers(t, func(b *interop, d *upstream.Driver, options upstream.WorkerOptions) {
		b.exec(interopPauses)
		office := admin.New(b.as("office"))
		ctx := admin.WithActor(b.ctx, "ada")
		pause := func() *admin.PauseResult {
			b.Helper()
			paused, err := office.PauseQueue(ctx, "mail", &admin.PauseOptions{Reason: `a "deploy" <é>`})
			b.ok(err)
			return paused
		}
		resume := func() *admin.ResumeResult {
			b.Helper()
			resumed, err := office.ResumeQueue(ctx, "mail", nil)
			b.ok(err)
			return resumed
		}
		states := func(want ...admin.State) {
			b.Helper()
			var got []admin.State
			for job, err := range b.client.AllJobs(b.ctx, admin.Filter{QueueNames: []string{"mail"}}, nil) {
				b.ok(err)
				got = append(got, job.State)
			}
			interopDiff(b, "states", want, got)
		}
		inQueue := &admin.AddJobOptions{QueueName: new("mail")}
		hold := func() int64 { b.Helper(); return b.add(`{"holdUntilReleased": true}`, inQueue) }

		w := b.worker(d, options)
		// beside runs a job of no queue and a job of another one. The workers have then looked
		// for jobs, and have found none of the queue.
		beside := func() {
			b.Helper()
			for _, queue := range []*string{nil, new("other")} {
				id := b.add("{}", &admin.AddJobOptions{QueueName: queue})
				interopDiff(b, "the next job that starts", id, b.started(w).ID)
				interopDiff(b, "the next job that finishes", id, b.finished(w).ID)
			}
		}
		first := hold()
		holder := b.started(w).LockedBy
		paused := pause()
		if paused.HeldBy == nil || *paused.HeldBy != holder || time.Since(paused.Pause.Since).Abs() > time.Minute {
			b.Errorf("paused while %s runs a job: %+v", holder, paused)
		}
		want := admin.Pause{By: "ada", Reason: `a "deploy" <é>`, Since: paused.Pause.Since}
		interopDiff(b, "pause", want, paused.Pause)
		second := hold()
		beside()
		states(admin.Running, admin.Paused)
		b.ok(w.Release(b.ctx, first))
		interopDiff(b, "the running job finishes", first, b.finished(w).ID)
		beside()
		states(admin.Paused)
		interopDiff(b, "paused twice", &admin.PauseResult{Queue: "mail", Pause: want, Already: true}, pause())

		// Resumed without a running job.
		interopDiff(b, "resumed", &admin.ResumeResult{Queue: "mail", Found: true, Pause: &want}, resume())
		next := b.started(w)
		interopDiff(b, "the next job starts", second, next.ID)
		holder = next.LockedBy // before 0.17 each worker of the pool has an id of its own
		third := b.add("{}", inQueue)

		// Resumed while a job runs, which was paused twice before.
		pause()
		resumed := resume()
		if resumed.Running == nil || resumed.Running.ID != second || resumed.Running.LockedBy != holder {
			b.Errorf("resumed while job %d runs: %+v", second, resumed)
		}
		beside()
		states(admin.Running, admin.Waiting)
		interopDiff(b, "resumed twice", &admin.ResumeResult{Queue: "mail", Found: true}, resume())
		b.ok(w.Release(b.ctx, second))
		interopDiff(b, "the next job starts", third, b.started(w).ID)
		b.finished(w)
		b.finished(w)

		// A job that fails, and one that the worker gives back, do not end a pause.
		failing := b.add(`{"holdUntilReleased": true, "fail": "no luck"}`, inQueue)
		b.started(w)
		pause()
		b.ok(w.Release(b.ctx, failing))
		interopDiff(b, "failed", "no luck", b.finished(w).Error)
		_, err := b.client.RetryJobs(b.ctx, []int64{failing}, nil)
		b.ok(err)
		beside()
		states(admin.Paused)
		b.ok(w.Stop(b.ctx))
		interopDiff(b, "violations", []string{}, interopRows[string](b, "select what from watch.violations"))
	})
}

// The sweep of stale locks, unlocking workers, cleaning up and restoring queues do not end a
// pause, in Go or in JavaScript.
func TestInteropPauseLasts(t *testing.T) {
	onWorkers(t, func(b *interop, d *upstream.Driver, options upstream.WorkerOptions) {
		_, err := b.client.PauseQueue(b.ctx, "mail", nil)
		b.ok(err)
		queue := func() string {
			b.Helper()
			return interopRows[string](b, "select concat_ws(' ', locked_at, locked_by) from graphile_worker._private_job_queues where queue_name = 'mail'")[0]
		}
		before := queue()
		if !strings.HasPrefix(before, `infinity gwadmin:paused:{"by":"","reason":"","since":"20`) {
			b.Errorf("the lock of a paused queue is %s", before)
		}

		id := b.add("{}", &admin.AddJobOptions{QueueName: new("lost")})
		for _, table := range []string{"jobs", "job_queues"} {
			b.exec("update graphile_worker._private_" + table + " set locked_at = now() - interval '5 hours', locked_by = 'dead' where locked_at is null")
		}
		options.SweepInterval = 20 * time.Millisecond
		w := b.worker(d, options)
		interopDiff(b, "the sweep frees the other queue", id, b.finished(w).ID)
		interopDiff(b, "after the sweep", before, queue())
		b.ok(w.Stop(b.ctx))

		b.ok(d.Call(b.ctx, "forceUnlockWorkers", []any{[]string{"dead"}}, nil))
		_, err = b.client.ForceUnlockWorkers(b.ctx, []string{"dead"}, nil)
		b.ok(err)
		_, lockedBy, _ := strings.Cut(before, " ")
		if _, err := b.client.ForceUnlockWorkers(b.ctx, []string{lockedBy}, nil); !errors.Is(err, admin.ErrInvalid) {
			b.Errorf("unlocking a pause: %v", err)
		}
		b.ok(d.Call(b.ctx, "cleanup", []any{map[string]any{"tasks": []string{"GC_JOB_QUEUES"}}}, nil))
		_, err = b.client.Cleanup(b.ctx, admin.CleanupOptions{})
		b.ok(err)
		b.exec("insert into graphile_worker._private_jobs (task_id, job_queue_id) select id, 99 from graphile_worker._private_tasks limit 1")
		_, err = b.client.RestoreQueues(b.ctx, &admin.RestoreOptions{QueueName: new("mail")})
		b.ok(err)
		interopDiff(b, "after the other calls", before, queue())
		workers, err := b.client.Workers(b.ctx)
		b.ok(err)
		interopDiff(b, "a pause is no worker", []admin.Worker{}, workers)
	})
}

// A worker that finishes its job at the moment of the resume has not seen the resume, and
// does not free the queue. The resume does.
func TestInteropResumeBesideCompletion(t *testing.T) {
	onWorkers(t, func(b *interop, d *upstream.Driver, options upstream.WorkerOptions) {
		w := b.worker(d, options)
		inQueue := &admin.AddJobOptions{QueueName: new("mail")}
		first := b.add(`{"holdUntilReleased": true}`, inQueue)
		b.started(w)
		_, err := b.client.PauseQueue(b.ctx, "mail", nil)
		b.ok(err)
		second := b.add("{}", inQueue)

		tx, err := b.pool.Begin(b.ctx)
		b.ok(err)
		_, err = tx.Exec(b.ctx, "select from graphile_worker._private_jobs where id = $1 for update", first)
		b.ok(err)
		b.ok(w.Release(b.ctx, first)) // the worker deletes the job, and waits
		for interopRows[int](b, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)[0] == 0 {
			time.Sleep(2 * time.Millisecond)
		}
		var resumed *admin.ResumeResult
		var resuming sync.WaitGroup
		resuming.Go(func() { resumed, err = b.client.ResumeQueue(b.ctx, "mail", nil) })
		for interopRows[int](b, `select count(*) from graphile_worker._private_job_queues where locked_by not like 'gwadmin:%'`)[0] == 0 {
			time.Sleep(2 * time.Millisecond)
		}
		b.ok(tx.Commit(b.ctx))
		resuming.Wait()
		b.ok(err)
		if resumed.Running == nil || resumed.Running.ID != first {
			b.Errorf("resumed while job %d runs: %+v", first, resumed)
		}
		for range 2 {
			if job := b.finished(w); job.ID != first && job.ID != second {
				b.Errorf("finished %+v", job)
			}
		}
		b.ok(w.Stop(b.ctx))
	})
}

// Workers run the jobs of some queues while these are paused and resumed all the time. No
// two jobs of a queue are ever held at once, no worker touches a paused queue, and at the end
// all jobs have run and all queues are free.
func TestInteropPauseStorm(t *testing.T) {
	onWorkers(t, func(b *interop, d *upstream.Driver, options upstream.WorkerOptions) {
		const queues, jobs = 3, 60 // jobs of each queue
		b.exec(interopPauses)
		var specs []admin.JobSpec
		for i := range queues * jobs {
			payload := map[string]any{"sleepMs": rand.N(4)}
			specs = append(specs, admin.JobSpec{TaskIdentifier: "run", Payload: payload, QueueName: new(fmt.Sprint("queue ", i%queues))})
		}
		_, err := b.client.AddJobs(b.ctx, specs, nil)
		b.ok(err)
		workers := []*upstream.Worker{b.worker(d, options), b.worker(d, options)}
		office := admin.New(b.as("office"))
		var hands sync.WaitGroup
		var mu sync.Mutex
		counts := map[string]int{}
		for i := range queues {
			hands.Go(func() {
				queue := fmt.Sprint("queue ", i)
				for interopRows[bool](b, "select exists (select from graphile_worker._private_jobs)")[0] {
					paused, err := office.PauseQueue(b.ctx, queue, nil)
					if err != nil {
						b.Errorf("pause: %v", err)
						return
					}
					time.Sleep(rand.N(8 * time.Millisecond))
					resumed, err := office.ResumeQueue(b.ctx, queue, nil)
					if err != nil {
						b.Errorf("resume: %v", err)
						return
					}
					mu.Lock()
					counts["pauses"]++
					if paused.HeldBy != nil {
						counts["held at the pause"]++
					}
					if resumed.Running != nil {
						counts["running at the resume"]++
					}
					mu.Unlock()
					time.Sleep(rand.N(8 * time.Millisecond))
				}
			})
		}
		hands.Wait()
		for _, w := range workers {
			b.ok(w.Stop(b.ctx))
		}
		var serial string
		if options.LocalQueue > 0 && interopRows[int](b, "select max(id) from graphile_worker.migrations")[0] == 19 {
			serial = "where what like 'queue%'" // 0.17.3 takes several jobs of a queue at once, also without a pause
		}
		interopDiff(b, "violations", []string{}, interopRows[string](b, "select what from watch.violations "+serial))
		interopDiff(b, "locked queues", []string{}, interopRows[string](b, "select concat_ws(' ', queue_name, locked_by) from graphile_worker._private_job_queues where locked_at is not null"))
		b.Logf("%v", counts)
	})
}
