package admin

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/gwadmin/gwadmin/db"
)

// batchSize is the greatest number of jobs in one statement. It bounds the memory that the
// server needs.
const batchSize = 5000

// ChangeOptions are the options of the calls that change jobs by their ids. A nil struct
// means the defaults.
type ChangeOptions struct {
	Return Returning // how the result contains the changed jobs; default: ReturnJobs
	DryRun bool      // change nothing, and return what the call would do
	// Save is called with the deleted jobs before the deletion commits. If it returns an
	// error, nothing is deleted. A transaction that is repeated or fails after Save has
	// passed its jobs to Save as well. It is refused by calls that do not delete jobs.
	Save func([]Job) error
}

// Returning is how a result contains the changed jobs. Reading whole jobs takes most of
// the time of a call that changes thousands.
type Returning int

const (
	ReturnJobs  Returning = iota // ChangeResult.Jobs has the whole jobs
	ReturnIDs                    // ChangeResult.IDs has the ids
	ReturnCount                  // only ChangeResult.Changed is set
)

// CompleteJobs deletes the unlocked jobs among the ids by the SQL function complete_jobs,
// as if they had run. If there is an error, no job is deleted.
func (c *Client) CompleteJobs(ctx context.Context, ids []int64, options *ChangeOptions) (*ChangeResult, error) {
	return c.changeIDs(ctx, "complete jobs", &faults{}, ids, completing, options)
}

// FailJobs permanently fails the unlocked jobs among the ids by the SQL function
// permanently_fail_jobs: it sets their attempts to max_attempts, so that no worker takes
// them again. The reason becomes their last error, even if it is empty. A nil reason means
// "Manually marked as failed". If there is an error, no job is changed.
func (c *Client) FailJobs(ctx context.Context, ids []int64, reason *string, options *ChangeOptions) (*ChangeResult, error) {
	var f faults
	return c.changeIDs(ctx, "fail jobs", &f, ids, f.failing(reason), options)
}

// RescheduleJobs sets the values on the unlocked jobs among the ids by the SQL function
// reschedule_jobs. Their last error does not change. If there is an error, no job is
// changed.
func (c *Client) RescheduleJobs(ctx context.Context, ids []int64, values RescheduleValues, options *ChangeOptions) (*ChangeResult, error) {
	var f faults
	return c.changeIDs(ctx, "reschedule jobs", &f, ids, f.rescheduling(values), options)
}

// RetryJobs sets run_at to now and attempts to 0 on the unlocked jobs among the ids,
// including permanently failed jobs, by the SQL function reschedule_jobs. If there is an
// error, no job is changed. A worker takes a job with a stale lock only after the lock has
// been cleared, by a worker or by [Client.ForceUnlockWorkers].
func (c *Client) RetryJobs(ctx context.Context, ids []int64, options *ChangeOptions) (*ChangeResult, error) {
	var f faults
	return c.changeIDs(ctx, "retry jobs", &f, ids, f.rescheduling(retry), options)
}

// RescheduleValues are the values that [Client.RescheduleJobs] and
// [Client.RescheduleWhere] set. A nil value does not change its column. Zero is a value. At
// least one value must not be nil.
type RescheduleValues struct {
	RunAt       *RunAt
	Priority    *int // -32768 to 32767
	Attempts    *int // 0 to 32767
	MaxAttempts *int // 1 to 32767
}

var retry = RescheduleValues{RunAt: In(0), Attempts: new(0)}

// changeIDs runs the action on the jobs with the ids. It changes more than batchSize jobs
// in batches, in one transaction.
func (c *Client) changeIDs(ctx context.Context, call string, f *faults, ids []int64, action action, options *ChangeOptions) (result *ChangeResult, err error) {
	if options == nil {
		options = &ChangeOptions{}
	}
	done := c.log(ctx, call, options.DryRun)
	defer func() { done(result, err) }()
	if options.Return < ReturnJobs || options.Return > ReturnCount {
		f.add("return", "%d is unknown: use ReturnJobs, ReturnIDs or ReturnCount", options.Return)
	}
	action = f.saving(action, options.Save)
	if err := f.err(call); err != nil {
		return nil, err
	}
	need := action.needs(options.DryRun)
	if err := c.ready(ctx, need); err != nil {
		return nil, c.failure(call, err)
	}
	// In the order of ids, jobs on one page are changed together, and calls rarely deadlock.
	ids = sortedIDs(ids)
	var secured bool
	batch := func(c *Client, ids []int64) (err error) {
		if options.DryRun {
			secured, err = c.previewBatch(ctx, result, ids, action, options.Return)
		} else {
			secured, err = c.changeBatch(ctx, result, ids, action, options.Return)
		}
		return err
	}
	err = c.retryOnDeadlock(func() error {
		result, secured = newChangeResult(options.DryRun), false
		switch {
		case len(ids) == 0:
			return nil
		case len(ids) <= batchSize && options.Save == nil:
			return batch(c, ids)
		}
		batches := func(c *Client) error {
			for ids := range slices.Chunk(ids, batchSize) {
				if err := batch(c, ids); err != nil {
					return err
				}
			}
			return nil
		}
		if options.DryRun {
			return batches(c)
		}
		return c.atomically(ctx, batches)
	})
	if err == nil && secured && result.nothingChanged() {
		err = c.recheck(ctx, need)
	}
	if err != nil {
		return nil, c.failure(call, sentAs(Sent{Jobs: len(ids), IDs: ids}, err))
	}
	return result, nil
}

