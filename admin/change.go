package admin

import (
	"context"

	"github.com/gwadmin/gwadmin/db"
)

// ChangeOptions are the options of the calls that change jobs by their ids. Nil means
// the defaults.
type ChangeOptions struct {
	Return Returning // what to return of the changed jobs; the default is whole jobs
	DryRun bool      // only say what would be done
}

// Returning says what a call on many jobs returns of those it changed. Whole jobs are
// most of the time of a call that changes thousands.
type Returning int

const (
	ReturnJobs  Returning = iota // ChangeResult.Jobs
	ReturnIDs                    // ChangeResult.IDs
	ReturnCount                  // only ChangeResult.Changed
)

// CompleteJobs deletes the unlocked jobs among the ids, as if they had been run, by the
// SQL function complete_jobs. All of them are deleted or, if there is an error, none.
func (c *Client) CompleteJobs(ctx context.Context, ids []int64, options *ChangeOptions) (*ChangeResult, error) {
	return c.changeIDs(ctx, "complete jobs", &faults{}, ids, completing, options)
}

// FailJobs uses up the attempts of the unlocked jobs among the ids, so that no worker
// takes them again, by the SQL function permanently_fail_jobs. The reason becomes their
// last error, even if it is empty; nil means "Manually marked as failed". All of them
// fail or, if there is an error, none.
func (c *Client) FailJobs(ctx context.Context, ids []int64, reason *string, options *ChangeOptions) (*ChangeResult, error) {
	var f faults
	return c.changeIDs(ctx, "fail jobs", &f, ids, f.failing(reason), options)
}

// RescheduleJobs sets the values on the unlocked jobs among the ids, by the SQL function
// reschedule_jobs. Their last error stays. All of them are changed or, if there is an
// error, none.
func (c *Client) RescheduleJobs(ctx context.Context, ids []int64, values RescheduleValues, options *ChangeOptions) (*ChangeResult, error) {
	var f faults
	return c.changeIDs(ctx, "reschedule jobs", &f, ids, f.rescheduling(values), options)
}

// RetryJobs gives the unlocked jobs among the ids, permanently failed ones too, all
// their attempts again, to be run from now on, by the SQL function reschedule_jobs. All
// of them are changed or, if there is an error, none. A worker takes a job with a stale
// lock only after the lock has been cleared, by a worker's own sweep or by
// [Client.ForceUnlockWorkers].
func (c *Client) RetryJobs(ctx context.Context, ids []int64, options *ChangeOptions) (*ChangeResult, error) {
	var f faults
	return c.changeIDs(ctx, "retry jobs", &f, ids, f.rescheduling(retry), options)
}

// RescheduleValues are what [Client.RescheduleJobs] and [Client.RescheduleWhere] set. A
// nil value leaves its column, and zero sets it. At least one must be given.
type RescheduleValues struct {
	RunAt       *RunAt
	Priority    *int // -32768 to 32767
	Attempts    *int // 0 to 32767
	MaxAttempts *int // 1 to 32767
}

var retry = RescheduleValues{RunAt: In(0), Attempts: new(0)}

// An action is what a call does to jobs. Its functions change the unlocked jobs among
// the ids, and return these jobs or only their ids.
type action struct {
	deletes bool
	jobs    func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error)
	ids     func(ctx context.Context, c *Client, ids []int64) ([]int64, error)
}

// needs are the rights that the action takes.
func (a action) needs(dryRun bool) right {
	switch {
	case dryRun:
		return readJobs
	case a.deletes:
		return deleteAnyJob
	}
	return updateAnyJob
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
