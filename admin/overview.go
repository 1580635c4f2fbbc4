package admin

import (
	"context"
	"time"
)

// Counts are numbers of jobs by their state. A state without jobs is not in it.
type Counts map[State]int64

// Total is the number of jobs in all states.
func (c Counts) Total() int64 {
	var total int64
	for _, jobs := range c {
		total += jobs
	}
	return total
}

// Stats are exact numbers of all jobs. Reading them goes through the whole table.
type Stats struct {
	Jobs   Counts            `json:"jobs"`
	Tasks  map[string]Counts `json:"tasks"`  // of those that have jobs
	Queues map[string]Counts `json:"queues"` // of those that have jobs; jobs without one are in none
	// OldestReady is the first run_at among the ready jobs, and so how long the
	// queue is behind; nil without any.
	OldestReady *time.Time `json:"oldest_ready"`
	// NextRunAt is when the next job becomes due that is scheduled or to be
	// retried; nil without any.
	NextRunAt *time.Time `json:"next_run_at"`
}

// Stats counts all jobs by state, task and queue.
func (c *Client) Stats(ctx context.Context) (*Stats, error) {
	const call = "stats"
	if err := c.ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.JobCount(ctx, c.reading())
	if err != nil {
		return nil, c.failure(call, err)
	}
	stats := &Stats{Jobs: Counts{}, Tasks: map[string]Counts{}, Queues: map[string]Counts{}}
	for _, row := range rows {
		if row.State == nil {
			continue
		}
		state := State(*row.State)
		stats.Jobs[state] += *row.Jobs
		if row.TaskIdentifier != nil {
			count(stats.Tasks, *row.TaskIdentifier, state, *row.Jobs)
		}
		if row.QueueName != nil {
			count(stats.Queues, *row.QueueName, state, *row.Jobs)
		}
		switch state {
		case Ready:
			stats.OldestReady = earlier(stats.OldestReady, row.FirstRunAt)
		case Scheduled, Retrying:
			stats.NextRunAt = earlier(stats.NextRunAt, row.FirstRunAt)
		}
	}
	return stats, nil
}

func count(of map[string]Counts, name string, state State, jobs int64) {
	if of[name] == nil {
		of[name] = Counts{}
	}
	of[name][state] += jobs
}

func earlier(a, b *time.Time) *time.Time {
	if b == nil || a != nil && !b.Before(*a) {
		return a
	}
	return utc(b)
}

// A Queue is a named queue, whose jobs run one after another.
type Queue struct {
	Name     string     `json:"name"`
	LockedBy *string    `json:"locked_by"` // the worker pool that runs one of its jobs; nil: none does
	LockedAt *time.Time `json:"locked_at"`
	Jobs     Counts     `json:"jobs"`
}

// Queues lists all queues by name, those without jobs too.
func (c *Client) Queues(ctx context.Context) ([]Queue, error) {
	const call = "queues"
	stats, err := c.Stats(ctx)
	if err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.QueueList(ctx, c.reading())
	if err != nil {
		return nil, c.failure(call, err)
	}
	queues := make([]Queue, len(rows))
	for i, row := range rows {
		queues[i] = Queue{Name: row.QueueName, LockedBy: row.LockedBy, LockedAt: utc(row.LockedAt), Jobs: or(stats.Queues[row.QueueName])}
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
	stats, err := c.Stats(ctx)
	if err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.TaskList(ctx, c.reading())
	if err != nil {
		return nil, c.failure(call, err)
	}
	tasks := make([]Task, len(rows))
	for i, row := range rows {
		tasks[i] = Task{Identifier: row.Identifier, Jobs: or(stats.Tasks[row.Identifier])}
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
}

// Workers lists who holds locks, by id: what [Client.ForceUnlockWorkers] takes. A
// worker that holds nothing is not in sight.
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
		workers[i] = Worker{ID: row.WorkerID, Jobs: row.Jobs, Queues: row.Queues, Stale: row.Stale, Oldest: row.Oldest.UTC(), Newest: row.Newest.UTC()}
	}
	return workers, nil
}

// A Crontab is what Graphile Worker remembers of one of its cron items.
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
		crontabs[i] = Crontab{Identifier: row.Identifier, KnownSince: row.KnownSince.UTC(), LastExecution: utc(row.LastExecution)}
	}
	return crontabs, nil
}

// reading is the reader's connection.
func (c *Client) reading() renamed {
	conn := c.conn
	if c.reader != nil {
		conn.db = c.reader
	}
	return conn
}
