// Package demo shows what the administrative calls do, with jobs of several kinds and
// a worker that holds some of them.
package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/graphile"
)

// A Step is one call and its result.
type Step struct {
	Call    string
	Changed string
	Left    string // what the call left alone, and why
}

// worker is the id of the worker pool that holds jobs in the demo.
const worker = "pool-demo"

// Run adds jobs to a freshly migrated schema and administers them. It returns the
// jobs as they were added, and a step for each call.
func Run(ctx context.Context, pool *pgxpool.Pool, schema string) ([]admin.Job, []Step, error) {
	d := &demo{client: admin.New(pool, admin.WithSchema(schema)), pool: pool, schema: schema}
	if err := d.addJobs(ctx); err != nil {
		return nil, nil, err
	}
	for _, step := range []func(context.Context) error{
		d.complete, d.fail, d.reschedule, d.retry, d.replace, d.remove, d.unlock, d.cleanup,
	} {
		if err := step(ctx); err != nil {
			return nil, nil, err
		}
	}
	return d.added, d.steps, nil
}

type demo struct {
	client *admin.Client
	pool   *pgxpool.Pool
	schema string
	added  []admin.Job
	steps  []Step
}

func (d *demo) addJobs(ctx context.Context) error {
	welcome, err := d.client.AddJob(ctx, "send_email", map[string]string{"to": "ada@example.com"}, &admin.AddJobOptions{
		JobKey:   new("welcome-ada"),
		Priority: new(-5),
	})
	if err != nil {
		return err
	}
	specs := []admin.JobSpec{
		{TaskIdentifier: "send_email", Payload: map[string]string{"to": "bob@example.com"}},
		{TaskIdentifier: "send_email", Payload: map[string]string{"to": "eve@example.com"}},
		{TaskIdentifier: "resize_image", Payload: map[string]any{"image": 17, "width": 640}, QueueName: new("images")},
		{TaskIdentifier: "resize_image", Payload: map[string]any{"image": 18, "width": 640}, QueueName: new("images")},
		{TaskIdentifier: "monthly_report", RunAt: admin.At(time.Now().Add(72 * time.Hour)), JobKey: new("report")},
		{TaskIdentifier: "monthly_report", RunAt: admin.Never()},
		{TaskIdentifier: "sync_accounts", MaxAttempts: new(3), Flags: []string{"slow"}},
	}
	batch, err := d.client.AddJobs(ctx, specs, nil)
	if err != nil {
		return err
	}
	d.added = append([]admin.Job{*welcome}, batch...)
	d.steps = append(d.steps,
		Step{Call: `AddJob("send_email", …)`, Changed: fmt.Sprintf("%d added", welcome.ID)},
		Step{Call: fmt.Sprintf("AddJobs(%d specs)", len(specs)), Changed: fmt.Sprintf("%d to %d added", batch[0].ID, batch[len(batch)-1].ID)},
	)
	// A worker takes two jobs: a mail, and an image with its queue.
	return d.hold(ctx, d.added[2].ID, d.added[3].ID)
}

func (d *demo) hold(ctx context.Context, ids ...int64) error {
	for _, sql := range []string{
		`update graphile_worker._private_jobs set locked_by = $1, locked_at = now(), attempts = attempts + 1 where id = any ($2)`,
		`update graphile_worker._private_job_queues set locked_by = $1, locked_at = now()
			where id in (select job_queue_id from graphile_worker._private_jobs where id = any ($2))`,
	} {
		if _, err := d.pool.Exec(ctx, graphile.Rename(sql, d.schema), worker, ids); err != nil {
			return fmt.Errorf("hold jobs as a worker: %w", err)
		}
	}
	return nil
}

func (d *demo) complete(ctx context.Context) error {
	ids := []int64{d.added[1].ID, d.added[2].ID, 999}
	result, err := d.client.CompleteJobs(ctx, ids, nil)
	return d.report(fmt.Sprintf("CompleteJobs(%s)", list(ids)), "deleted", result, err)
}

func (d *demo) fail(ctx context.Context) error {
	ids := []int64{d.added[4].ID, d.added[3].ID}
	result, err := d.client.FailJobs(ctx, ids, new("image is gone"), nil)
	return d.report(fmt.Sprintf("FailJobs(%s)", list(ids)), "failed permanently", result, err)
}

