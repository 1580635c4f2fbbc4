package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/gwadmin/gwadmin/db"
)

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

// AddJobs adds jobs by the SQL function add_jobs and returns them, or the jobs
// that their keys belong to as they are now. All are added, or none. On gwadmin's
// schema they are added and returned in the order of their specs; one that
// Graphile Worker installed promises no order, so tell jobs by what they hold.
//
// Everything wrong with any of the specs is refused at once, in one
// [*InvalidError]. A key that a worker takes at the same moment is treated as in
// [Client.AddJob]. Large batches are sent in statements of bounded size.
func (c *Client) AddJobs(ctx context.Context, specs []JobSpec, options *AddJobsOptions) ([]Job, error) {
	jobs := []Job{}
	err := c.addMany(ctx, specs, func(c *Client, many *many) error {
		rows, err := addAll(many, func(specs []string) ([]db.JobAddRow, error) {
			added, err := c.queries.JobAddMany(ctx, c.conn, db.JobAddManyParams{Specs: specs, JobKeyPreserveRunAt: options.preserve()})
			rows := make([]db.JobAddRow, len(added))
			for i, row := range added {
				rows[i] = db.JobAddRow(row)
			}
			return rows, err
		}, func(row db.JobAddRow) (int64, *string) { return row.ID, row.Key })
		if err != nil {
			return err
		}
		jobs, err = c.named(ctx, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

// AddJobsIDs adds jobs as [Client.AddJobs] does, and returns their ids alone: whole
// jobs are most of the time that many of them take.
func (c *Client) AddJobsIDs(ctx context.Context, specs []JobSpec, options *AddJobsOptions) ([]int64, error) {
	ids := []int64{}
	err := c.addMany(ctx, specs, func(c *Client, many *many) error {
		rows, err := addAll(many, func(specs []string) ([]db.JobAddManyIDsRow, error) {
			return c.queries.JobAddManyIDs(ctx, c.conn, db.JobAddManyIDsParams{Specs: specs, JobKeyPreserveRunAt: options.preserve()})
		}, func(row db.JobAddManyIDsRow) (int64, *string) { return row.ID, row.Key })
		ids = make([]int64, len(rows))
		for i, row := range rows {
			ids[i] = row.ID
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

func (o *AddJobsOptions) preserve() bool { return o != nil && o.PreserveRunAt }

// many are valid specs.
type many struct {
	specs []JobSpec
	texts []string       // of a job_spec each
	keys  map[string]int // of a key to its spec's place
}

// addMany validates the specs and has them added in a transaction.
func (c *Client) addMany(ctx context.Context, specs []JobSpec, add func(*Client, *many) error) error {
	const call = "add jobs"
	var f faults
	all := many{specs: specs, texts: make([]string, len(specs)), keys: map[string]int{}}
	for i := range specs {
		f.index = &i
		all.texts[i] = f.composite(&specs[i])
		if key := specs[i].JobKey; key != nil {
			if first, twice := all.keys[*key]; twice {
				f.add("job_key", "is that of job %d, too", first)
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
	if len(specs) == 0 {
		return nil
	}
	return c.failure(call, c.undisturbed(func() error {
		return c.atomically(ctx, func(c *Client) error { return add(c, &all) })
	}))
}

// addAll adds the specs in batches. A key that no returned job has was held by a
// worker, and its spec dropped: it is added anew, and put back in its place.
func addAll[R any](all *many, add func([]string) ([]R, error), of func(R) (id int64, key *string)) ([]R, error) {
	rows := make([]R, 0, len(all.texts))
	more := func(batch []string) error {
		added, err := add(batch)
		rows = append(rows, added...)
		return err
	}
	for batch := range slices.Chunk(all.texts, batchSize) {
		if err := more(batch); err != nil {
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
		if err := more(batch); err != nil {
			return nil, err
		}
		if len(rows) == len(all.texts) {
			inOrder(rows, all, of)
		}
	}
	return rows, nil
}

// inOrder puts the rows of dropped specs, which came last, where the specs are: a
// row with a key belongs to its spec, and the others keep their order.
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

// named makes jobs of rows, whose names it reads.
func (c *Client) named(ctx context.Context, rows []db.JobAddRow) ([]Job, error) {
	tasks, queues := map[int32]string{}, map[int32]*string{}
	for _, row := range rows {
		tasks[row.TaskID] = ""
		if row.JobQueueID != nil {
			queues[*row.JobQueueID] = nil
		}
	}
	named, err := c.queries.TaskNames(ctx, c.conn, db.TaskNamesParams{Ids: slices.Collect(maps.Keys(tasks))})
	if err != nil {
		return nil, err
	}
	clear(tasks)
	for _, task := range named {
		tasks[task.ID] = task.Identifier
	}
	if len(queues) > 0 {
		named, err := c.queries.QueueNames(ctx, c.conn, db.QueueNamesParams{Ids: slices.Collect(maps.Keys(queues))})
		if err != nil {
			return nil, err
		}
		for _, queue := range named {
			queues[queue.ID] = &queue.QueueName
		}
	}
	jobs := make([]Job, len(rows))
	for i, row := range rows {
		task, found := tasks[row.TaskID]
		if !found {
			return nil, fmt.Errorf("task %d of job %d is gone: GC_TASK_IDENTIFIERS ran beside the call", row.TaskID, row.ID)
		}
		var queue *string
		if row.JobQueueID != nil {
			queue = queues[*row.JobQueueID]
		}
		jobs[i] = addedJob(row, task, queue)
	}
	return jobs, nil
}
