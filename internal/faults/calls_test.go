package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
)

// A scene is what the calls of one client act on: jobs, names and ids that no other scene
// has.
type scene struct {
	ids                      []int64 // ready jobs of the task
	task, queue, key, worker string  // the key is of the first job; the worker holds one more job
	secret                   string  // a part of the payloads and reasons that calls send
}

// strand adds a stranded job.
func strand(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	var id int64
	if err := pool.QueryRow(t.Context(), "select (graphile_worker.add_job('stranded', queue_name => 'lost')).id").Scan(&id); err != nil {
		t.Fatal(err)
	}
	exec(t, pool, "update graphile_worker._private_jobs set job_queue_id = 1000000 + id where id = $1", id)
}

// newScene adds the jobs of a scene.
func newScene(ctx context.Context, pool *pgxpool.Pool, n int) (scene, error) {
	s := scene{task: fmt.Sprint("task ", n), queue: fmt.Sprint("queue ", n), key: fmt.Sprint("key ", n), worker: fmt.Sprint("worker ", n)}
	const add = `select array_agg((graphile_worker.add_job($1, json_build_object('n', n), queue_name => $2, job_key => case n when 1 then $3 end)).id)
		from generate_series(1, 6) as n`
	if err := pool.QueryRow(ctx, add, s.task, s.queue, s.key).Scan(&s.ids); err != nil {
		return s, err
	}
	_, err := pool.Exec(ctx, "update graphile_worker._private_jobs set locked_at = now(), locked_by = $1 where id = $2", s.worker, s.ids[5])
	s.ids = s.ids[:5]
	return s, err
}

// A call is a call of a method of a client, which finds the jobs of its scene as the calls
// before it have left them. It returns an error, too, if the result is not what it should be.
type call struct {
	method  string
	changes bool
	do      func(ctx context.Context, c *admin.Client, s scene) error
}

func (s scene) filter() admin.Filter { return admin.Filter{TaskIdentifiers: []string{s.task}} }

// changed checks how many jobs a call has changed.
func changed(want int64) func(*admin.ChangeResult, error) error {
	return func(r *admin.ChangeResult, err error) error {
		if err == nil && r.Changed != want {
			err = fmt.Errorf("changed %d jobs, want %d", r.Changed, want)
		}
		return err
	}
}

// counted checks how many a call has returned, or worked on.
func counted(want, got int, err error) error {
	if err == nil && got != want {
		err = fmt.Errorf("got %d, want %d", got, want)
	}
	return err
}

