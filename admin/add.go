package admin

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/db"
)

// JobKeyMode says what [Client.AddJob] does to a job that already has the key.
type JobKeyMode string

const (
	// Replace updates the job, its run_at too. A job that has started, or failed
	// for good, only loses its key, and a new one is added. This is the default.
	Replace JobKeyMode = "replace"
	// PreserveRunAt is Replace, but a job that has not been attempted keeps its run_at.
	PreserveRunAt JobKeyMode = "preserve_run_at"
	// UnsafeDedupe leaves the job as it is, even one that has started or failed
	// for good: the new payload is then lost.
	UnsafeDedupe JobKeyMode = "unsafe_dedupe"
)

// AddJobOptions are the options of [Client.AddJob]. A nil field means the default, and so
// does a nil struct.
type AddJobOptions struct {
	QueueName   *string    // jobs of one queue run one after another; nil: no queue. At most 128 characters
	RunAt       *RunAt     // nil: now, by the database's clock
	MaxAttempts *int       // 1 to 32767; nil: 25
	JobKey      *string    // 1 to 512 characters, unique among jobs; nil: none
	JobKeyMode  JobKeyMode // empty: Replace
	Priority    *int       // -32768 to 32767, smaller runs earlier; nil: 0
	Flags       []string   // workers that forbid one of them leave the job alone
}

// AddJob adds a job by the SQL function add_job and returns it, or the job that has the
// key as it is now. The payload is marshalled to JSON. A [json.RawMessage] is stored as
// it is, and nil as {}.
//
// If a worker takes the job with the key at the same moment, add_job returns no job: the
// call is then made again, and after five tries fails with [ErrContended].
func (c *Client) AddJob(ctx context.Context, taskIdentifier string, payload any, options *AddJobOptions) (*Job, error) {
	const call = "add job"
	if options == nil {
		options = &AddJobOptions{}
	}
	var f faults
	spec := newSpec(taskIdentifier, payload, options)
	text := f.spec(&spec)
	f.keyMode(options.JobKeyMode)
	if err := f.err(call); err != nil {
		return nil, err
	}
	if err := c.ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	row, err := c.addOne(ctx, &spec, text, options.JobKeyMode)
	if err != nil {
		return nil, c.failure(call, err)
	}
	return new(newJob(row)), nil
}

// addOne adds a job by add_job. The spec has been validated, and its payload marshalled.
func (c *Client) addOne(ctx context.Context, spec *JobSpec, payload *string, mode JobKeyMode) (jobRow, error) {
	params := db.JobAddParams{
		Identifier:  spec.TaskIdentifier,
		Payload:     payload,
		QueueName:   spec.QueueName,
		MaxAttempts: int32Of(spec.MaxAttempts),
		JobKey:      spec.JobKey,
		Priority:    int32Of(spec.Priority),
		Flags:       spec.Flags,
	}
	params.RunAt, params.RunIn = spec.RunAt.parameters()
	if mode != "" {
		params.JobKeyMode = new(string(mode))
	}
	for range tries {
		added, err := c.queries.JobAdd(ctx, c.conn, params)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		rows := []jobRow{jobRow(added)}
		rows[0].TaskIdentifier, rows[0].QueueName = spec.TaskIdentifier, spec.QueueName
		if err == nil && mode == UnsafeDedupe && added.Revision > 0 { // an existing job, maybe of another task
			err = c.addNames(ctx, rows)
		}
		return rows[0], err
	}
	return jobRow{}, ErrContended
}

func int32Of(n *int) *int32 {
	if n == nil {
		return nil
	}
	return new(int32(*n))
}