// changeBatch runs the action in one statement. A second statement reads why the other
// jobs were skipped, and whether row security applies to the role.
func (c *Client) changeBatch(ctx context.Context, result *ChangeResult, ids []int64, action action, want Returning) (secured bool, err error) {
	var changed []int64
	if want == ReturnJobs {
		rows, err := changing(ctx, c, func(c *Client) ([]jobRow, error) { return action.jobs(ctx, c, ids) })
		if err != nil {
			return false, err
		}
		changed = addJobs(result, rows)
	} else {
		changed, err = changing(ctx, c, func(c *Client) ([]int64, error) { return action.ids(ctx, c, ids) })
		if err != nil {
			return false, err
		}
		slices.Sort(changed)
		if want == ReturnIDs {
			result.IDs = append(result.IDs, changed...)
		}
	}
	result.Matched += int64(len(changed))
	result.Changed += int64(len(changed))
	left := without(ids, changed)
	if len(left) == 0 {
		return false, nil
	}
	locks, err := c.locks(ctx, c.conn, left)
	if err != nil {
		if c.inTransaction() {
			return false, err
		}
		// The change has committed: report the reasons as unknown rather than lose the result.
		for _, id := range left {
			result.skip(math.MaxInt, Skip{ID: id, Reason: Contended})
		}
		return false, nil
	}
	result.skip(math.MaxInt, rowsOf(locks, action.skip)...)
	return locks[0].Secured, nil
}

// previewBatch adds to the result what changing the jobs would do.
func (c *Client) previewBatch(ctx context.Context, result *ChangeResult, ids []int64, action action, want Returning) (secured bool, err error) {
	locks, err := c.locks(ctx, c.conn, ids)
	if err != nil {
		return false, err
	}
	var free []int64
	for _, lock := range locks {
		if skip := action.skip(lock); skip.Reason == Contended { // nothing keeps the call from changing it
			free = append(free, lock.ID)
		} else {
			result.skip(math.MaxInt, skip)
		}
	}
	if want == ReturnJobs {
		jobs, err := c.jobsByID(ctx, c.conn, free)
		if err != nil {
			return false, err
		}
		result.Jobs = append(result.Jobs, jobs...)
		there := rowsOf(jobs, func(job Job) int64 { return job.ID })
		for _, id := range without(free, there) { // deleted in the meantime
			result.skip(math.MaxInt, Skip{ID: id, Reason: NotFound})
		}
		free = there
	}
	if want == ReturnIDs {
		result.IDs = append(result.IDs, free...)
	}
	result.Matched += int64(len(free))
	result.Changed += int64(len(free))
	return locks[0].Secured, nil
}

// addJobs adds the rows to the result in the order of their ids, and returns the ids.
func addJobs(result *ChangeResult, rows []jobRow) (ids []int64) {
	slices.SortFunc(rows, func(a, b jobRow) int { return cmp.Compare(a.ID, b.ID) })
	result.Jobs = append(result.Jobs, rowsOf(rows, newJob)...)
	return rowsOf(rows, func(row jobRow) int64 { return row.ID })
}

// locks reads the locks of the jobs with the sorted ids: a row for each id, in their order.
func (c *Client) locks(ctx context.Context, on db.DBTX, ids []int64) ([]db.JobLocksRow, error) {
	rows, err := c.queries.JobLocks(ctx, on, db.JobLocksParams{Ids: ids})
	slices.SortFunc(rows, func(a, b db.JobLocksRow) int { return cmp.Compare(a.ID, b.ID) })
	return rows, err
}

