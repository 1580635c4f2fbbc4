package admin_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// inQueue returns the number of a job's queue in the test, 0 for no queue.
func inQueue(id int64) int64 {
	if n := id % 22; n == 1 || n == 12 {
		return n
	}
	return 0
}

// TestReadsSkipNoJob runs many jobs with a real worker while many goroutines read them. The
// worker must take the jobs in their order: it would skip a locked row and take another job
// first.
func TestReadsSkipNoJob(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"0.18.0", "0.16.6"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			const jobs = 2000
			b := newBench(t, testdb.Upstream(t, version, ""))
			b.ctx = t.Context() // a busy machine needs more than a minute
			b.add("send", nil, nil)
			b.exec(`insert into graphile_worker._private_job_queues (queue_name) values ('q 1'), ('q 12')`)
			b.exec(`delete from graphile_worker._private_jobs`)
			// One job in eleven has a queue. The row of the queue could be locked as well.
			b.exec(`
				insert into graphile_worker._private_jobs (id, task_id, job_queue_id, key, run_at)
				overriding system value
				select i, (select id from graphile_worker._private_tasks), (select id from graphile_worker._private_job_queues where queue_name = 'q ' || i % 22), 'key ' || i, now() - interval '1 hour'
				from generate_series(2, $1::int + 1) as i`, jobs)
			driver := upstream.Start(b, version, b.pool.Config().ConnString(), "")
			// A job that no worker takes, for GetJob to read during the whole test.
			b.exec(`update graphile_worker._private_jobs set attempts = max_attempts, priority = 1 where id = 2`)

			reading, stop := context.WithCancel(b.ctx)
			var readers sync.WaitGroup
			counts := make(chan int, 100)
			for name, read := range everyRead() {
				readers.Go(func() {
					n := 0
					for ; reading.Err() == nil; n++ {
						if err := read(reading, b.client); err != nil && !errors.Is(err, context.Canceled) {
							b.Errorf("%s: %v", name, err)
							break
						}
					}
					counts <- n
				})
			}
			w := b.ok(driver.StartWorker(b.ctx, upstream.WorkerOptions{Tasks: []string{"send"}})).(*upstream.Worker)
			for range jobs - 1 {
				if job := b.ok(w.Finished(b.ctx)).(upstream.Job); job.Error != "" || job.Attempts != 1 {
					b.Errorf("job %+v", job)
				}
			}
			stop()
			readers.Wait()
			close(counts)
			for n := range counts {
				if n == 0 {
					b.Error("somebody has not read while the worker ran")
				}
			}
			b.ok(nil, w.Stop(b.ctx))
			// A later job may be taken before a job whose queue is still locked.
			ran := map[int64][]int64{}
			for {
				job, err := w.Started(b.ctx)
				if err != nil {
					break
				}
				ran[inQueue(job.ID)] = append(ran[inQueue(job.ID)], job.ID)
			}
			want := map[int64][]int64{}
			for id := int64(3); id <= jobs+1; id++ {
				want[inQueue(id)] = append(want[inQueue(id)], id)
			}
			b.check("jobs run, in their order", want, ran)
			b.check("jobs left", []int64{2}, rowsOf[int64](b, "select id from graphile_worker._private_jobs"))
		})
	}
}
