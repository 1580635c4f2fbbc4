package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// batchSize bounds the jobs of one statement, and so the server's memory for it.
const batchSize = 5000

// A Result says what a call on many jobs did. Every id that was asked for is in
// it once, in Jobs or in Skipped; both are in the order of their ids.
type Result struct {
	// Jobs are the changed jobs as they are now; for CompleteJobs as they
	// were when they were deleted, and in a dry run as they are.
	Jobs []Job `json:"jobs"`
	// Skipped are the ids that were left alone.
	Skipped []Skip `json:"skipped"`
}

// A Skip is an id that a call left alone, and why.
type Skip struct {
	ID     int64      `json:"id"`
	Reason SkipReason `json:"reason"`
	// LockedBy and LockedAt say who holds the job since when, if Reason is Locked.
	LockedBy *string    `json:"locked_by,omitempty"`
	LockedAt *time.Time `json:"locked_at,omitempty"`
}

// SkipReason says why a job was left alone.
type SkipReason string

const (
	NotFound SkipReason = "not found" // no job has the id
	Locked   SkipReason = "locked"    // a worker holds it
	// Contended means that it was locked when its turn came and is not any
	// more. The call may be made again.
	Contended SkipReason = "contended"
)

// String names the id and the reason, and for a locked job who holds it since when.
func (s Skip) String() string {
	text := fmt.Sprintf("%d: %s", s.ID, s.Reason)
	if s.LockedBy != nil {
		text += " by " + *s.LockedBy
	}
	if s.LockedAt != nil {
		text += " since " + s.LockedAt.Format(time.RFC3339)
	}
	return text
}

// CompleteOptions alter [Client.CompleteJobs].
type CompleteOptions struct {
	DryRun bool // only say what would be done
}

// CompleteJobs deletes the unlocked jobs among the ids, as if they had been run, by
// the SQL function complete_jobs. All are deleted or, when there is an error, none.
func (c *Client) CompleteJobs(ctx context.Context, ids []int64, options *CompleteOptions) (*Result, error) {
	dry := options != nil && options.DryRun
	return c.change(ctx, "complete jobs", ids, deleteAnyJob, dry, func(c *Client, ids []int64) ([]changeRow, error) {
		return c.queries.JobComplete(ctx, c.conn, db.JobCompleteParams{Ids: ids})
	})
}

// FailOptions alter [Client.PermanentlyFailJobs].
type FailOptions struct {
	// Reason becomes the jobs' last error, also when it is empty; nil means
	// "Manually marked as failed".
	Reason *string
	DryRun bool // only say what would be done
}

