package admin

import (
	"context"
	"time"
)

// A Queue is a named queue. Its jobs run one after another.
type Queue struct {
	Name     string     `json:"name"`
	LockedBy *string    `json:"locked_by"` // the worker pool that runs one of its jobs; nil: not locked, or paused
	LockedAt *time.Time `json:"locked_at"`
	Paused   *Pause     `json:"paused"` // nil: not paused. A job that had started before the pause may still run
	Jobs     Counts     `json:"jobs"`
}

// Queues lists all queues, including those without jobs, sorted by name. It counts the jobs
// as [Client.Stats] does.
func (c *Client) Queues(ctx context.Context) ([]Queue, error) {
	const call = "queues"
	stats, err := c.count(ctx, &StatsOptions{})
	if err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.QueueList(ctx, c.reading())
	if err != nil {
		return nil, c.failure(call, err)
	}
	queues := make([]Queue, len(rows))
	for i, row := range rows {
		queues[i] = Queue{Name: *row.QueueName, Jobs: or(stats.Queues[*row.QueueName])}
		queues[i].LockedAt, queues[i].LockedBy, queues[i].Paused = queueLock(row.LockedAt, row.LockedBy)
	}
	return queues, nil
}

// A Task is a task that jobs have been added for.
type Task struct {
	Identifier string `json:"identifier"`
	Jobs       Counts `json:"jobs"`
}

// Tasks lists all tasks, including those without jobs, sorted by identifier. It counts the
// jobs as [Client.Stats] does.
func (c *Client) Tasks(ctx context.Context) ([]Task, error) {
	const call = "tasks"
	stats, err := c.count(ctx, &StatsOptions{SkipQueues: true})
	if err != nil {
		return nil, c.failure(call, err)
	}
	identifiers, err := c.queries.TaskIdentifiers(ctx, c.reading())
	if err != nil {
		return nil, c.failure(call, err)
	}
	tasks := make([]Task, len(identifiers))
	for i, identifier := range identifiers {
		tasks[i] = Task{Identifier: identifier, Jobs: or(stats.Tasks[identifier])}
	}
	return tasks, nil
}

func or(counts Counts) Counts {
	if counts == nil {
		return Counts{}
	}
	return counts
}

// A Worker is a worker pool that holds locks. Before Graphile Worker 0.17 it is a worker.
type Worker struct {
	ID     string    `json:"id"`
	Jobs   int64     `json:"jobs"`   // the number of jobs that it holds
	Queues int64     `json:"queues"` // the number of queues that it holds
	Stale  int64     `json:"stale"`  // how many of these locks are older than StaleAfter
	Oldest time.Time `json:"oldest"` // the time of the oldest of these locks
	Newest time.Time `json:"newest"` // the time of the newest: the worker was alive then
	// NewestAge is the age of the newest lock, by the database's clock.
	NewestAge time.Duration `json:"-"`
}

// Workers lists the workers that hold locks, sorted by id. It does not list a worker without
// locks. The pause of a queue is no lock of a worker. [Client.ForceUnlockWorkers] takes these ids.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	const call = "workers"
	if err := c.onReader().ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.WorkerList(ctx, c.reading())
	if err != nil {
		return nil, c.failure(call, err)
	}
	workers := make([]Worker, len(rows))
	for i, row := range rows {
		workers[i] = Worker{ID: row.WorkerID, Jobs: row.Jobs, Queues: row.Queues, Stale: row.Stale, Oldest: newTime(row.Oldest), Newest: newTime(row.Newest), NewestAge: seconds(row.NewestAge)}
	}
	return workers, nil
}

// A Crontab is a cron item that Graphile Worker has recorded.
type Crontab struct {
	Identifier    string     `json:"identifier"`
	KnownSince    time.Time  `json:"known_since"`
	LastExecution *time.Time `json:"last_execution"` // nil: it has not run yet
}

// Crontabs lists the cron items that workers have recorded, sorted by identifier.
func (c *Client) Crontabs(ctx context.Context) ([]Crontab, error) {
	const call = "crontabs"
	if err := c.onReader().ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.CrontabList(ctx, c.reading())
	if err != nil {
		return nil, c.failure(call, err)
	}
	crontabs := make([]Crontab, len(rows))
	for i, row := range rows {
		crontabs[i] = Crontab{Identifier: row.Identifier, KnownSince: newTime(row.KnownSince), LastExecution: optionalTime(row.LastExecution)}
	}
	return crontabs, nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
