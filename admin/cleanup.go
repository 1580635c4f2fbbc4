package admin

import (
	"context"
	"slices"

	"github.com/gwadmin/gwadmin/db"
)

// A CleanupTask is one of the things that [Client.Cleanup] does.
type CleanupTask string

const (
	// DeletePermafailedJobs deletes the jobs that have used up their attempts and are
	// not locked. A stale lock counts as a lock here.
	DeletePermafailedJobs CleanupTask = "DELETE_PERMAFAILED_JOBS"
	// GCTaskIdentifiers deletes the tasks that no job refers to. It is unsafe while
	// workers run: they remember the ids of tasks, and never find jobs that are later
	// added for the same task under another id. Keep the identifiers that workers know
	// with [CleanupOptions.KeepTasks].
	GCTaskIdentifiers CleanupTask = "GC_TASK_IDENTIFIERS"
	// GCJobQueues deletes the queues that no job refers to and that nobody holds. It
	// cannot see a job that an open transaction has added to such a queue: that job is
	// then stranded. CleanupResult.Stranded counts those that have been committed, and
	// [Client.RestoreQueues] puts them back in reach.
	GCJobQueues CleanupTask = "GC_JOB_QUEUES"
)

// cleanupOrder is the order in which Cleanup runs. Each task sees what the one before it
// left.
var cleanupOrder = []CleanupTask{DeletePermafailedJobs, GCTaskIdentifiers, GCJobQueues}

// CleanupOptions are the options of [Client.Cleanup].
type CleanupOptions struct {
	// Tasks are what to do, in any order; none means only GCJobQueues.
	Tasks []CleanupTask
	// KeepTasks are task identifiers that GCTaskIdentifiers does not delete. They are
	// refused without it.
	KeepTasks []string
	DryRun    bool // only count what each task by itself would delete
}

// A CleanupResult says what [Client.Cleanup] deleted.
type CleanupResult struct {
	Deleted map[CleanupTask]int64 `json:"deleted"` // rows, by task; a task that was not begun is absent
	// Stranded is how many jobs were committed, while the queues were being deleted, to
	// one of these. Jobs of transactions that go on, and jobs that were updated by their
	// keys, are not counted: look for the state [Stranded].
	Stranded int64 `json:"stranded"`
}

const (
	cleanupPages = 2_500  // of the table of jobs, which have 100 000 jobs or so
	cleanupBatch = 10_000 // queues
)

// Cleanup deletes what is of no use any more. Locked jobs and queues are left alone. It
// works in transactions of bounded size: the jobs on about 2500 pages, or 10 000 queues;
// all tasks are one. If it ends early, the result says what was deleted by then, and
// comes with the error.
func (c *Client) Cleanup(ctx context.Context, options CleanupOptions) (*CleanupResult, error) {
	const call = "cleanup"
	tasks := options.Tasks
	if len(tasks) == 0 {
		tasks = []CleanupTask{GCJobQueues}
	}
	keep := append([]string{}, options.KeepTasks...)
	var f faults
	for _, task := range tasks {
		if !slices.Contains(cleanupOrder, task) {
			f.add("tasks", "has %q, which is none of %s, %s, %s", task, DeletePermafailedJobs, GCTaskIdentifiers, GCJobQueues)
		}
	}
	if len(keep) > 0 && !slices.Contains(tasks, GCTaskIdentifiers) {
		f.add("keep_tasks", "needs the task %s", GCTaskIdentifiers)
	}
	for _, identifier := range keep {
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

	result := &CleanupResult{Deleted: map[CleanupTask]int64{}}
	var total int64
	for _, task := range cleanupOrder {
		if !slices.Contains(tasks, task) {
			continue
		}
		var err error
		switch task {
		case DeletePermafailedJobs:
			err = c.cleanUpJobs(ctx, result, options.DryRun)
		case GCTaskIdentifiers:
			err = c.cleanUpTasks(ctx, result, keep, options.DryRun)
		case GCJobQueues:
			err = c.cleanUpQueues(ctx, result, options.DryRun)
		}
		if err != nil {
			return result, c.failure(call, err)
		}
		total += result.Deleted[task]
	}
	if total == 0 {
		if err := c.recheck(ctx, need); err != nil {
			return nil, c.failure(call, err)
		}
	}
	return result, nil
}

func (c *Client) cleanUpJobs(ctx context.Context, result *CleanupResult, dryRun bool) (err error) {
	if dryRun {
		result.Deleted[DeletePermafailedJobs], err = c.queries.JobCountPermafailed(ctx, c.conn)
		return err
	}
	span, err := c.queries.JobSpan(ctx, c.conn)
	if err != nil {
		return err
	}
	// So many parts that each has about cleanupPages pages, if ids are spread evenly.
	parts := span.Pages/cleanupPages + 1
	width := uint64(span.LastID-span.FirstID)/uint64(parts) + 1
	result.Deleted[DeletePermafailedJobs] = 0
	for part := range parts {
		first, last := span.FirstID+int64(uint64(part)*width), span.LastID
		if part+1 < parts {
			last = first + int64(width-1)
		}
		err := c.retryOnDeadlock(func() error {
			rows, err := c.queries.JobDeletePermafailed(ctx, customPlan(c.conn), db.JobDeletePermafailedParams{FirstID: first, LastID: last})
			result.Deleted[DeletePermafailedJobs] += rows
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) cleanUpTasks(ctx context.Context, result *CleanupResult, keep []string, dryRun bool) error {
	return c.retryOnDeadlock(func() (err error) {
		if dryRun {
			result.Deleted[GCTaskIdentifiers], err = c.queries.TaskCountUnused(ctx, c.conn, db.TaskCountUnusedParams{Keep: keep})
		} else {
			result.Deleted[GCTaskIdentifiers], err = c.queries.TaskDeleteUnused(ctx, c.conn, db.TaskDeleteUnusedParams{Keep: keep})
		}
		return err
	})
}

func (c *Client) cleanUpQueues(ctx context.Context, result *CleanupResult, dryRun bool) error {
	unused, err := c.queries.QueueUnusedIDs(ctx, c.conn)
	if err != nil {
		return err
	}
	result.Deleted[GCJobQueues] = 0
	if dryRun {
		result.Deleted[GCJobQueues] = int64(len(unused))
	}
	if dryRun || len(unused) == 0 {
		return nil
	}
	after := unused[0].LastJobID // jobs after it were added since
	ids := rowsOf(unused, func(r db.QueueUnusedIDsRow) int32 { return r.ID })
	var deleted []int32
	for batch := range slices.Chunk(ids, cleanupBatch) {
		err := c.retryOnDeadlock(func() error {
			ids, err := c.queries.QueueDelete(ctx, customPlan(c.conn), db.QueueDeleteParams{Ids: batch, AfterID: after})
			deleted = append(deleted, ids...)
			return err
		})
		if err != nil {
			return err
		}
		result.Deleted[GCJobQueues] = int64(len(deleted))
	}
	result.Stranded, err = c.queries.JobCountAddedTo(ctx, customPlan(c.conn), db.JobCountAddedToParams{AfterID: after, QueueIds: deleted})
	return err
}
