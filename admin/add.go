package admin

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/db"
)

// A JobKeyMode is what [Client.AddJob] does to an existing job with the key.
type JobKeyMode string

const (
	// Replace updates the job, including its run_at. If a worker holds the job or it has
	// failed permanently, it loses its key and its remaining attempts, and a new job is
	// added. This is the default.
	Replace JobKeyMode = "replace"
	// PreserveRunAt updates the job as Replace does. A job without attempts keeps its
	// run_at.
	PreserveRunAt JobKeyMode = "preserve_run_at"
	// UnsafeDedupe changes only the revision and updated_at of the job, even if a worker
	// holds it or it has failed permanently. The new payload is then lost.
	UnsafeDedupe JobKeyMode = "unsafe_dedupe"
)

// AddJobOptions are the options of [Client.AddJob]. A nil field means its default. A nil
// struct means all defaults.
type AddJobOptions struct {
	QueueName   *string    // jobs of one queue run one after another; nil: no queue. At most 128 characters
	RunAt       *RunAt     // nil: now, by the database's clock
	MaxAttempts *int       // 1 to 32767; nil: 25
	JobKey      *string    // 1 to 512 characters, unique among jobs; nil: no key
	JobKeyMode  JobKeyMode // empty: Replace
	Priority    *int       // -32768 to 32767, smaller runs earlier; nil: 0
	Flags       []string   // a worker does not take a job with a flag that it forbids
}

// AddJob adds a job by the SQL function add_job and returns it. If a job has the key, the
// JobKeyMode applies, and AddJob returns the job that has the key after the call. The
// payload is marshalled to JSON. A [json.RawMessage] is stored unchanged, and nil as {}.
//
// If a worker takes the job with the key at the same time, add_job returns no job. AddJob
// then calls it again, and returns [ErrContended] after five tries.
func (c *Client) AddJob(ctx context.Context, taskIdentifier string, payload any, options *AddJobOptions) (job *Job, err error) {
	const call = "add job"
	done := c.log(ctx, call, false)
	defer func() { done(job, err) }()
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
		return nil, c.failure(call, sentAs(Sent{Jobs: 1}, err))
	}
	return new(newJob(row)), nil
}

// addOne adds a job by add_job. The caller has validated the spec and marshalled its
// payload.
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
		var added db.JobAddRow
		err := c.retryOnDeadlock(func() (err error) {
			added, err = changing(ctx, c, func(c *Client) (db.JobAddRow, error) { return c.queries.JobAdd(ctx, c.conn, params) })
			return err
		})
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		rows := []jobRow{jobRow(added)}
		rows[0].TaskIdentifier, rows[0].QueueName = spec.TaskIdentifier, spec.QueueName
		if err == nil && mode == UnsafeDedupe && added.Revision > 0 { // an existing job, which may be of another task
			err = c.committed(c.addNames(ctx, rows))
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
