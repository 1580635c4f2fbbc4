package admin

import (
	"context"
	"time"
)

// A Queue is a named queue, whose jobs run one after another.
type Queue struct {
	Name     string     `json:"name"`
	LockedBy *string    `json:"locked_by"` // the worker pool that runs one of its jobs; nil: none
	LockedAt *time.Time `json:"locked_at"`
	Jobs     Counts     `json:"jobs"`
}

// Queues lists all queues by name, those without jobs too.
func (c *Client) Queues(ctx context.Context) ([]Queue, error) {
	const call = "queues"
	stats, err := c.count(ctx, &StatsOptions{}, true)
	if err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.QueueList(ctx, c.reading())
	if err != nil {
		return nil, c.failure(call, err)
	}
	queues := make([]Queue, len(rows))
	for i, row := range rows {
		queues[i] = Queue{Name: *row.QueueName, LockedBy: row.LockedBy, LockedAt: optionalTime(row.LockedAt), Jobs: or(stats.Queues[*row.QueueName])}
	}
	return queues, nil
}

// A Task is a task identifier that jobs have been added for.
type Task struct {
	Identifier string `json:"identifier"`
	Jobs       Counts `json:"jobs"`
}

// Tasks lists all tasks by identifier, those without jobs too.
func (c *Client) Tasks(ctx context.Context) ([]Task, error) {
	const call = "tasks"
	stats, err := c.count(ctx, &StatsOptions{}, false)
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

// A Worker is a worker pool (a worker, before Graphile Worker 0.17) that holds locks.
type Worker struct {
	ID     string    `json:"id"`
	Jobs   int64     `json:"jobs"`
	Queues int64     `json:"queues"`
	Stale  int64     `json:"stale"` // how many of these locks are older than StaleAfter
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"` // a sign of life
	// NewestAge is how long ago Newest was, by the database's clock.
	NewestAge time.Duration `json:"-"`
}

// Workers lists the workers that hold locks, by id, as [Client.ForceUnlockWorkers] takes
// them. A worker that holds nothing is not listed.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	const call = "workers"
	if err := c.ready(ctx, readJobs); err != nil {
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

// A Crontab is what Graphile Worker keeps of one of its cron items.
type Crontab struct {
	Identifier    string     `json:"identifier"`
	KnownSince    time.Time  `json:"known_since"`
	LastExecution *time.Time `json:"last_execution"` // nil: none yet
}

// Crontabs lists the cron items that workers have made known, by identifier.
func (c *Client) Crontabs(ctx context.Context) ([]Crontab, error) {
	const call = "crontabs"
	if err := c.ready(ctx, readJobs); err != nil {
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
