package admin

import (
	"context"
	"slices"

	"github.com/gwadmin/gwadmin/db"
)

// A CleanupTask is a task of [Client.Cleanup].
type CleanupTask string

const (
	// DeletePermafailedJobs deletes the permanently failed jobs that are not locked. A
	// stale lock counts as a lock here.
	DeletePermafailedJobs CleanupTask = "DELETE_PERMAFAILED_JOBS"
	// GCTaskIdentifiers deletes the tasks that no job refers to. It is unsafe while
	// workers run: a worker reads the ids of its tasks when it starts. If a job is later
	// added for a deleted task, the task gets another id, and the worker never finds the
	// job. Use [CleanupOptions.KeepTasks] for the tasks of running workers.
	GCTaskIdentifiers CleanupTask = "GC_TASK_IDENTIFIERS"
	// GCJobQueues deletes the unlocked queues that no job refers to, not the paused ones. It cannot see a job
	// that an open transaction has added to such a queue: that job becomes [Stranded].
	// CleanupResult.Stranded counts those that have been committed.
	// [Client.RestoreQueues] makes them ready again.
	GCJobQueues CleanupTask = "GC_JOB_QUEUES"
)

// cleanupOrder is the order in which Cleanup runs its tasks. A task sees the rows that the
// previous tasks left.
var cleanupOrder = []CleanupTask{DeletePermafailedJobs, GCTaskIdentifiers, GCJobQueues}

// CleanupOptions are the options of [Client.Cleanup].
type CleanupOptions struct {
	// Tasks are the tasks to run, in any order; empty: GCJobQueues.
	Tasks []CleanupTask
	// KeepTasks are identifiers that GCTaskIdentifiers does not delete. They are refused
	// if Tasks does not contain GCTaskIdentifiers.
	KeepTasks []string
	DryRun    bool // delete nothing, and count the rows that each task alone would delete
	// Save is called with the jobs that DeletePermafailedJobs has deleted, before the
	// deletion commits: see ChangeOptions.Save. They are then deleted in batches of 1000, by
	// CompleteWhere. It is refused if Tasks does not contain DeletePermafailedJobs.
	Save func([]Job) error
}

// A CleanupResult says what [Client.Cleanup] deleted.
type CleanupResult struct {
	Deleted map[CleanupTask]int64 `json:"deleted"` // numbers of rows by task, without the tasks that did not start
	// Stranded is the number of jobs that were added to a queue and committed while
	// Cleanup deleted the queue. It does not include jobs of transactions that are still
	// open or jobs that were updated by their keys: list the jobs in the state [Stranded]
	// to find them.
	Stranded int64 `json:"stranded"`
}

const (
	cleanupPages = 2_500  // pages of the table of jobs, with about 100 000 jobs
	cleanupBatch = 10_000 // queues
)

