package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// A JobSpec is a job for [Client.AddJobs] to add. A nil field means its default.
type JobSpec struct {
	TaskIdentifier string   // at most 128 characters
	Payload        any      // nil: {}; see AddJob
	QueueName      *string  // this and the following fields are as in AddJobOptions
	RunAt          *RunAt   //
	MaxAttempts    *int     //
	JobKey         *string  // unique among the specs
	Priority       *int     //
	Flags          []string //
}

// AddJobsOptions are the options of [Client.AddJobs]. Nil means the defaults.
type AddJobsOptions struct {
	// PreserveRunAt keeps the run_at of existing jobs that have the key of a spec and
	// no attempts. By default the spec replaces their run_at.
	PreserveRunAt bool
}

// AddJobs adds jobs by the SQL function add_jobs, or a single job by add_job. It returns
// the added jobs, and for a key that a job already had the job that has it after the call.
// If there is an error, no job is added. On gwadmin's schema the jobs are added and
// returned in the order of their specs. On a schema that Graphile Worker installed the
// order is not defined: identify a job by its key or its payload.
//
// One [*InvalidError] lists all faults of all specs. If a worker takes a job with a key at
// the same time, AddJobs tries again as [Client.AddJob] does. It sends many specs in
// statements of bounded size.
func (c *Client) AddJobs(ctx context.Context, specs []JobSpec, options *AddJobsOptions) ([]Job, error) {
	jobs := []Job{}
	done := c.log(ctx, addJobsCall, false)
	err := c.addMany(ctx, specs, options, func(c *Client, many *many) error {
		rows, err := addAll(many, func(specs []string) ([]db.JobAddManyRow, error) {
			return c.queries.JobAddMany(ctx, c.conn, db.JobAddManyParams{Specs: specs, JobKeyPreserveRunAt: options.preserve()})
		}, func(row db.JobAddManyRow) (int64, *string) { return row.ID, row.Key })
		if err != nil {
			return err
		}
		added := rowsOf(rows, func(r db.JobAddManyRow) jobRow { return jobRow(r) })
		if err := c.addNames(ctx, added); err != nil {
			return err
		}
		jobs = rowsOf(added, newJob)
		return nil
	}, func(row jobRow) { jobs = []Job{newJob(row)} })
	if err != nil {
		done(nil, err)
		return nil, err
	}
	done(number(len(jobs)), nil)
	return jobs, nil
}

// AddJobsIDs adds jobs as [Client.AddJobs] does and returns only their ids. It is faster:
// reading whole jobs takes most of the time of adding many.
func (c *Client) AddJobsIDs(ctx context.Context, specs []JobSpec, options *AddJobsOptions) ([]int64, error) {
	ids := []int64{}
	done := c.log(ctx, addJobsCall, false)
	err := c.addMany(ctx, specs, options, func(c *Client, many *many) error {
		rows, err := addAll(many, func(specs []string) ([]db.JobAddManyIDsRow, error) {
			return c.queries.JobAddManyIDs(ctx, c.conn, db.JobAddManyIDsParams{Specs: specs, JobKeyPreserveRunAt: options.preserve()})
		}, func(row db.JobAddManyIDsRow) (int64, *string) { return row.ID, row.Key })
		ids = rowsOf(rows, func(row db.JobAddManyIDsRow) int64 { return row.ID })
		return err
	}, func(row jobRow) { ids = []int64{row.ID} })
	if err != nil {
		done(nil, err)
		return nil, err
	}
	done(number(len(ids)), nil)
	return ids, nil
}

func (o *AddJobsOptions) preserve() bool { return o != nil && o.PreserveRunAt }

const addJobsCall = "add jobs"

// many are valid specs.
type many struct {
	specs []JobSpec
	texts []string       // the text of a job_spec for each spec
	keys  map[string]int // from a key to the index of its spec
}

