package admin

import (
	"context"
	"maps"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// WhereOptions say how a change by filter runs. The zero value, or nil, changes all
// jobs that match, 1000 in a transaction, one batch after the other.
type WhereOptions struct {
	// All says that the empty filter is meant, and with it every job. Without it an
	// empty filter is refused, and with it any other.
	All bool
	// DryRun changes nothing, and says what would be changed and what would be left
	// alone: a preview.
	DryRun    bool
	Limit     int64         // the most jobs to change; 0: all that match
	BatchSize int           // the most jobs of one transaction, 1 to 10 000; 0: 1000
	Pause     time.Duration // between two batches
	// Sample is how many jobs of those changed, and of those left alone, the result
	// names, the ones with the smallest ids: 0 to MaxPageSize; nil: 10.
	Sample *int
	// Progress, unless nil, is called after every batch, in a dry run after every part
	// of the table, with the result so far, which is its own to keep.
	Progress func(WhereResult)
}

// A WhereResult says what a change by filter did, or would do. It adds up: Matched is
// Changed and all of Skipped together.
type WhereResult struct {
	DryRun  bool                 `json:"dry_run"`
	Matched int64                `json:"matched"` // how many jobs matched the filter when their turn came
	Changed int64                `json:"changed"`
	Skipped map[SkipReason]int64 `json:"skipped"` // how many were left alone, by reason
	States  Counts               `json:"states"`  // what state the matched jobs were in
	// Sample are the first of the changed jobs, without their payloads, as they are now;
	// for CompleteWhere, and in a dry run, as they were.
	Sample []ListedJob `json:"sample"`
	// SkippedSample are the first of the jobs that were left alone. Those Contended
	// were taken, changed or deleted by somebody else since they matched.
	SkippedSample []Skip `json:"skipped_sample"`
	// More says that the limit ended it: more jobs may match.
	More bool `json:"more"`
}

// CompleteWhere deletes the unlocked jobs that match the filter, as if they had been
// run, by the SQL function complete_jobs.
//
// It and its siblings go through the table once, by id, up to the greatest id of when
// they began, so that each job has its turn once and jobs added meanwhile have none.
// They work in batches, each a transaction of its own, that find jobs, lock those of
// them that are still as they were found, and change these. They wait for nobody: a
// job that a worker holds or takes, or that anybody else changes in that moment, is
// left alone, and counted in Skipped.
//
// Where a batch fails or ctx is cancelled, which ends a pause at once, that batch is
// rolled back whole and those before it stay: the result says what they did, and comes
// along with the error. It is nil only where nothing was begun. A batch that is the
// victim of a deadlock is made anew.
//
// After [Client.WithTx] the batches are savepoints of the caller's transaction, which
// holds all their locks until its end.
//
// The role must be allowed to update jobs, for the locks, as well as to delete them.
func (c *Client) CompleteWhere(ctx context.Context, filter Filter, options *WhereOptions) (*WhereResult, error) {
	return c.where(ctx, "complete jobs where", &faults{}, filter, options, whereChange{
		deletes: true,
		run: func(c *Client, ids []int64) ([]int64, error) {
			return c.queries.JobCompleteIDs(ctx, c.conn, db.JobCompleteIDsParams{Ids: ids})
		},
	})
}

// FailWhere uses up the attempts of the unlocked jobs that match the filter, by the SQL
// function permanently_fail_jobs. The reason is as in [FailOptions]. It runs like
// [Client.CompleteWhere].
func (c *Client) FailWhere(ctx context.Context, filter Filter, reason *string, options *WhereOptions) (*WhereResult, error) {
	var f faults
	if reason != nil {
		f.text("reason", *reason, anyLength)
	}
	return c.where(ctx, "fail jobs where", &f, filter, options, whereChange{
		run: func(c *Client, ids []int64) ([]int64, error) {
			return c.queries.JobFailIDs(ctx, c.conn, db.JobFailIDsParams{Ids: ids, ErrorMessage: reason})
		},
	})
}

// RescheduleWhere sets what is given on the unlocked jobs that match the filter, by the
// SQL function reschedule_jobs. It runs like [Client.CompleteWhere]; either DryRun
// makes it a dry run.
func (c *Client) RescheduleWhere(ctx context.Context, filter Filter, set RescheduleOptions, options *WhereOptions) (*WhereResult, error) {
	var f faults
	given := f.reschedule(set)
	if set.DryRun {
		dry := WhereOptions{}
		if options != nil {
			dry = *options
		}
		dry.DryRun = true
		options = &dry
	}
	return c.where(ctx, "reschedule jobs where", &f, filter, options, whereChange{
		run: func(c *Client, ids []int64) ([]int64, error) {
			given := db.JobRescheduleIDsParams(given)
			given.Ids = ids
			return c.queries.JobRescheduleIDs(ctx, c.conn, given)
		},
	})
}

// RetryWhere gives the unlocked jobs that match the filter all their attempts again, to
// be run from now on, as [Client.RetryJobs] does. It runs like [Client.CompleteWhere].
func (c *Client) RetryWhere(ctx context.Context, filter Filter, options *WhereOptions) (*WhereResult, error) {
	return c.where(ctx, "retry jobs where", &faults{}, filter, options, whereChange{
		run: func(c *Client, ids []int64) ([]int64, error) {
			return c.queries.JobRetryIDs(ctx, c.conn, db.JobRetryIDsParams{Ids: ids})
		},
	})
}

// A whereChange is what is done to the jobs of a batch.
type whereChange struct {
	run     func(c *Client, ids []int64) (changed []int64, err error)
	deletes bool
}

// The window is how many jobs one statement looks at, whether they match or not: it
// grows while few do, and never so far that a statement takes long.
const (
	firstWindow = 10_000
	maxWindow   = 200_000
)

// where is a change by filter from beginning to end.
func (c *Client) where(ctx context.Context, call string, f *faults, filter Filter, options *WhereOptions, change whereChange) (*WhereResult, error) {
	w := &walk{change: change, after: math.MinInt64, window: firstWindow, batchSize: 1000, sample: 10}
	if options != nil {
		w.options = *options
	}
	w.params = f.whereFilter(filter, w.options.All)
	f.whereOptions(w)
	if err := f.err(call); err != nil {
		return nil, err
	}
	need := []right{updateAnyJob}
	switch {
	case w.options.DryRun:
		need = []right{readJobs}
	case change.deletes:
		need = append(need, deleteAnyJob)
	}
	for _, right := range need {
		if err := c.ready(ctx, right); err != nil {
			return nil, c.failure(call, err)
		}
	}
	on := c.conn
	if w.options.DryRun {
		on = c.reading()
	}
	last, err := c.queries.JobLastID(ctx, on)
	if err != nil {
		return nil, c.failure(call, err)
	}
	w.last = last
	w.ids = sortedIDs(filter.IDs)
	w.result = newWhereResult(w.options.DryRun)

	for err == nil && w.after < w.last {
		if err = w.step(ctx, c); err == nil && w.options.Progress != nil {
			w.options.Progress(w.result.clone())
		}
		if err == nil && w.options.Limit > 0 && w.result.Changed >= w.options.Limit {
			w.result.More = w.after < w.last
			return &w.result, nil
		}
		if err == nil && w.after < w.last {
			err = w.pause(ctx)
		}
	}
	if w.result.Changed == 0 && (w.result.Matched == 0 || w.result.Skipped[Contended] > 0) {
		for _, right := range need {
			if err == nil {
				err = c.recheck(ctx, right)
			}
		}
	}
	if err != nil {
		return &w.result, c.listFailure(call, filter, err)
	}
	return &w.result, nil
}

// A walk is the way of one call through the table.
type walk struct {
	options   WhereOptions
	params    db.JobMatchParams
	change    whereChange
	batchSize int64
	sample    int
	ids       []int64 // the filter's, in order; nil: any
	result    WhereResult
	after     int64 // the id up to which it has come; at first before any, of those given by hand too
	last      int64 // the id up to which it goes
	window    int64
}

// step handles the next window, in a real run as one transaction.
func (w *walk) step(ctx context.Context, c *Client) error {
	var found match
	var part WhereResult
	run := func(c *Client) (err error) {
		part = newWhereResult(w.options.DryRun)
		if found, err = w.match(ctx, c); err != nil {
			return err
		}
		if w.options.DryRun {
			return w.preview(ctx, c, found, &part)
		}
		return w.changeBatch(ctx, c, found, &part)
	}
	var err error
	if w.options.DryRun {
		err = run(c)
	} else {
		err = c.undisturbed(func() error { return c.batch(ctx, run) })
	}
	if err != nil {
		return err
	}
	w.result.add(part)
	w.after = found.seen
	switch {
	case !found.full:
		w.window = min(2*w.window, maxWindow)
	case !w.options.DryRun:
		w.window = max(w.window/2, w.batchSize)
	}
	return nil
}

// A match is what a window has of jobs that match.
type match struct {
	states   Counts
	ids      []int64          // of jobs that may be changed, as many as are needed
	versions map[int64]string // of their rows
	held     []int64          // of jobs that a worker holds
	seen     int64
	full     bool // there may be more in the window
}

func (w *walk) match(ctx context.Context, c *Client) (match, error) {
	params := w.params
	params.AfterID, params.LastID, params.WindowSize = w.after, w.last, w.window
	if w.ids != nil {
		from, _ := slices.BinarySearch(w.ids, w.after+1)
		params.Ids = w.ids[from:]
		if int64(len(params.Ids)) > w.window {
			params.Ids = params.Ids[:w.window]
			params.LastID = min(w.last, params.Ids[w.window-1])
		}
	}
	most := w.batchSize
	params.MaxIds = int32(most)
	if w.options.DryRun {
		most, params.MaxIds = 0, int32(w.sample)
	}
	if limit := w.options.Limit; limit > 0 {
		if left := limit - w.result.Changed; most == 0 || left < most {
			most = left
		}
	}
	if most > 0 {
		params.MaxJobs = &most
	}
	rows, err := c.queries.JobMatch(ctx, c.planned(), params)
	if err != nil {
		return match{}, err
	}
	found := match{states: Counts{}, versions: map[int64]string{}}
	for _, row := range rows {
		found.seen = row.SeenID
		switch state := State(row.State); state {
		case "":
			continue
		case Running:
			found.held = row.Ids
			found.states[state] = row.Jobs
		default:
			found.states[state] = row.Jobs
			found.ids = append(found.ids, row.Ids...)
			for i, id := range row.Ids {
				found.versions[id] = row.Versions[i]
			}
		}
	}
	slices.Sort(found.ids)
	found.full = most > 0 && found.states.Total() >= most
	return found, nil
}

// preview puts into the part what changing the jobs would.
func (w *walk) preview(ctx context.Context, c *Client, found match, part *WhereResult) (err error) {
	part.count(found, found.states.Total()-found.states[Running])
	if room := w.sample - len(w.result.Sample); room > 0 && len(found.ids) > 0 {
		if part.Sample, err = c.sample(ctx, found.ids[:min(room, len(found.ids))]); err != nil {
			return err
		}
	}
	if room := w.sample - len(w.result.SkippedSample); room > 0 && len(found.held) > 0 {
		held := found.held[:min(room, len(found.held))]
		holders, err := c.holders(ctx, c.reading(), held)
		if err != nil {
			return err
		}
		for _, id := range held {
			part.SkippedSample = append(part.SkippedSample, skipHeld(id, holders))
		}
	}
	return nil
}

// changeBatch locks and changes what it may of the jobs found.
func (w *walk) changeBatch(ctx context.Context, c *Client, found match, part *WhereResult) error {
	var mine []int64
	if len(found.ids) > 0 {
		versions := make([]string, len(found.ids))
		for i, id := range found.ids {
			versions[i] = found.versions[id]
		}
		locked, err := c.queries.JobLock(ctx, c.conn, db.JobLockParams{Ids: found.ids, Versions: versions})
		if err != nil {
			return err
		}
		mine = slices.Sorted(slices.Values(locked))
	}
	room := w.sample - len(w.result.Sample)
	sample := func(ids []int64) (err error) {
		if n := min(room, len(ids)); n > 0 {
			part.Sample, err = c.sample(ctx, ids[:n])
		}
		return err
	}
	if w.change.deletes {
		if err := sample(mine); err != nil {
			return err
		}
	}
	var changed []int64
	if len(mine) > 0 {
		ids, err := w.change.run(c, mine)
		if err != nil {
			return err
		}
		changed = slices.Sorted(slices.Values(ids))
	}
	if w.change.deletes {
		part.Sample = slices.DeleteFunc(part.Sample, func(j ListedJob) bool { return !hasID(changed, j.ID) })
	} else if err := sample(changed); err != nil {
		return err
	}
	part.count(found, int64(len(changed)))
	return w.explain(ctx, c, found, changed, part)
}

// explain finds out why jobs that matched were left alone.
func (w *walk) explain(ctx context.Context, c *Client, found match, changed []int64, part *WhereResult) error {
	lost := without(found.ids, changed, func(id int64) int64 { return id })
	left := slices.Sorted(slices.Values(slices.Concat(lost, found.held)))
	if len(lost) == 0 && (len(left) == 0 || len(w.result.SkippedSample) >= w.sample) {
		return nil
	}
	holders, err := c.holders(ctx, c.conn, left)
	if err != nil {
		return err
	}
	for _, id := range left {
		skip := skipHeld(id, holders)
		if _, held := holders[id]; !held && hasID(lost, id) {
			skip.Reason = Contended
		}
		if hasID(lost, id) && skip.Reason == Locked {
			part.move(Contended, Locked)
		}
		if len(w.result.SkippedSample)+len(part.SkippedSample) < w.sample {
			part.SkippedSample = append(part.SkippedSample, skip)
		}
	}
	return nil
}

// pause waits between two batches, as long as ctx lasts.
func (w *walk) pause(ctx context.Context) error {
	if w.options.DryRun || w.options.Pause == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(w.options.Pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sample reads jobs to show.
func (c *Client) sample(ctx context.Context, ids []int64) ([]ListedJob, error) {
	rows, err := c.queries.JobList(ctx, c.planned(), db.JobListParams{Ids: ids, Sort: string(ByID), PageSize: int32(len(ids)), PayloadCap: -1})
	if err != nil {
		return nil, err
	}
	jobs := make([]ListedJob, len(rows))
	for i, row := range rows {
		jobs[i] = newListedJob(row, 0)
	}
	return jobs, nil
}

// holders are who holds those of the jobs that somebody does.
func (c *Client) holders(ctx context.Context, on db.DBTX, ids []int64) (map[int64]db.JobHoldersRow, error) {
	rows, err := c.queries.JobHolders(ctx, on, db.JobHoldersParams{Ids: ids})
	if err != nil {
		return nil, err
	}
	holders := make(map[int64]db.JobHoldersRow, len(rows))
	for _, row := range rows {
		holders[row.ID] = row
	}
	return holders, nil
}

func newWhereResult(dry bool) WhereResult {
	return WhereResult{DryRun: dry, Skipped: map[SkipReason]int64{}, States: Counts{}, Sample: []ListedJob{}, SkippedSample: []Skip{}}
}

// count puts the numbers of a match into the result: of those that could have been
// changed and were not, it says that they are contended.
func (r *WhereResult) count(found match, changed int64) {
	r.States = found.states
	r.Matched, r.Changed = found.states.Total(), changed
	held := found.states[Running]
	r.skip(Locked, held)
	r.skip(Contended, r.Matched-held-changed)
}

func (r *WhereResult) skip(reason SkipReason, jobs int64) {
	if jobs > 0 {
		r.Skipped[reason] += jobs
	}
}

// move counts a job under another reason.
func (r *WhereResult) move(from, to SkipReason) {
	r.skip(to, 1)
	if r.Skipped[from]--; r.Skipped[from] == 0 {
		delete(r.Skipped, from)
	}
}

func (r *WhereResult) add(part WhereResult) {
	r.Matched += part.Matched
	r.Changed += part.Changed
	for reason, jobs := range part.Skipped {
		r.Skipped[reason] += jobs
	}
	for state, jobs := range part.States {
		r.States[state] += jobs
	}
	r.Sample = append(r.Sample, part.Sample...)
	r.SkippedSample = append(r.SkippedSample, part.SkippedSample...)
}

func (r *WhereResult) clone() WhereResult {
	clone := *r
	clone.Skipped, clone.States = maps.Clone(r.Skipped), maps.Clone(r.States)
	clone.Sample, clone.SkippedSample = slices.Clone(r.Sample), slices.Clone(r.SkippedSample)
	return clone
}

func skipHeld(id int64, holders map[int64]db.JobHoldersRow) Skip {
	holder := holders[id]
	return Skip{ID: id, Reason: Locked, LockedBy: holder.LockedBy, LockedAt: utc(holder.LockedAt)}
}

func hasID(sorted []int64, id int64) bool {
	_, found := slices.BinarySearch(sorted, id)
	return found
}

// whereFilter validates a filter and returns it as JobMatch takes it. Its faults are
// told from those of what is to be set.
func (f *faults) whereFilter(filter Filter, all bool) db.JobMatchParams {
	empty := reflect.ValueOf(filter).IsZero()
	switch {
	case empty && !all:
		f.add("filter", "is empty, and picks every job: set All if that is meant")
	case all && !empty:
		f.add("all", "is for an empty filter, and this one is not")
	}
	before := len(f.found)
	list := f.filter(filter)
	for i := range f.found[before:] {
		f.found[before+i].Field = "filter " + f.found[before+i].Field
	}
	return db.JobMatchParams{
		Ids: list.Ids, States: list.States, TaskIdentifiers: list.TaskIdentifiers, QueueNames: list.QueueNames,
		Keys: list.Keys, KeyPrefix: list.KeyPrefix, WorkerIds: list.WorkerIds, Flags: list.Flags,
		MinPriority: list.MinPriority, MaxPriority: list.MaxPriority, MinAttempts: list.MinAttempts, MaxAttempts: list.MaxAttempts,
		RunFrom: list.RunFrom, RunBefore: list.RunBefore, CreatedFrom: list.CreatedFrom, CreatedBefore: list.CreatedBefore,
		UpdatedFrom: list.UpdatedFrom, UpdatedBefore: list.UpdatedBefore, LockedFrom: list.LockedFrom, LockedBefore: list.LockedBefore,
		ErrorText: list.ErrorText, PayloadContains: list.PayloadContains, PayloadPath: list.PayloadPath,
	}
}

// whereOptions validates a walk's options and puts in what they leave open.
func (f *faults) whereOptions(w *walk) {
	o := &w.options
	if o.Limit < 0 {
		f.add("limit", "%d is negative: 0 is none", o.Limit)
	}
	if o.BatchSize < 0 || o.BatchSize > 10_000 {
		f.add("batch_size", "%d is outside 1 to 10000", o.BatchSize)
	} else if o.BatchSize > 0 {
		w.batchSize = int64(o.BatchSize)
	}
	if o.Pause < 0 {
		f.add("pause", "%s is negative", o.Pause)
	}
	if o.Sample != nil {
		if w.sample = *o.Sample; w.sample < 0 || w.sample > MaxPageSize {
			f.add("sample", "%d is outside 0 to %d", w.sample, MaxPageSize)
		}
	}
}
