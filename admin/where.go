package admin

import (
	"cmp"
	"context"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// WhereOptions are the options of the calls that change jobs by a filter. The zero value
// or nil changes all jobs that match, in transactions of 1000 jobs.
type WhereOptions struct {
	// All selects every job. It is required with an empty filter, and refused with any
	// other filter.
	All       bool
	DryRun    bool          // change nothing, and return what the call would do
	Limit     int64         // the greatest number of jobs to change; 0: all that match
	BatchSize int           // the greatest number of jobs in one transaction, 1 to 10 000; 0: 1000
	Pause     time.Duration // the time to wait between two batches
	// Sample is the greatest number of changed jobs in ChangeResult.Jobs, and of skipped
	// jobs in ChangeResult.SkippedJobs. The result has those with the smallest ids. 0 to
	// MaxPageSize; nil: 10.
	Sample *int
	// Progress is called after every batch with a copy of the result so far; nil: no
	// call. A dry run has no batches.
	Progress func(ChangeResult)
	// Changed is called after every batch with the ids of the jobs that it has changed, in
	// order; nil: no call. A result has only the first ones.
	Changed func(ids []int64)
	Save    func([]Job) error // see ChangeOptions.Save; it is called for each batch
}

// CompleteWhere deletes the unlocked jobs that match the filter by the SQL function
// complete_jobs, as if they had run.
//
// This and the other calls by filter first find the jobs that match, in one pass through
// the table or an index that serves the filter. They change the jobs in batches, in the
// order of their ids. Each batch is a transaction. It locks and changes the jobs that have
// not changed since they were found. It waits for no lock: a job that a worker holds, or
// that another transaction changes in the meantime, is skipped and counted as skipped. Jobs
// that are added during the call are not changed. One pass finds at most 50 000 jobs; the
// call then makes other passes through the ids that follow.
//
// If a batch fails or ctx is cancelled, that batch is rolled back, and the batches before
// it remain committed. Cancelling ctx also ends a pause. The call then returns the result
// of the committed batches together with the error. The result is nil only if the call did
// not start. A batch that is the victim of a deadlock runs again.
//
// After [Client.WithTx] the batches are savepoints in the caller's transaction, which keeps
// all their locks until it ends.
//
// The role must be allowed to update jobs, for the locks, and to delete jobs.
func (c *Client) CompleteWhere(ctx context.Context, filter Filter, options *WhereOptions) (*ChangeResult, error) {
	return c.changeWhere(ctx, "complete jobs where", &faults{}, filter, completing, options)
}

// FailWhere permanently fails the unlocked jobs that match the filter by the SQL function
// permanently_fail_jobs. The reason is as in [Client.FailJobs]. It runs like
// [Client.CompleteWhere].
func (c *Client) FailWhere(ctx context.Context, filter Filter, reason *string, options *WhereOptions) (*ChangeResult, error) {
	var f faults
	return c.changeWhere(ctx, "fail jobs where", &f, filter, f.failing(reason), options)
}

// RescheduleWhere sets the values on the unlocked jobs that match the filter by the SQL
// function reschedule_jobs. It runs like [Client.CompleteWhere].
func (c *Client) RescheduleWhere(ctx context.Context, filter Filter, values RescheduleValues, options *WhereOptions) (*ChangeResult, error) {
	var f faults
	return c.changeWhere(ctx, "reschedule jobs where", &f, filter, f.rescheduling(values), options)
}

// RetryWhere sets run_at to now and attempts to 0 on the unlocked jobs that match the
// filter, as [Client.RetryJobs] does. It runs like [Client.CompleteWhere].
func (c *Client) RetryWhere(ctx context.Context, filter Filter, options *WhereOptions) (*ChangeResult, error) {
	var f faults
	return c.changeWhere(ctx, "retry jobs where", &f, filter, f.rescheduling(retry), options)
}

// matchSize is the greatest number of jobs that one pass finds. It bounds the memory that
// the client needs: up to 250 bytes a job, most of it for decoding.
var matchSize int64 = 50_000

// A bulk is one call by filter.
type bulk struct {
	*Client
	action  action
	options WhereOptions
	sample  int
	params  db.JobMatchParams // from the last job found to the greatest id at the start of the call
	span    uint64            // how many ids the next pass looks through; 0: all that are left
	result  *ChangeResult
	batches int // that were sent
}

func (c *Client) changeWhere(ctx context.Context, call string, f *faults, filter Filter, action action, options *WhereOptions) (result *ChangeResult, err error) {
	b := &bulk{Client: c, action: action}
	if options != nil {
		b.options = *options
	}
	done := c.log(ctx, call, b.options.DryRun)
	defer func() { done(result, err) }()
	b.params = f.where(filter, b.options.All)
	if action.onHold != nil {
		if filter.OnHold != nil && *filter.OnHold != *action.onHold {
			f.add("filter on_hold", "matches no job that the call would change: leave it nil")
		}
		b.params.OnHold = action.onHold
	}
	b.action = f.saving(action, b.options.Save)
	f.whereOptions(b)
	if err := f.err(call); err != nil {
		return nil, err
	}
	if b.options.DryRun {
		c = c.onReader()
		b.Client = c
	}
	needs := []right{action.needs(b.options.DryRun)}
	if action.deletes && !b.options.DryRun {
		needs = append(needs, updateAnyJob)
	}
	for _, need := range needs {
		if err := c.ready(ctx, need); err != nil {
			return nil, c.failure(call, err)
		}
	}
	span, err := c.queries.JobSpan(ctx, c.conn)
	if err == nil {
		b.params.TaskIds, err = c.taskIDs(ctx, c.conn, filter)
	}
	if err == nil {
		b.params.HeldQueues, err = c.heldQueues(ctx, c.conn, filter)
	}
	if err != nil {
		return nil, c.failure(call, err)
	}
	b.params.AfterID, b.params.LastID = math.MinInt64, span.LastID // ids below 1 can be inserted by hand
	b.result = newChangeResult(b.options.DryRun)
	b.result.States = Counts{}

	if b.options.DryRun {
		err = b.preview(ctx)
	} else {
		err = b.run(ctx)
	}
	if err == nil && b.result.nothingChanged() {
		for _, need := range needs {
			if err == nil {
				err = c.recheck(ctx, need)
			}
		}
	}
	return b.result, c.filterFailure(call, filter, err)
}

// run changes the jobs that match, batch by batch.
func (b *bulk) run(ctx context.Context) error {
	for b.params.AfterID < b.params.LastID {
		most := matchSize
		if b.options.Limit > 0 {
			most = min(most, b.options.Limit-b.result.Changed)
		}
		found, err := b.match(ctx, most)
		if err != nil {
			return err
		}
		for len(found) > 0 {
			if b.result.Matched > 0 {
				if err := b.pause(ctx); err != nil {
					return err
				}
			}
			batch := found[:min(b.options.BatchSize, len(found))]
			if err := b.runBatch(ctx, batch); err != nil {
				return err
			}
			found = found[len(batch):]
			if b.options.Progress != nil {
				b.options.Progress(b.result.clone())
			}
		}
		if b.options.Limit > 0 && b.result.Changed >= b.options.Limit {
			b.result.More = b.params.AfterID < b.params.LastID
			return nil
		}
	}
	return nil
}

// A match is a job that matches.
type match struct {
	id, version int64 // version identifies the version of its row
	state       State
}

// match finds the next jobs that match, at most so many, in the order of their ids. The first
// pass looks through all ids. If it finds more jobs than it returns, the next ones look through
// twice as many ids as these had, and through ever more where they find few: so each pass does
// not read again what all others read.
func (b *bulk) match(ctx context.Context, most int64) ([]match, error) {
	params := b.params
	if b.span > 0 && b.span < distance(params.AfterID, params.LastID) {
		params.LastID = params.AfterID + int64(b.span)
	}
	params.MaxJobs, params.MaxIds = &most, int32(most)
	rows, err := b.queries.JobMatch(ctx, customPlan(b.conn), params)
	if err != nil {
		return nil, err
	}
	var found []match
	for _, row := range rows {
		for i, id := range row.Ids {
			found = append(found, match{id, row.Versions[i], State(row.State)})
		}
	}
	slices.SortFunc(found, func(a, b match) int { return cmp.Compare(a.id, b.id) })
	if int64(len(found)) < most {
		b.params.AfterID = params.LastID
		b.span *= 2
	} else {
		b.params.AfterID = found[most-1].id
		b.span = 2 * (distance(found[0].id, b.params.AfterID) + 1)
	}
	return found, nil
}

// distance is how far it is from a number to one that is not smaller, which can be more than
// an int64 holds.
func distance(from, to int64) uint64 { return uint64(to) - uint64(from) }

// runBatch changes a batch of the jobs found, in one transaction.
func (b *bulk) runBatch(ctx context.Context, found []match) error {
	var part *ChangeResult
	b.batches++
	err := b.retryOnDeadlock(func() error {
		return b.batch(ctx, func(c *Client) (err error) {
			part, err = b.changeFound(ctx, c, found)
			return err
		})
	})
	if err != nil {
		ids := unlocked(found).Ids
		return sentAs(Sent{Jobs: len(ids), IDs: ids, Batch: b.batches}, err)
	}
	b.result.Matched += part.Matched
	b.result.Changed += part.Changed
	for reason, jobs := range part.Skipped {
		b.result.Skipped[reason] += jobs
	}
	for _, job := range found {
		b.result.States[job.state]++
	}
	b.result.Jobs = append(b.result.Jobs, part.Jobs...)
	b.result.SkippedJobs = append(b.result.SkippedJobs, part.SkippedJobs...)
	if b.options.Changed != nil && len(part.IDs) > 0 {
		b.options.Changed(part.IDs)
	}
	return nil
}

// changeFound locks and changes the jobs found that are unlocked and unchanged, and returns
// what happened to each.
func (b *bulk) changeFound(ctx context.Context, c *Client, found []match) (*ChangeResult, error) {
	part := newChangeResult(false)
	locked, err := c.queries.JobLock(ctx, c.conn, unlocked(found))
	if err != nil {
		return nil, err
	}
	slices.Sort(locked)
	var changed []int64
	named := min(len(locked), b.sample-len(b.result.Jobs)) // how many whole jobs the result still needs
	if named > 0 {
		rows, err := b.action.jobs(ctx, c, locked[:named])
		if err != nil {
			return nil, err
		}
		changed = addJobs(part, rows)
	}
	if named < len(locked) {
		ids, err := b.action.ids(ctx, c, locked[max(named, 0):])
		if err != nil {
			return nil, err
		}
		changed = append(changed, ids...)
		slices.Sort(changed)
	}
	part.IDs, part.Changed, part.Matched = changed, int64(len(changed)), int64(len(changed))
	return part, b.skipFound(ctx, c, part, found, changed)
}

// unlocked returns those of the jobs found that no worker held.
func unlocked(found []match) (lock db.JobLockParams) {
	for _, job := range found {
		if job.state != Running {
			lock.Ids, lock.Versions = append(lock.Ids, job.id), append(lock.Versions, job.version)
		}
	}
	return lock
}

// skipFound adds the jobs that were not changed to the result, with the reason of each.
func (b *bulk) skipFound(ctx context.Context, c *Client, part *ChangeResult, found []match, changed []int64) error {
	left := without(rowsOf(found, func(job match) int64 { return job.id }), changed)
	if len(left) == 0 {
		return nil
	}
	locks, err := c.locks(ctx, c.conn, left)
	if err != nil {
		return err
	}
	for _, lock := range locks {
		skip := b.action.skip(lock)
		if skip.Reason != Locked { // it was changed or deleted after it matched
			skip.Reason = Contended
		}
		part.skip(b.sample-len(b.result.SkippedJobs), skip)
	}
	return nil
}

// preview sets the result to what run would do, from one pass.
func (b *bulk) preview(ctx context.Context) error {
	b.params.MaxIds = int32(b.sample)
	var free, held []int64
	for more := true; more; {
		if b.options.Limit > 0 {
			b.params.MaxJobs = new(b.options.Limit - b.result.Changed)
		}
		rows, err := b.queries.JobMatch(ctx, customPlan(b.conn), b.params)
		if err != nil {
			return err
		}
		var matched int64
		for _, row := range rows {
			matched += row.Jobs
			b.params.AfterID = max(b.params.AfterID, row.LastID)
			state := State(row.State)
			b.result.States[state] += row.Jobs
			if state == Running {
				b.result.Skipped[Locked] += row.Jobs
				held = append(held, row.Ids...)
			} else {
				b.result.Changed += row.Jobs
				free = append(free, row.Ids...)
			}
		}
		b.result.Matched += matched
		more = b.params.MaxJobs != nil && matched == *b.params.MaxJobs
		if b.options.Limit > 0 && b.result.Changed == b.options.Limit {
			b.result.More = b.params.AfterID < b.params.LastID
			break
		}
	}
	slices.Sort(free)
	jobs, err := b.jobsByID(ctx, b.conn, free[:min(b.sample, len(free))])
	if err != nil {
		return err
	}
	b.result.Jobs = append(b.result.Jobs, jobs...)
	held = held[:min(b.sample, len(held))]
	if len(held) == 0 {
		return nil
	}
	locks, err := b.locks(ctx, b.conn, held)
	for _, lock := range locks {
		b.result.SkippedJobs = append(b.result.SkippedJobs,
			Skip{ID: lock.ID, Reason: Locked, LockedBy: lock.LockedBy, LockedAt: optionalTime(lock.LockedAt)})
	}
	return err
}

// pause waits between two batches, until ctx is cancelled.
func (b *bulk) pause(ctx context.Context) error {
	select {
	case <-time.After(b.options.Pause):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// where validates the filter of a change and returns it as parameters of JobMatch.
func (f *faults) where(filter Filter, all bool) db.JobMatchParams {
	empty := reflect.ValueOf(filter).IsZero()
	switch {
	case empty && !all:
		f.add("filter", "is empty and selects every job: set All if that is meant")
	case all && !empty:
		f.add("all", "is only for an empty filter, and the filter is not empty")
	}
	before := len(f.found)
	list := f.filter(filter)
	for i := range f.found[before:] { // because RescheduleValues also have a priority
		f.found[before+i].Field = "filter " + f.found[before+i].Field
	}
	return db.JobMatchParams{
		Ids: list.Ids, States: list.States, QueueNames: list.QueueNames,
		Keys: list.Keys, KeyPrefix: list.KeyPrefix, WorkerIds: list.WorkerIds, Flags: list.Flags, OnHold: list.OnHold,
		PriorityFrom: list.PriorityFrom, PriorityTo: list.PriorityTo, AttemptsFrom: list.AttemptsFrom, AttemptsTo: list.AttemptsTo,
		RunFrom: list.RunFrom, RunBefore: list.RunBefore, CreatedFrom: list.CreatedFrom, CreatedBefore: list.CreatedBefore,
		UpdatedFrom: list.UpdatedFrom, UpdatedBefore: list.UpdatedBefore, LockedFrom: list.LockedFrom, LockedBefore: list.LockedBefore,
		ErrorText: list.ErrorText, PayloadContains: list.PayloadContains, PayloadPath: list.PayloadPath,
	}
}

// whereOptions validates the options and sets the defaults.
func (f *faults) whereOptions(b *bulk) {
	o := &b.options
	if o.Limit < 0 {
		f.add("limit", "%d is negative: use 0 for no limit", o.Limit)
	}
	if o.BatchSize < 0 || o.BatchSize > 10_000 {
		f.add("batch_size", "%d is outside 1 to 10000", o.BatchSize)
	}
	if o.BatchSize == 0 {
		o.BatchSize = 1000
	}
	if o.Pause < 0 {
		f.add("pause", "%s is negative", o.Pause)
	}
	b.sample = 10
	if o.Sample != nil {
		b.sample = *o.Sample
	}
	if b.sample < 0 || b.sample > MaxPageSize {
		f.add("sample", "%d is outside 0 to %d", b.sample, MaxPageSize)
	}
}