func (d *demo) reschedule(ctx context.Context) error {
	ids := []int64{d.added[6].ID, d.added[7].ID}
	result, err := d.client.RescheduleJobs(ctx, ids, admin.RescheduleValues{
		RunAt:    admin.At(time.Now().Add(time.Hour)),
		Priority: new(0),
	}, nil)
	return d.report(fmt.Sprintf("RescheduleJobs(%s)", list(ids)), "set to run in an hour", result, err)
}

func (d *demo) retry(ctx context.Context) error {
	ids := []int64{d.added[4].ID}
	result, err := d.client.RetryJobs(ctx, ids, nil)
	return d.report(fmt.Sprintf("RetryJobs(%s)", list(ids)), "due now, with all attempts again", result, err)
}

func (d *demo) replace(ctx context.Context) error {
	job, err := d.client.AddJob(ctx, "send_email", map[string]string{"to": "ada@example.com", "lang": "fr"}, &admin.AddJobOptions{
		JobKey: new("welcome-ada"),
	})
	if err != nil {
		return err
	}
	d.steps = append(d.steps, Step{Call: `AddJob(key "welcome-ada")`, Changed: fmt.Sprintf("job %d updated, now revision %d", job.ID, job.Revision)})
	return nil
}

func (d *demo) remove(ctx context.Context) error {
	result, err := d.client.RemoveJob(ctx, "report", nil)
	if err != nil {
		return err
	}
	d.steps = append(d.steps, Step{Call: `RemoveJob(key "report")`, Changed: fmt.Sprintf("job %d %s", result.Job.ID, result.Outcome)})
	return nil
}

func (d *demo) unlock(ctx context.Context) error {
	result, err := d.client.ForceUnlockWorkers(ctx, []string{worker, "pool-gone"}, nil)
	if err != nil {
		return err
	}
	step := Step{Call: "ForceUnlockWorkers(" + worker + ", pool-gone)"}
	for _, locks := range result.Unlocked {
		step.Changed += fmt.Sprintf("%s: %d jobs and %d queue unlocked", locks.WorkerID, locks.Jobs, locks.Queues)
	}
	for _, id := range result.Idle {
		step.Left += id + " held nothing"
	}
	d.steps = append(d.steps, step)
	return nil
}

func (d *demo) cleanup(ctx context.Context) error {
	if _, err := d.client.FailJobs(ctx, []int64{d.added[7].ID}, nil, nil); err != nil {
		return err
	}
	tasks := []admin.CleanupTask{admin.DeletePermafailedJobs, admin.GCTaskIdentifiers, admin.GCJobQueues}
	result, err := d.client.Cleanup(ctx, admin.CleanupOptions{Tasks: tasks})
	if err != nil {
		return err
	}
	d.steps = append(d.steps, Step{
		Call: "Cleanup(all three tasks)",
		Changed: fmt.Sprintf("deleted %d failed job, %d task, %d queues", result.Deleted[admin.DeletePermafailedJobs],
			result.Deleted[admin.GCTaskIdentifiers], result.Deleted[admin.GCJobQueues]),
	})
	return nil
}

func (d *demo) report(call, verb string, result *admin.ChangeResult, err error) error {
	if err != nil {
		return err
	}
	var changed []int64
	for _, job := range result.Jobs {
		changed = append(changed, job.ID)
	}
	var left []string
	for _, skip := range result.SkippedJobs {
		left = append(left, skip.String())
	}
	step := Step{Call: call, Left: strings.Join(left, "\n")}
	if len(changed) > 0 {
		step.Changed = list(changed) + " " + verb
	}
	d.steps = append(d.steps, step)
	return nil
}

func list(ids []int64) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ", "), "[]")
}

// Schema is where the demo works on a server that is not its own.
const Schema = "gwadmin_demo"

// Create creates the demo's schema. It is an error if the schema exists: it may be
// somebody's, and [Drop] would remove it.
func Create(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, "create schema "+pgx.Identifier{Schema}.Sanitize())
	return err
}

// Drop removes the demo's schema with everything in it.
func Drop(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, "drop schema if exists "+pgx.Identifier{Schema}.Sanitize()+" cascade")
	return err
}