// PermanentlyFailJobs uses up the attempts of the unlocked jobs among the ids, so
// that no worker takes them again, by the SQL function permanently_fail_jobs. All
// are failed or, when there is an error, none.
func (c *Client) PermanentlyFailJobs(ctx context.Context, ids []int64, options *FailOptions) (*Result, error) {
	const call = "permanently fail jobs"
	if options == nil {
		options = &FailOptions{}
	}
	var f faults
	if options.Reason != nil {
		f.text("reason", *options.Reason, anyLength)
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	return c.change(ctx, call, ids, updateAnyJob, options.DryRun, func(c *Client, ids []int64) ([]changeRow, error) {
		rows, err := c.queries.JobFail(ctx, c.conn, db.JobFailParams{Ids: ids, ErrorMessage: options.Reason})
		return changeRows(rows, func(r db.JobFailRow) changeRow { return changeRow(r) }), err
	})
}

// RescheduleOptions say what [Client.RescheduleJobs] sets: nil leaves a value, zero
// sets it. At least one must be given.
type RescheduleOptions struct {
	RunAt       *RunAt
	Priority    *int // -32768 to 32767
	Attempts    *int // 0 to 32767
	MaxAttempts *int // 1 to 32767
	DryRun      bool // only say what would be done
}

// RescheduleJobs sets what the options give on the unlocked jobs among the ids, by
// the SQL function reschedule_jobs. Their last error stays. All are changed or,
// when there is an error, none.
func (c *Client) RescheduleJobs(ctx context.Context, ids []int64, options RescheduleOptions) (*Result, error) {
	const call = "reschedule jobs"
	var f faults
	params := f.reschedule(options)
	if err := f.err(call); err != nil {
		return nil, err
	}
	return c.change(ctx, call, ids, updateAnyJob, options.DryRun, func(c *Client, ids []int64) ([]changeRow, error) {
		params := params
		params.Ids = ids
		rows, err := c.queries.JobReschedule(ctx, c.conn, params)
		return changeRows(rows, func(r db.JobRescheduleRow) changeRow { return changeRow(r) }), err
	})
}

// reschedule validates what is to be set and returns it as the query takes it.
func (f *faults) reschedule(options RescheduleOptions) db.JobRescheduleParams {
	if options.RunAt == nil && options.Priority == nil && options.Attempts == nil && options.MaxAttempts == nil {
		f.add("options", "ask for nothing: set RunAt, Priority, Attempts or MaxAttempts")
	}
	f.runAt(options.RunAt)
	f.smallint("priority", options.Priority, -32768)
	f.smallint("attempts", options.Attempts, 0)
	f.smallint("max_attempts", options.MaxAttempts, 1)
	params := db.JobRescheduleParams{
		Priority:    int32Of(options.Priority),
		Attempts:    int32Of(options.Attempts),
		MaxAttempts: int32Of(options.MaxAttempts),
	}
	params.RunAtInfinity, params.RunAt = options.RunAt.parameters()
	return params
}

// RetryOptions alter [Client.RetryJobs].
type RetryOptions struct {
	DryRun bool // only say what would be done
}

// RetryJobs gives the unlocked jobs among the ids, permanently failed ones too, all
// their attempts again, to be run from now on, by the SQL function
// reschedule_jobs. All are changed or, when there is an error, none. A worker
// takes a job with a stale lock only after the lock has been cleared, by a
// worker's own sweep or by [Client.ForceUnlockWorkers].
func (c *Client) RetryJobs(ctx context.Context, ids []int64, options *RetryOptions) (*Result, error) {
	dry := options != nil && options.DryRun
	return c.change(ctx, "retry jobs", ids, updateAnyJob, dry, func(c *Client, ids []int64) ([]changeRow, error) {
		rows, err := c.queries.JobRetry(ctx, c.conn, db.JobRetryParams{Ids: ids})
		return changeRows(rows, func(r db.JobRetryRow) changeRow { return changeRow(r) }), err
	})
}

// preview is what each of these calls does in a dry run.
func (c *Client) preview(ctx context.Context, ids []int64) ([]changeRow, error) {
	rows, err := c.queries.JobPreview(ctx, c.conn, db.JobPreviewParams{Ids: ids})
	return changeRows(rows, func(r db.JobPreviewRow) changeRow { return changeRow(r) }), err
}

// changeRow is what all queries on ids return for each of them.
type changeRow = db.JobCompleteRow

func changeRows[R any](rows []R, convert func(R) changeRow) []changeRow {
	converted := make([]changeRow, len(rows))
	for i, row := range rows {
		converted[i] = convert(row)
	}
	return converted
}

// change runs a query over all the ids, in batches and one transaction when they
// are many, and sorts its rows.
func (c *Client) change(ctx context.Context, call string, ids []int64, need right, dry bool, query func(*Client, []int64) ([]changeRow, error)) (*Result, error) {
	if dry {
		need = readJobs
	}
	if err := c.ready(ctx, need); err != nil {
		return nil, c.failure(call, err)
	}
	if dry {
		query = func(c *Client, ids []int64) ([]changeRow, error) { return c.preview(ctx, ids) }
	}
	// In the order of the ids neighbours share pages, and calls seldom deadlock.
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	var result *Result
	all := func(c *Client) error {
		result = &Result{Jobs: []Job{}, Skipped: []Skip{}}
		for batch := range slices.Chunk(ids, batchSize) {
			if err := c.changeBatch(ctx, result, batch, query); err != nil {
				return err
			}
		}
		return nil
	}
	err := c.undisturbed(func() error {
		if len(ids) > batchSize {
			return c.atomically(ctx, all)
		}
		return all(c)
	})
	if err == nil {
		err = c.explain(ctx, result, need)
	}
	if err != nil {
		return nil, c.failure(call, err)
	}
	slices.SortFunc(result.Jobs, func(a, b Job) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(result.Skipped, func(a, b Skip) int { return cmp.Compare(a.ID, b.ID) })
	return result, nil
}

// changeBatch makes the change in one statement. An id that it left alone though
// nobody held the job when it began was taken, and perhaps let go of, while it ran:
// a second, reading statement says what has become of it.
func (c *Client) changeBatch(ctx context.Context, result *Result, ids []int64, query func(*Client, []int64) ([]changeRow, error)) error {
	rows, err := query(c, ids)
	if err != nil {
		return err
	}
	taken := result.take(rows)
	if len(taken) == 0 {
		return nil
	}
	rows, err = c.preview(ctx, taken)
	switch {
	case err == nil:
		for i := range rows {
			if rows[i].Changed { // it would be now, and has not been
				rows[i].Changed, rows[i].Found = false, true
			}
		}
		taken = result.take(rows)
	case c.inTransaction():
		return err
	default:
		// What is done is done, and must not be lost with the error.
	}
	for _, id := range taken {
		result.Skipped = append(result.Skipped, Skip{ID: id, Reason: Contended})
	}
	return nil
}

// take sorts rows into the result, and returns the ids of the jobs that were left
// alone though nobody holds them.
func (r *Result) take(rows []changeRow) (contended []int64) {
	for i := range rows {
		switch row := &rows[i]; {
		case row.Changed:
			r.Jobs = append(r.Jobs, newChangedJob(row))
		case !row.Found:
			r.Skipped = append(r.Skipped, Skip{ID: row.ID, Reason: NotFound})
		case row.Held:
			r.Skipped = append(r.Skipped, Skip{ID: row.ID, Reason: Locked, LockedBy: row.HeldBy, LockedAt: utc(row.HeldAt)})
		default:
			contended = append(contended, row.ID)
		}
	}
	return contended
}

// explain makes sure, where nothing was changed, that it was not row security that
// left the jobs alone.
func (c *Client) explain(ctx context.Context, result *Result, need right) error {
	if len(result.Jobs) > 0 {
		return nil
	}
	for _, skip := range result.Skipped {
		if skip.Reason == Contended || skip.Reason == NotFound {
			return c.recheck(ctx, need)
		}
	}
	return nil
}

func newChangedJob(row *changeRow) Job {
	return newJob(db.JobAddRow{
		ID:             row.ID,
		TaskIdentifier: &row.TaskIdentifier,
		QueueName:      row.QueueName,
		Payload:        row.Payload,
		Priority:       row.Priority,
		RunAt:          row.RunAt,
		Attempts:       row.Attempts,
		MaxAttempts:    row.MaxAttempts,
		LastError:      row.LastError,
		CreatedAt:      row.CreatedAt,
		UpdatedAt:      row.UpdatedAt,
		Key:            row.Key,
		LockedAt:       row.LockedAt,
		LockedBy:       row.LockedBy,
		Revision:       row.Revision,
		Flags:          row.Flags,
	})
}
