package admin_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// A job that a transaction adds to a queue while a cleanup deletes the queue is stranded. All
// calls return this state, and no worker takes the job until RestoreQueues has restored the
// queue.
func TestStranded(t *testing.T) {
	t.Parallel()
	for _, version := range upstream.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Upstream(t, version, ""))
			b.exec(`insert into graphile_worker._private_job_queues (queue_name) values ('mail')`)
			tx := b.begin()
			inside := b.in(tx)
			job := inside.add("run", nil, &admin.AddJobOptions{QueueName: new("mail")})
			cleaned := b.ok(b.client.Cleanup(b.ctx, admin.CleanupOptions{})).(*admin.CleanupResult)
			b.check("cleanup", &admin.CleanupResult{Deleted: map[admin.CleanupTask]int64{admin.GCJobQueues: 1}}, cleaned)
			b.ok(nil, tx.Commit(b.ctx))

			stranded := admin.Filter{States: []admin.State{admin.Stranded}}
			listed := b.list(stranded, admin.ListOptions{})
			got := b.ok(b.client.GetJob(b.ctx, job.ID)).(*admin.ListedJob)
			stats := b.ok(b.client.Stats(b.ctx, nil)).(*admin.Stats)
			b.check("states", []any{1, admin.Stranded, admin.Stranded, (*string)(nil), admin.Counts{admin.Stranded: 1}},
				[]any{len(listed), listed[0].State, got.State, got.QueueName, stats.Jobs})
			b.check("oldest ready", (*time.Time)(nil), stats.OldestReady)

			driver := upstream.Start(t, version, b.pool.Config().ConnString(), "")
			worker := b.ok(driver.StartWorker(b.ctx, upstream.WorkerOptions{Tasks: []string{"run"}})).(*upstream.Worker)
			beside := b.add("run", nil, nil)
			b.check("the other job runs", beside.ID, b.ok(worker.Finished(b.ctx)).(upstream.Job).ID)
			b.check("jobs left", []int64{job.ID}, jobIDs(b.jobs()))

			want := &admin.RestoreResult{DryRun: true, Jobs: 1, Queues: []admin.RestoredQueue{{ID: 1, Name: "restored-1", Jobs: 1}}}
			b.check("dry run", want, b.ok(b.client.RestoreQueues(b.ctx, &admin.RestoreOptions{DryRun: true})))
			b.check("still stranded", 1, len(b.list(stranded, admin.ListOptions{})))
			want.DryRun = false
			b.check("restored", want, b.ok(b.client.RestoreQueues(b.ctx, nil)))
			b.add("run", nil, nil) // wakes the worker
			ran := map[int64]bool{b.ok(worker.Finished(b.ctx)).(upstream.Job).ID: true, b.ok(worker.Finished(b.ctx)).(upstream.Job).ID: true}
			b.check("the job runs", true, ran[job.ID])
			b.ok(nil, worker.Stop(b.ctx))
			b.check("nothing more to restore", &admin.RestoreResult{Queues: []admin.RestoredQueue{}}, b.ok(b.client.RestoreQueues(b.ctx, nil)))
		})
	}
}

// Cleanup does not delete queues that jobs are added to while it runs. It counts the jobs that
// are committed to a queue while it deletes the queue.
func TestCleanupCountsStranded(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.exec(`insert into graphile_worker._private_job_queues (queue_name) values ('mail'), ('print'), ('spared'), ('unused')`)
		b.exec(`insert into graphile_worker._private_tasks (identifier) values ('run')`)
		b.ok(nil, b.client.Check(b.ctx))
		open := b.begin()
		for _, queue := range []string{"mail", "mail", "print"} {
			b.in(open).add("run", nil, &admin.AddJobOptions{QueueName: &queue})
		}
		client := admin.New(between{between{b.on, "QueueDelete", func() {
			b.add("run", nil, &admin.AddJobOptions{QueueName: new("spared")})
		}}, "JobCountAddedTo", func() { b.ok(nil, open.Commit(b.ctx)) }})
		result := b.ok(client.Cleanup(b.ctx, admin.CleanupOptions{}))
		b.check("result", &admin.CleanupResult{Deleted: map[admin.CleanupTask]int64{admin.GCJobQueues: 3}, Stranded: 3}, result)
		b.check("stranded", 3, len(b.list(admin.Filter{States: []admin.State{admin.Stranded}}, admin.ListOptions{})))
		b.check("spared", 1, len(b.list(admin.Filter{QueueNames: []string{"spared"}}, admin.ListOptions{})))

		// RestoreQueues moves all stranded jobs to one queue, except those that a worker holds.
		b.exec(`update graphile_worker._private_jobs set locked_at = now(), locked_by = 'pool-a' where id = 2`)
		restored := b.ok(b.client.RestoreQueues(b.ctx, &admin.RestoreOptions{QueueName: new("mail")}))
		b.check("restored", &admin.RestoreResult{Jobs: 2, Queues: []admin.RestoredQueue{{ID: 1, Name: "mail", Jobs: 2}, {ID: 2, Name: "mail", Jobs: 1}}}, restored)
		mail := b.list(admin.Filter{QueueNames: []string{"mail"}}, admin.ListOptions{})
		b.check("jobs of the queue", []int64{1, 3}, []int64{mail[0].ID, mail[1].ID})
		b.check("ready", []admin.State{admin.Ready, admin.Ready}, []admin.State{mail[0].State, mail[1].State})
		_, err := b.client.RestoreQueues(b.ctx, &admin.RestoreOptions{QueueName: new(strings.Repeat("q", 129))})
		b.check("a name that is too long", true, errors.Is(err, admin.ErrInvalid))
	})
}