// addMany validates the specs and runs add in a transaction. It adds a single spec itself,
// in one round trip, and passes the job to addedOne.
func (c *Client) addMany(ctx context.Context, specs []JobSpec, options *AddJobsOptions, add func(*Client, *many) error, addedOne func(jobRow)) error {
	const call = addJobsCall
	var f faults
	all := many{specs: specs, texts: make([]string, len(specs)), keys: map[string]int{}}
	payloads := make([]*string, len(specs))
	relative := false
	for i := range specs {
		f.index = &i
		payloads[i] = f.spec(&specs[i])
		relative = relative || specs[i].RunAt != nil && specs[i].RunAt.In != nil
		if key := specs[i].JobKey; key != nil {
			if first, twice := all.keys[*key]; twice {
				f.add("job_key", "is also that of job %d", first)
			} else {
				all.keys[*key] = i
			}
		}
	}
	if err := f.err(call); err != nil {
		return err
	}
	if err := c.ready(ctx, readJobs); err != nil {
		return c.failure(call, err)
	}
	switch len(specs) {
	case 0:
		return nil
	case 1:
		mode := Replace
		if options.preserve() {
			mode = PreserveRunAt
		}
		row, err := c.addOne(ctx, &specs[0], payloads[0], mode)
		if err == nil {
			addedOne(row)
		}
		return c.failure(call, sentAs(Sent{Jobs: 1}, err))
	}
	var now time.Time
	if relative {
		var err error
		if now, err = c.now(ctx, c.conn); err != nil {
			return c.failure(call, err)
		}
	}
	for i := range specs {
		all.texts[i] = composite(&specs[i], payloads[i], now)
		payloads[i] = nil
	}
	return c.failure(call, sentAs(Sent{Jobs: len(specs)}, c.retryOnDeadlock(func() error {
		return c.atomically(ctx, func(c *Client) error { return add(c, &all) })
	})))
}

// addAll adds the specs in batches. If no returned job has the key of a spec, add_jobs
// dropped the spec because a worker held the job. addAll then adds the spec again, and
// moves its row to the place of the spec.
func addAll[R any](all *many, add func([]string) ([]R, error), of func(R) (id int64, key *string)) ([]R, error) {
	rows := make([]R, 0, len(all.texts))
	addBatch := func(batch []string) error {
		added, err := add(batch)
		rows = append(rows, added...)
		return err
	}
	for batch := range slices.Chunk(all.texts, batchSize) {
		if err := addBatch(batch); err != nil {
			return nil, err
		}
	}
	for try := 1; len(rows) < len(all.texts); try++ {
		if try == tries {
			return nil, ErrContended
		}
		dropped := maps.Clone(all.keys)
		for _, row := range rows {
			if _, key := of(row); key != nil {
				delete(dropped, *key)
			}
		}
		var batch []string
		for _, i := range slices.Sorted(maps.Values(dropped)) {
			batch = append(batch, all.texts[i])
		}
		if err := addBatch(batch); err != nil {
			return nil, err
		}
		if len(rows) == len(all.texts) {
			inOrder(rows, all, of)
		}
	}
	return rows, nil
}

// inOrder moves the rows of dropped specs from the end to the places of their specs. A row
// with a key has the place of the spec with this key. The other rows keep their order.
func inOrder[R any](rows []R, all *many, of func(R) (id int64, key *string)) {
	places := make(map[int64]int, len(rows))
	unkeyed := 0
	for _, row := range rows {
		id, key := of(row)
		if key != nil {
			places[id] = all.keys[*key]
			continue
		}
		for unkeyed < len(all.specs) && all.specs[unkeyed].JobKey != nil {
			unkeyed++
		}
		places[id] = unkeyed
		unkeyed++
	}
	place := func(row R) int { id, _ := of(row); return places[id] }
	slices.SortFunc(rows, func(a, b R) int { return place(a) - place(b) })
}

// addNames reads the names of the rows' tasks and queues and sets them in the rows.
func (c *Client) addNames(ctx context.Context, rows []jobRow) error {
	tasks, queues := map[int32]string{}, map[int32]*string{}
	for _, row := range rows {
		tasks[row.TaskID] = ""
		if row.JobQueueID != nil {
			queues[*row.JobQueueID] = nil
		}
	}
	named, err := c.queries.TaskNames(ctx, c.conn, db.TaskNamesParams{Ids: slices.Collect(maps.Keys(tasks))})
	if err != nil {
		return err
	}
	clear(tasks)
	for _, task := range named {
		tasks[task.ID] = task.Identifier
	}
	if len(queues) > 0 {
		named, err := c.queries.QueueNames(ctx, c.conn, db.QueueNamesParams{Ids: slices.Collect(maps.Keys(queues))})
		if err != nil {
			return err
		}
		for _, queue := range named {
			queues[queue.ID] = queue.QueueName
		}
	}
	for i := range rows {
		row := &rows[i]
		var found bool
		if row.TaskIdentifier, found = tasks[row.TaskID]; !found {
			return fmt.Errorf("task %d of job %d does not exist: GC_TASK_IDENTIFIERS ran at the same time", row.TaskID, row.ID)
		}
		row.QueueName = nil
		if row.JobQueueID != nil {
			row.QueueName = queues[*row.JobQueueID]
		}
	}
	return nil
}

// rowsOf converts every row.
func rowsOf[R, T any](rows []R, convert func(R) T) []T {
	converted := make([]T, len(rows))
	for i, row := range rows {
		converted[i] = convert(row)
	}
	return converted
}
