package admin

import (
	"context"

	"github.com/gwadmin/gwadmin/db"
)

// RemoveOptions are the options of [Client.RemoveJob]. A nil struct means the defaults.
type RemoveOptions struct {
	// DetachLocked also changes a job that a worker holds: it loses its key and is not
	// retried if it fails. The SQL function remove_job always does this.
	DetachLocked bool
	DryRun       bool // change nothing, and return what the call would do
}

// A RemoveOutcome is what [Client.RemoveJob] found and did.
type RemoveOutcome string

const (
	Removed  RemoveOutcome = "removed"   // the job was deleted
	Detached RemoveOutcome = "detached"  // a worker holds the job; it lost its key and is not retried
	Left     RemoveOutcome = "left"      // a worker holds the job; it was not changed
	NoSuch   RemoveOutcome = "not found" // no job has the key
)

// A RemoveResult is the result of [Client.RemoveJob].
type RemoveResult struct {
	Outcome RemoveOutcome `json:"outcome"`
	// Job is the deleted job, or the detached job after the change. It is nil if no job
	// was changed and if a dry run would detach a job.
	Job *Job `json:"job"`
	// Skip is the reason for the outcome Left; nil for any other outcome.
	Skip *Skip `json:"skip,omitempty"`
}

// RemoveJob deletes the job with the key by the SQL function remove_job. It does not change
// a job that a worker holds, unless RemoveOptions.DetachLocked is set. If no job has the
// key, the outcome is NoSuch and the error is nil.
func (c *Client) RemoveJob(ctx context.Context, key string, options *RemoveOptions) (result *RemoveResult, err error) {
	const call = "remove job"
	if options == nil {
		options = &RemoveOptions{}
	}
	done := c.log(ctx, call, options.DryRun)
	defer func() { done(result, err) }()
	var f faults
	if key == "" {
		f.add("job_key", "is empty")
	}
	f.text("job_key", key, 512)
	if err := f.err(call); err != nil {
		return nil, err
	}
	need := removeJobs
	if options.DryRun {
		need = readJobs
	}
	if err := c.ready(ctx, need); err != nil {
		return nil, c.failure(call, err)
	}

	// If the job was locked when remove_job ran, and is unlocked when its lock is read, try
	// again. Nothing has been changed yet.
	for range tries {
		if !options.DryRun {
			var rows []db.JobRemoveRow
			err := c.retryOnDeadlock(func() (err error) {
				rows, err = changing(ctx, c, func(c *Client) ([]db.JobRemoveRow, error) {
					return c.queries.JobRemove(ctx, c.conn, db.JobRemoveParams{JobKey: key, DetachLocked: options.DetachLocked})
				})
				return err
			})
			if err != nil {
				return nil, c.failure(call, sentAs(Sent{Jobs: 1}, err))
			}
			if len(rows) > 0 {
				result := &RemoveResult{Outcome: Removed, Job: new(newJob(jobRow(rows[0])))}
				if result.Job.Key == nil {
					result.Outcome = Detached
				}
				return result, nil
			}
		}
		found, err := c.jobByKey(ctx, c.conn, key)
		if err != nil {
			return nil, c.failure(call, err)
		}
		if result = wouldRemove(found, options); options.DryRun || result.Outcome == Left || result.Outcome == NoSuch {
			break
		}
		result = nil
	}
	switch {
	case result == nil:
		if err = c.recheck(ctx, updateAnyJob); err == nil {
			err = ErrContended
		}
	case result.Outcome == NoSuch:
		err = c.recheck(ctx, need)
	}
	if err != nil {
		return nil, c.failure(call, err)
	}
	return result, nil
}

// wouldRemove returns what removing the job would do.
func wouldRemove(found []db.JobListRow, options *RemoveOptions) *RemoveResult {
	if len(found) == 0 {
		return &RemoveResult{Outcome: NoSuch}
	}
	job := newListedJob(found[0])
	switch {
	case job.State != Running:
		return &RemoveResult{Outcome: Removed, Job: &job.Job}
	case options.DetachLocked:
		return &RemoveResult{Outcome: Detached}
	}
	return &RemoveResult{Outcome: Left, Skip: &Skip{ID: job.ID, Reason: Locked, LockedBy: job.LockedBy, LockedAt: job.LockedAt}}
}