// everyCall is every call of a client, in an order that leaves no job of the scene.
var everyCall = []call{
	{"Check", false, func(ctx context.Context, c *admin.Client, _ scene) error { return c.Check(ctx) }},
	{"Now", false, func(ctx context.Context, c *admin.Client, _ scene) error {
		_, err := c.Now(ctx)
		return err
	}},
	{"GetJob", false, func(ctx context.Context, c *admin.Client, s scene) error {
		_, err := c.GetJob(ctx, s.ids[0])
		return err
	}},
	{"GetJobByKey", false, func(ctx context.Context, c *admin.Client, s scene) error {
		_, err := c.GetJobByKey(ctx, s.key)
		return err
	}},
	{"Explain", false, func(ctx context.Context, c *admin.Client, s scene) error {
		_, err := c.Explain(ctx, s.ids[0])
		return err
	}},
	{"ListJobs", false, func(ctx context.Context, c *admin.Client, s scene) error {
		page, err := c.ListJobs(ctx, s.filter(), nil)
		if err != nil {
			return err
		}
		return counted(6, len(page.Jobs), nil)
	}},
	{"AllJobs", false, func(ctx context.Context, c *admin.Client, s scene) error {
		n := 0
		for _, err := range c.AllJobs(ctx, s.filter(), &admin.ListOptions{PageSize: 2}) {
			if err != nil {
				return err
			}
			n++
		}
		return counted(6, n, nil)
	}},
	{"Stats", false, func(ctx context.Context, c *admin.Client, _ scene) error {
		_, err := c.Stats(ctx, &admin.StatsOptions{ErrorShapes: 5})
		return err
	}},
	{"Queues", false, func(ctx context.Context, c *admin.Client, _ scene) error {
		_, err := c.Queues(ctx)
		return err
	}},
	{"ListQueues", false, func(ctx context.Context, c *admin.Client, s scene) error {
		_, err := c.ListQueues(ctx, &admin.ListQueuesOptions{Prefix: s.queue})
		return err
	}},
	{"QueueNames", false, func(ctx context.Context, c *admin.Client, s scene) error {
		_, err := c.QueueNames(ctx, s.queue, 1) // another client's Cleanup may have deleted the queue
		return err
	}},
	{"Tasks", false, func(ctx context.Context, c *admin.Client, _ scene) error {
		_, err := c.Tasks(ctx)
		return err
	}},
	{"TaskIdentifiers", false, func(ctx context.Context, c *admin.Client, s scene) error {
		identifiers, err := c.TaskIdentifiers(ctx)
		if err == nil && !slices.Contains(identifiers, s.task) {
			err = fmt.Errorf("no task %s", s.task)
		}
		return err
	}},
	{"UndeclaredTasks", false, func(ctx context.Context, c *admin.Client, _ scene) error {
		_, err := c.UndeclaredTasks(ctx, []string{})
		return err
	}},
	{"Workers", false, func(ctx context.Context, c *admin.Client, _ scene) error {
		_, err := c.Workers(ctx)
		return err
	}},
	{"Crontabs", false, func(ctx context.Context, c *admin.Client, _ scene) error {
		_, err := c.Crontabs(ctx)
		return err
	}},
	{"AddJob", true, func(ctx context.Context, c *admin.Client, s scene) error {
		_, err := c.AddJob(ctx, s.task, json.RawMessage(`{"text": "\"\\ ☃`+s.secret+`"}`), &admin.AddJobOptions{
			QueueName: &s.queue, RunAt: admin.In(time.Hour), JobKey: new(s.key + " added"), Flags: []string{"a", "b"},
		})
		return err
	}},
	{"AddJobs", true, func(ctx context.Context, c *admin.Client, s scene) error {
		jobs, err := c.AddJobs(ctx, []admin.JobSpec{{TaskIdentifier: s.task}, {TaskIdentifier: s.task, Payload: []string{s.secret}}}, nil)
		return counted(2, len(jobs), err)
	}},
	{"AddJobsIDs", true, func(ctx context.Context, c *admin.Client, s scene) error {
		ids, err := c.AddJobsIDs(ctx, []admin.JobSpec{{TaskIdentifier: s.task}, {TaskIdentifier: s.task, RunAt: admin.Never()}}, nil)
		return counted(2, len(ids), err)
	}},
	{"Adder.AddJob", true, func(ctx context.Context, c *admin.Client, s scene) error {
		adder := admin.NewAdder(c, nil)
		failures := make(chan error, 8)
		for n := range cap(failures) {
			go func() {
				_, err := adder.AddJob(ctx, s.task, fmt.Sprint(n, s.secret), &admin.AddJobOptions{JobKey: new(fmt.Sprint(s.key, " added ", n%4))})
				failures <- err
			}()
		}
		var failure error
		for range cap(failures) {
			if err := <-failures; err != nil {
				failure = err
			}
		}
		if err := adder.Close(ctx); err != nil {
			return err
		}
		return failure
	}},
	{"RescheduleJobs", true, func(ctx context.Context, c *admin.Client, s scene) error {
		return changed(5)(c.RescheduleJobs(ctx, s.ids, admin.RescheduleValues{RunAt: admin.In(time.Hour), Attempts: new(1)}, nil))
	}},
	{"FailJobs", true, func(ctx context.Context, c *admin.Client, s scene) error {
		return changed(5)(c.FailJobs(ctx, s.ids, new("why not"+s.secret), nil))
	}},
	{"RetryJobs", true, func(ctx context.Context, c *admin.Client, s scene) error {
		return changed(5)(c.RetryJobs(ctx, s.ids, nil))
	}},
	{"HoldJobs", true, func(ctx context.Context, c *admin.Client, s scene) error {
		return changed(5)(c.HoldJobs(ctx, s.ids, nil))
	}},
	{"ReleaseJobs", true, func(ctx context.Context, c *admin.Client, s scene) error {
		return changed(5)(c.ReleaseJobs(ctx, s.ids, nil))
	}},
	{"CompleteJobs", true, func(ctx context.Context, c *admin.Client, s scene) error {
		return changed(1)(c.CompleteJobs(ctx, s.ids[4:], nil))
	}},
	{"RescheduleWhere", true, func(ctx context.Context, c *admin.Client, s scene) error {
		return changed(13)(c.RescheduleWhere(ctx, s.filter(), admin.RescheduleValues{Priority: new(3)}, &admin.WhereOptions{BatchSize: 5}))
	}},
	{"FailWhere", true, func(ctx context.Context, c *admin.Client, s scene) error {
		return changed(13)(c.FailWhere(ctx, s.filter(), nil, nil))
	}},
	{"RetryWhere", true, func(ctx context.Context, c *admin.Client, s scene) error {
		return changed(13)(c.RetryWhere(ctx, s.filter(), nil))
	}},
	{"HoldWhere", true, func(ctx context.Context, c *admin.Client, s scene) error {
		return changed(13)(c.HoldWhere(ctx, s.filter(), nil))
	}},
	{"ReleaseWhere", true, func(ctx context.Context, c *admin.Client, s scene) error {
		if _, err := c.HoldWhere(ctx, s.filter(), nil); err != nil { // or there is nothing to release
			return err
		}
		return changed(13)(c.ReleaseWhere(ctx, s.filter(), nil))
	}},
	{"RemoveJob", true, func(ctx context.Context, c *admin.Client, s scene) error {
		result, err := c.RemoveJob(ctx, s.key, nil)
		if err == nil && result.Outcome != admin.Removed {
			err = fmt.Errorf("the outcome is %s", result.Outcome)
		}
		return err
	}},
	{"ForceUnlockWorkers", true, func(ctx context.Context, c *admin.Client, s scene) error {
		result, err := c.ForceUnlockWorkers(ctx, []string{s.worker}, nil)
		if err != nil {
			return err
		}
		return counted(1, len(result.Unlocked), nil)
	}},
	{"PauseQueue", true, func(ctx context.Context, c *admin.Client, s scene) error {
		_, err := c.PauseQueue(ctx, s.queue, nil)
		return err
	}},
	{"ResumeQueue", true, func(ctx context.Context, c *admin.Client, s scene) error {
		result, err := c.ResumeQueue(ctx, s.queue, nil)
		if err == nil && result.Pause == nil {
			err = fmt.Errorf("queue %s was not paused", s.queue)
		}
		return err
	}},
	{"RestoreQueues", true, func(ctx context.Context, c *admin.Client, _ scene) error {
		_, err := c.RestoreQueues(ctx, nil)
		if errors.Is(err, admin.ErrContended) { // another client does the same
			err = nil
		}
		return err
	}},
	{"Cleanup", true, func(ctx context.Context, c *admin.Client, _ scene) error {
		_, err := c.Cleanup(ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.GCJobQueues}})
		return err
	}},
	{"CompleteWhere", true, func(ctx context.Context, c *admin.Client, s scene) error {
		return changed(13)(c.CompleteWhere(ctx, s.filter(), nil))
	}},
}

// TestEveryCall checks that the list is complete.
func TestEveryCall(t *testing.T) {
	listed := []string{"Schema", "WithTx", "DB", "Reader"} // which send nothing
	for _, call := range everyCall {
		listed = append(listed, call.method)
	}
	for method := range reflect.TypeFor[*admin.Client]().Methods() {
		if !slices.Contains(listed, method.Name) {
			t.Errorf("%s is not among the calls that the suite makes: add it to everyCall", method.Name)
		}
	}
}