// Cleanup deletes permanently failed jobs, unused tasks and unused queues, as the options
// say. It does not delete locked jobs and queues. It works in several transactions: each
// deletes the jobs on about 2500 pages, 10 000 queues, or all unused tasks. If a
// transaction fails, Cleanup returns the error together with the result of the
// transactions before it.
func (c *Client) Cleanup(ctx context.Context, options CleanupOptions) (result *CleanupResult, err error) {
	const call = "cleanup"
	done := c.log(ctx, call, options.DryRun)
	defer func() { done(result, err) }()
	tasks := options.Tasks
	if len(tasks) == 0 {
		tasks = []CleanupTask{GCJobQueues}
	}
	keep := append([]string{}, options.KeepTasks...)
	var f faults
	for _, task := range tasks {
		if !slices.Contains(cleanupOrder, task) {
			f.add("tasks", "has %q: use %s, %s or %s", task, DeletePermafailedJobs, GCTaskIdentifiers, GCJobQueues)
		}
	}
	if len(keep) > 0 && !slices.Contains(tasks, GCTaskIdentifiers) {
		f.add("keep_tasks", "needs the task %s", GCTaskIdentifiers)
	}
	if options.Save != nil && !slices.Contains(tasks, DeletePermafailedJobs) {
		f.add("save", "needs the task %s", DeletePermafailedJobs)
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

	result = &CleanupResult{Deleted: map[CleanupTask]int64{}}
	var total int64
	for _, task := range cleanupOrder {
		if !slices.Contains(tasks, task) {
			continue
		}
		var err error
		switch task {
		case DeletePermafailedJobs:
			err = c.cleanUpJobs(ctx, result, options)
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

func (c *Client) cleanUpJobs(ctx context.Context, result *CleanupResult, options CleanupOptions) (err error) {
	if options.Save != nil && !options.DryRun {
		quiet := *c
		quiet.logger = nil // Cleanup has its record
		deleted, err := quiet.CompleteWhere(ctx, Filter{States: []State{Permafailed}}, &WhereOptions{Save: options.Save, Sample: new(0)})
		if deleted != nil {
			result.Deleted[DeletePermafailedJobs] = deleted.Changed
		}
		return err
	}
	if options.DryRun {
		result.Deleted[DeletePermafailedJobs], err = c.queries.JobCountPermafailed(ctx, c.conn)
		return err
	}
	span, err := c.queries.JobSpan(ctx, c.conn)
	if err != nil {
		return err
	}
	// Each part has about cleanupPages pages if ids are distributed evenly.
	parts := span.Pages/cleanupPages + 1
	width := uint64(span.LastID-span.FirstID)/uint64(parts) + 1
	result.Deleted[DeletePermafailedJobs] = 0
	for part := range parts {
		first, last := span.FirstID+int64(uint64(part)*width), span.LastID
		if part+1 < parts {
			last = first + int64(width-1)
		}
		err := c.retryOnDeadlock(func() error {
			rows, err := changing(ctx, c, func(c *Client) (int64, error) {
				return c.queries.JobDeletePermafailed(ctx, customPlan(c.conn), db.JobDeletePermafailedParams{FirstID: first, LastID: last})
			})
			result.Deleted[DeletePermafailedJobs] += rows
			return err
		})
		if err != nil {
			return sentAs(Sent{Task: DeletePermafailedJobs, Batch: int(part) + 1}, err)
		}
	}
	return nil
}

func (c *Client) cleanUpTasks(ctx context.Context, result *CleanupResult, keep []string, dryRun bool) error {
	err := c.retryOnDeadlock(func() (err error) {
		if dryRun {
			result.Deleted[GCTaskIdentifiers], err = c.queries.TaskCountUnused(ctx, c.conn, db.TaskCountUnusedParams{Keep: keep})
			return err
		}
		result.Deleted[GCTaskIdentifiers], err = changing(ctx, c, func(c *Client) (int64, error) {
			return c.queries.TaskDeleteUnused(ctx, c.conn, db.TaskDeleteUnusedParams{Keep: keep})
		})
		return err
	})
	return sentAs(Sent{Task: GCTaskIdentifiers, Batch: 1}, err)
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
	after := unused[0].LastJobID // jobs with greater ids were added later
	ids := rowsOf(unused, func(r db.QueueUnusedIDsRow) int32 { return r.ID })
	var deleted []int32
	batches := 0
	for batch := range slices.Chunk(ids, cleanupBatch) {
		batches++
		err := c.retryOnDeadlock(func() error {
			ids, err := changing(ctx, c, func(c *Client) ([]int32, error) {
				return c.queries.QueueDelete(ctx, customPlan(c.conn), db.QueueDeleteParams{Ids: batch, AfterID: after})
			})
			deleted = append(deleted, ids...)
			return err
		})
		if err != nil {
			return sentAs(Sent{Task: GCJobQueues, Batch: batches, Queues: len(batch)}, err)
		}
		result.Deleted[GCJobQueues] = int64(len(deleted))
	}
	result.Stranded, err = c.queries.JobCountAddedTo(ctx, customPlan(c.conn), db.JobCountAddedToParams{AfterID: after, QueueIds: deleted})
	return err
}
