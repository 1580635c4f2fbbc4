package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/graphile"
)

// liveWorkers are the simulated workers of [Live].
var liveWorkers = []string{"worker-a", "worker-b", "worker-c"}

// liveErrors are the errors of jobs that fail, by task.
var liveErrors = map[string]string{
	"send_email":     "connect ETIMEDOUT: the mail server did not answer within %d ms",
	"resize_image":   "image %d is not a picture",
	"sync_account":   "account %d: HTTP 429 Too Many Requests",
	"charge_card":    "card declined for order %d",
	"monthly_report": "division by zero in month %d",
}

// Live keeps a queue alive until ctx ends: it adds jobs of several kinds, and simulated
// workers take, fail and finish them. Of the jobs that it begins with, some have failed for
// good, and some are held by a worker that has died.
func Live(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	l := &life{client: admin.New(pool, admin.WithSchema(schema)), pool: pool, schema: schema}
	if err := l.begin(ctx); err != nil {
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	var err error
	for ctx.Err() == nil && err == nil {
		if err = l.add(ctx, 1+rand.IntN(3)); err != nil {
			break
		}
		for _, worker := range liveWorkers {
			job, taken, takeErr := l.take(ctx, worker)
			if takeErr != nil || !taken {
				err = errors.Join(err, takeErr)
				continue
			}
			all.Go(func() { l.run(ctx, worker, job) })
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(200+rand.IntN(400)) * time.Millisecond):
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type life struct {
	client *admin.Client
	pool   *pgxpool.Pool
	schema string
	orders int
}

// begin adds the jobs that are there at first.
func (l *life) begin(ctx context.Context) error {
	if err := l.add(ctx, 400); err != nil {
		return err
	}
	var tasks, messages []string
	for task, message := range liveErrors {
		tasks, messages = append(tasks, task), append(messages, strings.ReplaceAll(message, "%d", "%s"))
	}
	_, err := l.pool.Exec(ctx, graphile.Rename(`
		update graphile_worker._private_jobs as jobs
		set attempts = max_attempts, updated_at = now(),
			last_error = format(errors.message, jobs.id % 1000)
		from graphile_worker._private_tasks as tasks, unnest($1::text[], $2::text[]) as errors (task, message)
		where tasks.id = jobs.task_id and errors.task = tasks.identifier and jobs.id % 4 = 0`, l.schema), tasks, messages)
	if err != nil {
		return fmt.Errorf("fail jobs of the demo: %w", err)
	}
	_, err = l.pool.Exec(ctx, graphile.Rename(`
		update graphile_worker._private_jobs set locked_by = 'worker-dead', locked_at = now() - interval '5 hours', attempts = 1
		where id in (select id from graphile_worker._private_jobs where is_available and job_queue_id is null order by id limit 3)`, l.schema))
	if err != nil {
		return fmt.Errorf("hold jobs of the demo: %w", err)
	}
	return nil
}

// add adds jobs as a service would.
func (l *life) add(ctx context.Context, number int) error {
	specs := make([]admin.JobSpec, number)
	for i := range specs {
		l.orders++
		spec := admin.JobSpec{Payload: map[string]any{"order": l.orders}}
		switch kind := rand.IntN(10); {
		case kind < 4:
			spec.TaskIdentifier = "send_email"
			spec.Payload = map[string]any{"order": l.orders, "to": fmt.Sprintf("customer-%d@example.com", l.orders), "lines": []map[string]any{{"sku": "pen", "count": 2}, {"sku": "ink", "count": 1}}}
		case kind < 6:
			spec.TaskIdentifier, spec.QueueName = "resize_image", new(fmt.Sprintf("images-%d", l.orders%3))
		case kind < 8:
			spec.TaskIdentifier, spec.Priority = "charge_card", new(-5)
		case kind < 9:
			spec.TaskIdentifier, spec.JobKey = "sync_account", new(fmt.Sprintf("account-%d", l.orders%5000))
		default:
			spec.TaskIdentifier, spec.RunAt = "monthly_report", admin.In(time.Duration(1+rand.IntN(600))*time.Second)
		}
		specs[i] = spec
	}
	_, err := l.client.AddJobsIDs(ctx, specs, nil)
	return err
}

// A takenJob is one that a simulated worker holds.
type takenJob struct {
	ID    int64
	Queue *int
	Task  string
}

// take lets a worker take the next job. Only one worker takes at a time.
func (l *life) take(ctx context.Context, worker string) (job takenJob, found bool, err error) {
	err = l.pool.QueryRow(ctx, graphile.Rename(`
		with next as (
			select jobs.id, jobs.job_queue_id
			from graphile_worker._private_jobs as jobs
			left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
			where jobs.is_available and jobs.run_at <= now() and (jobs.job_queue_id is null or queues.is_available)
			order by jobs.priority, jobs.run_at, jobs.id
			limit 1
			for update of jobs skip locked
		), held as (
			update graphile_worker._private_job_queues set locked_by = $1, locked_at = now()
			where id in (select job_queue_id from next)
		)
		update graphile_worker._private_jobs as jobs
		set locked_by = $1, locked_at = now(), attempts = attempts + 1
		from next, graphile_worker._private_tasks as tasks
		where jobs.id = next.id and tasks.id = jobs.task_id
		returning jobs.id, jobs.job_queue_id, tasks.identifier`, l.schema), worker).Scan(&job.ID, &job.Queue, &job.Task)
	if errors.Is(err, pgx.ErrNoRows) {
		return job, false, nil
	}
	return job, err == nil, err
}

// run works on a job for a while, and finishes it or fails it.
func (l *life) run(ctx context.Context, worker string, job takenJob) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(time.Duration(200+rand.IntN(3000)) * time.Millisecond):
	}
	finish := `delete from graphile_worker._private_jobs where id = $1 and locked_by = $2 and $3 <> ''`
	message := fmt.Sprintf(liveErrors[job.Task], rand.IntN(1000))
	if rand.IntN(100) < 12 {
		finish = `
			update graphile_worker._private_jobs
			set last_error = $3, run_at = now() + interval '1 second' * exp(least(attempts, 10)), locked_by = null, locked_at = null
			where id = $1 and locked_by = $2`
	}
	_, err := l.pool.Exec(ctx, graphile.Rename(finish, l.schema), job.ID, worker, message)
	if err == nil && job.Queue != nil {
		_, _ = l.pool.Exec(ctx, graphile.Rename(`
			update graphile_worker._private_job_queues set locked_by = null, locked_at = null
			where id = $1 and locked_by = $2`, l.schema), *job.Queue, worker)
	}
}
