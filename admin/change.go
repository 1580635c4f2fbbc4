package admin

import (
	"context"

	"github.com/gwadmin/gwadmin/db"
)

// CompleteOptions alter [Client.CompleteJobs].
type CompleteOptions struct {
	Return Returning
	DryRun bool // only say what would be done
}

// CompleteJobs deletes the unlocked jobs among the ids, as if they had been run, by
// the SQL function complete_jobs. All are deleted or, when there is an error, none.
func (c *Client) CompleteJobs(ctx context.Context, ids []int64, options *CompleteOptions) (*Result, error) {
	if options == nil {
		options = &CompleteOptions{}
	}
	return c.change(ctx, "complete jobs", ids, change{
		need: deleteAnyJob,
		jobs: func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error) {
			return c.queries.JobComplete(ctx, c.conn, db.JobCompleteParams{Ids: ids})
		},
		ids: func(ctx context.Context, c *Client, ids []int64) ([]int64, error) {
			return c.queries.JobCompleteIDs(ctx, c.conn, db.JobCompleteIDsParams{Ids: ids})
		},
	}, options.Return, options.DryRun)
}

// FailOptions alter [Client.PermanentlyFailJobs].
type FailOptions struct {
	// Reason becomes the jobs' last error, also when it is empty; nil means
	// "Manually marked as failed".
	Reason *string
	Return Returning
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
	return c.change(ctx, call, ids, change{
		need: updateAnyJob,
		jobs: func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error) {
			rows, err := c.queries.JobFail(ctx, c.conn, db.JobFailParams{Ids: ids, ErrorMessage: options.Reason})
			return jobRows(rows, func(r db.JobFailRow) jobRow { return jobRow(r) }), err
		},
		ids: func(ctx context.Context, c *Client, ids []int64) ([]int64, error) {
			return c.queries.JobFailIDs(ctx, c.conn, db.JobFailIDsParams{Ids: ids, ErrorMessage: options.Reason})
		},
	}, options.Return, options.DryRun)
}

// RescheduleOptions say what [Client.RescheduleJobs] sets: nil leaves a value, zero
// sets it. At least one must be given.
type RescheduleOptions struct {
	RunAt       *RunAt
	Priority    *int // -32768 to 32767
	Attempts    *int // 0 to 32767
	MaxAttempts *int // 1 to 32767
	Return      Returning
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
	return c.change(ctx, call, ids, change{
		need: updateAnyJob,
		jobs: func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error) {
			params := params
			params.Ids = ids
			rows, err := c.queries.JobReschedule(ctx, c.conn, params)
			return jobRows(rows, func(r db.JobRescheduleRow) jobRow { return jobRow(r) }), err
		},
		ids: func(ctx context.Context, c *Client, ids []int64) ([]int64, error) {
			params := db.JobRescheduleIDsParams(params)
			params.Ids = ids
			return c.queries.JobRescheduleIDs(ctx, c.conn, params)
		},
	}, options.Return, options.DryRun)
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
	Return Returning
	DryRun bool // only say what would be done
}

// RetryJobs gives the unlocked jobs among the ids, permanently failed ones too, all
// their attempts again, to be run from now on, by the SQL function
// reschedule_jobs. All are changed or, when there is an error, none. A worker
// takes a job with a stale lock only after the lock has been cleared, by a
// worker's own sweep or by [Client.ForceUnlockWorkers].
func (c *Client) RetryJobs(ctx context.Context, ids []int64, options *RetryOptions) (*Result, error) {
	if options == nil {
		options = &RetryOptions{}
	}
	return c.change(ctx, "retry jobs", ids, change{
		need: updateAnyJob,
		jobs: func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error) {
			rows, err := c.queries.JobRetry(ctx, c.conn, db.JobRetryParams{Ids: ids})
			return jobRows(rows, func(r db.JobRetryRow) jobRow { return jobRow(r) }), err
		},
		ids: func(ctx context.Context, c *Client, ids []int64) ([]int64, error) {
			return c.queries.JobRetryIDs(ctx, c.conn, db.JobRetryIDsParams{Ids: ids})
		},
	}, options.Return, options.DryRun)
}
