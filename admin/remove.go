package admin

import (
	"context"

	"github.com/gwadmin/gwadmin/db"
)

// RemoveOptions alter [Client.RemoveJob].
type RemoveOptions struct {
	// DetachLocked lets the call touch a job that a worker holds: it loses its
	// key and, when it fails, is not retried. This is what the SQL function
	// does by itself.
	DetachLocked bool
	DryRun       bool // only say what would be done
}

// A RemoveOutcome says what [Client.RemoveJob] found and did.
type RemoveOutcome string

const (
	Removed  RemoveOutcome = "removed"   // the job is deleted
	Detached RemoveOutcome = "detached"  // a worker holds it; it lost its key and will not be retried
	Left     RemoveOutcome = "left"      // a worker holds it; it is left alone
	NoSuch   RemoveOutcome = "not found" // no job has the key
)

// A RemoveResult says what [Client.RemoveJob] did.
type RemoveResult struct {
	Outcome RemoveOutcome `json:"outcome"`
	// Job is the deleted job as it was, or the detached one as it is now; nil
	// otherwise, and in a dry run of detaching.
	Job *Job `json:"job"`
	// Skip says why a job was left alone, if Outcome is Left.
	Skip *Skip `json:"skip,omitempty"`
}

// RemoveJob deletes the job with the key by the SQL function remove_job. A job that
// a worker holds is left alone, unless the options say otherwise.
func (c *Client) RemoveJob(ctx context.Context, key string, options *RemoveOptions) (*RemoveResult, error) {
	const call = "remove job"
	if options == nil {
		options = &RemoveOptions{}
	}
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

	if options.DryRun {
		result, err := c.lookRemove(ctx, key, options)
		if err != nil {
			return nil, c.failure(call, err)
		}
		return result, nil
	}

	// A job that is held when its turn comes and free by the time its lock is
	// looked at gets another try: nothing has been changed yet.
	for try := 1; ; try++ {
		row, err := c.queries.JobRemove(ctx, c.conn, db.JobRemoveParams{JobKey: key, DetachLocked: options.DetachLocked})
		if err != nil {
			return nil, c.failure(call, err)
		}
		switch {
		case row.Changed:
			result := &RemoveResult{Outcome: Removed, Job: new(newRemovedJob(row))}
			if row.Key == nil {
				result.Outcome = Detached
			}
			return result, nil
		case !row.Found:
			if err := c.recheck(ctx, need); err != nil {
				return nil, c.failure(call, err)
			}
			return &RemoveResult{Outcome: NoSuch}, nil
		case row.Held && !options.DetachLocked:
			return &RemoveResult{Outcome: Left, Skip: &Skip{ID: row.ID, Reason: Locked, LockedBy: row.HeldBy, LockedAt: utc(row.HeldAt)}}, nil
		case try == tries:
			if err := c.recheck(ctx, updateAnyJob); err != nil {
				return nil, c.failure(call, err)
			}
			return nil, c.failure(call, ErrContended)
		}
	}
}

// lookRemove says what RemoveJob would do.
func (c *Client) lookRemove(ctx context.Context, key string, options *RemoveOptions) (*RemoveResult, error) {
	job, err := c.one(ctx, plannedOn(c.conn), db.JobListParams{Keys: []string{key}})
	switch {
	case err != nil:
		return nil, err
	case job == nil:
		return &RemoveResult{Outcome: NoSuch}, nil
	case job.State != Running:
		return &RemoveResult{Outcome: Removed, Job: &job.Job}, nil
	case options.DetachLocked:
		return &RemoveResult{Outcome: Detached}, nil
	}
	return &RemoveResult{Outcome: Left, Skip: &Skip{ID: job.ID, Reason: Locked, LockedBy: job.LockedBy, LockedAt: job.LockedAt}}, nil
}

func newRemovedJob(row db.JobRemoveRow) Job {
	return newJob(jobRow{
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