// jobsByID reads the jobs with the ids, in the order of their ids.
func (c *Client) jobsByID(ctx context.Context, on db.DBTX, ids []int64) ([]Job, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := c.queries.JobLook(ctx, on, db.JobLookParams{Ids: ids})
	jobs := rowsOf(rows, func(r db.JobLookRow) Job { return newJob(jobRow(r)) })
	slices.SortFunc(jobs, func(a, b Job) int { return cmp.Compare(a.ID, b.ID) })
	return jobs, err
}

// sortedIDs returns the ids in order, each once. It does not change the caller's slice.
func sortedIDs(ids []int64) []int64 {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// without returns the ids that are not among the others. Both are sorted.
func without(ids, others []int64) []int64 {
	if len(others) == len(ids) {
		return nil
	}
	var left []int64
	for _, id := range ids {
		if len(others) > 0 && others[0] == id {
			others = others[1:]
		} else {
			left = append(left, id)
		}
	}
	return left
}

// An action is a change of jobs. Its functions change the unlocked jobs among the ids, and
// return these jobs or only their ids.
type action struct {
	deletes bool
	onHold  *bool // the jobs that it changes are on hold, or are not; nil: it makes no difference
	jobs    func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error)
	ids     func(ctx context.Context, c *Client, ids []int64) ([]int64, error)
}

// needs returns the right that the action needs.
func (a action) needs(dryRun bool) right {
	switch {
	case dryRun:
		return readJobs
	case a.deletes:
		return deleteAnyJob
	}
	return updateAnyJob
}

// saving returns the action with a call of save for the jobs that it deletes. It must run
// in a transaction.
func (f *faults) saving(a action, save func([]Job) error) action {
	if save == nil {
		return a
	}
	if !a.deletes {
		f.add("save", "is only for calls that delete jobs")
	}
	saved := func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error) {
		rows, err := a.jobs(ctx, c, ids)
		if err == nil {
			slices.SortFunc(rows, func(a, b jobRow) int { return cmp.Compare(a.ID, b.ID) })
			err = save(rowsOf(rows, newJob))
		}
		return rows, err
	}
	saving := whole(a.onHold, saved)
	saving.deletes = a.deletes
	return saving
}

var completing = action{
	deletes: true,
	jobs: func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error) {
		return c.queries.JobComplete(ctx, c.conn, db.JobCompleteParams{Ids: ids})
	},
	ids: func(ctx context.Context, c *Client, ids []int64) ([]int64, error) {
		return c.queries.JobCompleteIDs(ctx, c.conn, db.JobCompleteIDsParams{Ids: ids})
	},
}

func (f *faults) failing(reason *string) action {
	if reason != nil {
		f.text("reason", *reason, anyLength)
	}
	return action{
		jobs: func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error) {
			rows, err := c.queries.JobFail(ctx, c.conn, db.JobFailParams{Ids: ids, ErrorMessage: reason})
			return rowsOf(rows, func(r db.JobFailRow) jobRow { return jobRow(r) }), err
		},
		ids: func(ctx context.Context, c *Client, ids []int64) ([]int64, error) {
			return c.queries.JobFailIDs(ctx, c.conn, db.JobFailIDsParams{Ids: ids, ErrorMessage: reason})
		},
	}
}

func (f *faults) rescheduling(values RescheduleValues) action {
	if values == (RescheduleValues{}) {
		f.add("values", "are all nil: set RunAt, Priority, Attempts or MaxAttempts")
	}
	f.runAt(values.RunAt)
	f.smallint("priority", values.Priority, -32768)
	f.smallint("attempts", values.Attempts, 0)
	f.smallint("max_attempts", values.MaxAttempts, 1)
	params := db.JobRescheduleParams{
		Priority:    int32Of(values.Priority),
		Attempts:    int32Of(values.Attempts),
		MaxAttempts: int32Of(values.MaxAttempts),
	}
	params.RunAt, params.RunIn = values.RunAt.parameters()
	return action{
		jobs: func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error) {
			params := params
			params.Ids = ids
			rows, err := c.queries.JobReschedule(ctx, c.conn, params)
			return rowsOf(rows, func(r db.JobRescheduleRow) jobRow { return jobRow(r) }), err
		},
		ids: func(ctx context.Context, c *Client, ids []int64) ([]int64, error) {
			params := db.JobRescheduleIDsParams(params)
			params.Ids = ids
			return c.queries.JobRescheduleIDs(ctx, c.conn, params)
		},
	}
}
