package admin

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/db"
)

// JobKeyMode says what [Client.AddJob] does to the job that already has the key.
type JobKeyMode string

const (
	// Replace updates the job, its run_at too. A job that has started, or failed
	// for good, only loses its key, and a new one is added. This is the default.
	Replace JobKeyMode = "replace"
	// PreserveRunAt is Replace, but keeps the run_at of a job that has not been
	// attempted.
	PreserveRunAt JobKeyMode = "preserve_run_at"
	// UnsafeDedupe leaves the job as it is, even one that has started or failed
	// for good, so that what is added may never run.
	UnsafeDedupe JobKeyMode = "unsafe_dedupe"
)

// AddJobOptions alter what [Client.AddJob] adds. Nil fields, and a nil struct,
// mean the default.
type AddJobOptions struct {
	QueueName   *string    // jobs of one queue run one after another; nil: beside any other. At most 128 characters
	RunAt       *RunAt     // nil: now, by the database's clock
	MaxAttempts *int       // 1 to 32767; nil: 25
	JobKey      *string    // 1 to 512 characters, unique among jobs; nil: none
	JobKeyMode  JobKeyMode // empty: Replace
	Priority    *int       // -32768 to 32767, smaller runs earlier; nil: 0
	Flags       []string   // workers that forbid one of them leave the job alone
}

// tries is how often a call is made anew when another transaction was in its way.
const tries = 5

// AddJob adds a job by the SQL function add_job and returns it, or the job that
// the key belongs to as it is now. The payload is marshalled to JSON, but for a
// [json.RawMessage], which is stored as it is; nil is stored as {}.
//
// It never returns an empty job: where a worker takes the job with the key at the
// same moment, the call is made anew, and after a few tries fails with [ErrContended].
func (c *Client) AddJob(ctx context.Context, taskIdentifier string, payload any, options *AddJobOptions) (*Job, error) {
	const call = "add job"
	if options == nil {
		options = &AddJobOptions{}
	}
	var f faults
	spec := JobSpec{
		TaskIdentifier: taskIdentifier,
		Payload:        payload,
		QueueName:      options.QueueName,
		RunAt:          options.RunAt,
		MaxAttempts:    options.MaxAttempts,
		JobKey:         options.JobKey,
		Priority:       options.Priority,
		Flags:          options.Flags,
	}
	text := f.spec(&spec)
	var mode *string
	switch options.JobKeyMode {
	case "":
	case Replace, PreserveRunAt, UnsafeDedupe:
		mode = new(string(options.JobKeyMode))
	default:
		f.add("job_key_mode", "%q is none of %s, %s, %s", options.JobKeyMode, Replace, PreserveRunAt, UnsafeDedupe)
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	if err := c.ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}

	params := db.JobAddParams{
		Identifier:  spec.TaskIdentifier,
		Payload:     text,
		QueueName:   spec.QueueName,
		MaxAttempts: int32Of(spec.MaxAttempts),
		JobKey:      spec.JobKey,
		Priority:    int32Of(spec.Priority),
		Flags:       spec.Flags,
		JobKeyMode:  mode,
	}
	params.RunAtInfinity, params.RunAt = spec.RunAt.parameters()
	for range tries {
		row, err := c.queries.JobAdd(ctx, c.conn, params)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, c.failure(call, err)
		}
		// Only an existing job can have other names than those asked for.
		if row.Revision == 0 || options.JobKeyMode != UnsafeDedupe {
			return new(addedJob(row, spec.TaskIdentifier, spec.QueueName)), nil
		}
		jobs, err := c.named(ctx, []db.JobAddRow{row})
		if err != nil {
			return nil, c.failure(call, err)
		}
		return &jobs[0], nil
	}
	return nil, c.failure(call, ErrContended)
}

// addedJob makes a job of its row, which has no names.
func addedJob(row db.JobAddRow, task string, queue *string) Job {
	return newJob(jobRow{
		ID:             row.ID,
		TaskIdentifier: &task,
		QueueName:      queue,
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

func int32Of(n *int) *int32 {
	if n == nil {
		return nil
	}
	return new(int32(*n))
}
