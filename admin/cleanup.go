package admin

import (
	"context"
	"slices"

	"github.com/gwadmin/gwadmin/db"
)

// A CleanupTask is one of the three things that [Client.Cleanup] can do.
type CleanupTask string

const (
	// DeletePermafailedJobs deletes the unlocked jobs that have used up their
	// attempts. A stale lock counts as one here.
	DeletePermafailedJobs CleanupTask = "DELETE_PERMAFAILED_JOBS"
	// GCTaskIdentifiers deletes the tasks that no job refers to. Unsafe while
	// workers run: they remember tasks by their id, and never find the jobs
	// that are later added for the same task under another id. Keep the
	// identifiers that workers know with [CleanupOptions.KeepTasks].
	GCTaskIdentifiers CleanupTask = "GC_TASK_IDENTIFIERS"
	// GCJobQueues deletes the unlocked queues that no job refers to. A job that
	// a transaction has added to such a queue without having committed it yet
	// is not in sight: it would never be run. Clean up when no queue is at once
	// empty and about to be used.
	GCJobQueues CleanupTask = "GC_JOB_QUEUES"
)

// cleanupOrder is the order in which Cleanup runs, in which each task sees what
// the one before it left.
var cleanupOrder = []CleanupTask{DeletePermafailedJobs, GCTaskIdentifiers, GCJobQueues}

// CleanupOptions say what [Client.Cleanup] does.
type CleanupOptions struct {
	// Tasks are what to do, in any order; none means GCJobQueues alone.
	Tasks []CleanupTask
	// KeepTasks are task identifiers that GCTaskIdentifiers leaves. Without that
	// task it is refused.
	KeepTasks []string
	DryRun    bool // only say how much would be deleted, each task by itself
}

// A CleanupResult says how many rows each task that was asked for deleted.
type CleanupResult struct {
	Deleted map[CleanupTask]int64 `json:"deleted"`
}

// Cleanup deletes what is of no use any more: each task is one statement, and all
// of them one transaction. Locked jobs and queues are left alone.
func (c *Client) Cleanup(ctx context.Context, options CleanupOptions) (*CleanupResult, error) {
	const call = "cleanup"
	tasks := options.Tasks
	if len(tasks) == 0 {
		tasks = []CleanupTask{GCJobQueues}
	}
	var f faults
	for _, task := range tasks {
		if !slices.Contains(cleanupOrder, task) {
			f.add("tasks", "has %q, which is none of %s, %s, %s", task, DeletePermafailedJobs, GCTaskIdentifiers, GCJobQueues)
		}
	}
	if len(options.KeepTasks) > 0 && !slices.Contains(tasks, GCTaskIdentifiers) {
		f.add("keep_tasks", "is of no use without %s", GCTaskIdentifiers)
	}
	for _, identifier := range options.KeepTasks {
		f.text("keep_tasks", identifier, anyLength)
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	need := cleanUpAll
	if options.DryRun {
		need = readJobs
	}
	if err := c.ready(ctx, need); err != nil {
		return nil, c.failure(call, err)
	}

	var result *CleanupResult
	err := c.undisturbed(func() error {
		return c.atomically(ctx, func(c *Client) error {
			result = &CleanupResult{Deleted: map[CleanupTask]int64{}}
			for _, task := range cleanupOrder {
				if !slices.Contains(tasks, task) {
					continue
				}
				rows, err := c.cleanupTask(ctx, task, options)
				if err != nil {
					return err
				}
				result.Deleted[task] = rows
			}
			return nil
		})
	})
	if err != nil {
		return nil, c.failure(call, err)
	}
	for _, rows := range result.Deleted {
		if rows > 0 {
			return result, nil
		}
	}
	if err := c.recheck(ctx, need); err != nil {
		return nil, c.failure(call, err)
	}
	return result, nil
}

func (c *Client) cleanupTask(ctx context.Context, task CleanupTask, options CleanupOptions) (int64, error) {
	keep := options.KeepTasks
	if keep == nil {
		keep = []string{}
	}
	switch {
	case task == DeletePermafailedJobs && options.DryRun:
		return c.queries.JobCountPermafailed(ctx, c.conn)
	case task == DeletePermafailedJobs:
		return c.queries.JobDeletePermafailed(ctx, c.conn)
	case task == GCTaskIdentifiers && options.DryRun:
		return c.queries.TaskCountUnused(ctx, c.conn, db.TaskCountUnusedParams{Keep: keep})
	case task == GCTaskIdentifiers:
		return c.queries.TaskDeleteUnused(ctx, c.conn, db.TaskDeleteUnusedParams{Keep: keep})
	case options.DryRun:
		return c.queries.QueueCountUnused(ctx, c.conn)
	default:
		return c.queries.QueueDeleteUnused(ctx, c.conn)
	}
}
