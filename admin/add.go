package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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

// A JobSpec is a job to be added by [Client.AddJobs]. Nil fields mean the default.
type JobSpec struct {
	TaskIdentifier string   // at most 128 characters
	Payload        any      // nil: {}; see AddJob
	QueueName      *string  // as in AddJobOptions, like all that follow
	RunAt          *RunAt   //
	MaxAttempts    *int     //
	JobKey         *string  // unique in the batch, too
	Priority       *int     //
	Flags          []string //
}

// AddJobsOptions alter what [Client.AddJobs] adds.
type AddJobsOptions struct {
	// PreserveRunAt keeps the run_at of jobs that have their spec's key and
	// have not been attempted; otherwise specs replace it.
	PreserveRunAt bool
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
			row.TaskIdentifier, row.QueueName = &spec.TaskIdentifier, spec.QueueName
		}
		rows := []db.JobAddRow{row}
		if err := c.nameRows(ctx, rows); err != nil {
			return nil, c.failure(call, err)
		}
		return new(newJob(rows[0])), nil
	}
	return nil, c.failure(call, ErrContended)
}

// AddJobs adds jobs by the SQL function add_jobs and returns them, or the jobs
// that their keys belong to as they are now. All are added, or none. On gwadmin's
// schema they are added and returned in the order of their specs; one that
// Graphile Worker installed promises no order, so tell jobs by what they hold.
//
// Everything wrong with any of the specs is refused at once, in one
// [*InvalidError]. A key that a worker takes at the same moment is treated as in
// [Client.AddJob]. Large batches are sent in statements of bounded size.
func (c *Client) AddJobs(ctx context.Context, specs []JobSpec, options *AddJobsOptions) ([]Job, error) {
	const call = "add jobs"
	preserve := options != nil && options.PreserveRunAt
	var f faults
	texts := make([]string, len(specs))
	keys := make(map[string]int) // of a key to its spec's place
	for i := range specs {
		f.index = &i
		texts[i] = f.composite(&specs[i])
		if key := specs[i].JobKey; key != nil {
			if first, twice := keys[*key]; twice {
				f.add("job_key", "is that of job %d, too", first)
			} else {
				keys[*key] = i
			}
		}
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	if err := c.ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	if len(specs) == 0 {
		return []Job{}, nil
	}

	var rows []db.JobAddRow
	add := func(c *Client) (err error) {
		rows = make([]db.JobAddRow, 0, len(specs))
		for batch := range slices.Chunk(texts, batchSize) {
			if rows, err = c.addBatch(ctx, rows, batch, preserve); err != nil {
				return err
			}
		}
		// A key that no returned job has was held by a worker: its spec was dropped.
		for try := 1; len(rows) < len(specs); try++ {
			if try == tries {
				return ErrContended
			}
			dropped := maps.Clone(keys)
			for _, row := range rows {
				if row.Key != nil {
					delete(dropped, *row.Key)
				}
			}
			var batch []string
			for _, i := range slices.Sorted(maps.Values(dropped)) {
				batch = append(batch, texts[i])
			}
			if rows, err = c.addBatch(ctx, rows, batch, preserve); err != nil {
				return err
			}
			if len(rows) == len(specs) {
				inOrder(rows, specs, keys)
			}
		}
		return c.nameRows(ctx, rows)
	}
	err := c.undisturbed(func() error { return c.atomically(ctx, add) })
	if err != nil {
		return nil, c.failure(call, err)
	}
	jobs := make([]Job, len(rows))
	for i, row := range rows {
		jobs[i] = newJob(row)
	}
	return jobs, nil
}

// inOrder puts the rows of dropped specs, which came last, where the specs are: a
// row with a key belongs to its spec, and the others keep their order.
func inOrder(rows []db.JobAddRow, specs []JobSpec, keys map[string]int) {
	places := make(map[int64]int, len(rows))
	unkeyed := 0
	for _, row := range rows {
		if row.Key != nil {
			places[row.ID] = keys[*row.Key]
			continue
		}
		for unkeyed < len(specs) && specs[unkeyed].JobKey != nil {
			unkeyed++
		}
		places[row.ID] = unkeyed
		unkeyed++
	}
	slices.SortFunc(rows, func(a, b db.JobAddRow) int { return places[a.ID] - places[b.ID] })
}

// addBatch adds the specs and appends the rows.
func (c *Client) addBatch(ctx context.Context, rows []db.JobAddRow, specs []string, preserve bool) ([]db.JobAddRow, error) {
	added, err := c.queries.JobAddMany(ctx, c.conn, db.JobAddManyParams{Specs: specs, JobKeyPreserveRunAt: preserve})
	for _, row := range added {
		rows = append(rows, db.JobAddRow(row))
	}
	return rows, err
}

// nameRows puts in the names that the adding statement could not see, because it
// created their tasks and queues itself.
func (c *Client) nameRows(ctx context.Context, rows []db.JobAddRow) error {
	tasks, queues := map[int32]*string{}, map[int32]*string{}
	for _, row := range rows {
		if row.TaskIdentifier == nil {
			tasks[row.TaskID] = nil
		}
		if row.JobQueueID != nil && row.QueueName == nil {
			queues[*row.JobQueueID] = nil
		}
	}
	if len(tasks) > 0 {
		named, err := c.queries.TaskNames(ctx, c.conn, db.TaskNamesParams{Ids: slices.Collect(maps.Keys(tasks))})
		if err != nil {
			return err
		}
		for _, task := range named {
			tasks[task.ID] = &task.Identifier
		}
	}
	if len(queues) > 0 {
		named, err := c.queries.QueueNames(ctx, c.conn, db.QueueNamesParams{Ids: slices.Collect(maps.Keys(queues))})
		if err != nil {
			return err
		}
		for _, queue := range named {
			queues[queue.ID] = &queue.QueueName
		}
	}
	for i := range rows {
		row := &rows[i]
		if row.TaskIdentifier == nil {
			row.TaskIdentifier = tasks[row.TaskID]
		}
		if row.TaskIdentifier == nil {
			return fmt.Errorf("task %d of job %d is gone: GC_TASK_IDENTIFIERS ran beside the call", row.TaskID, row.ID)
		}
		if row.JobQueueID != nil && row.QueueName == nil {
			row.QueueName = queues[*row.JobQueueID]
		}
	}
	return nil
}

func int32Of(n *int) *int32 {
	if n == nil {
		return nil
	}
	return new(int32(*n))
}
