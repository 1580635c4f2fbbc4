package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/db"
	"github.com/gwadmin/gwadmin/internal/outcome"
)

const (
	// maxBatchBytes is how long the specs of a batch may be together.
	maxBatchBytes = 1 << 20
	// defaultPatience is how long a batch waits for a lock that one of its jobs needs.
	defaultPatience = 100 * time.Millisecond
)

// A commit is a batch on its way to the database.
type commit struct {
	ctx    context.Context // is canceled when no call waits for a job of the batch
	cancel context.CancelFunc
	calls  int // that wait
}

// leave records that a call does not wait any more. The caller holds the mutex.
func (c *commit) leave() {
	if c.calls--; c.calls == 0 {
		c.cancel()
	}
}

// work adds jobs until the queue is empty.
func (a *Adder) work() {
	for {
		a.mu.Lock()
		batch := a.take()
		if len(batch) == 0 {
			a.commits--
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		if len(batch) > 1 {
			a.add(batch)
		} else if replaced := a.addSingle(batch); replaced {
			return
		}
	}
}

// addFirst adds a job in the goroutine of its call, which saves the time to wake another.
func (a *Adder) addFirst(j *adding) {
	replaced := a.addSingle([]*adding{j})
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case replaced:
	case len(a.queue) > 0:
		a.goes(a.work)
	default:
		a.commits--
	}
	a.stops()
}

// addSingle adds the only job of a batch, which waits for locks as long as it must. If
// that is long, another goroutine takes the place of this one, and it returns true.
func (a *Adder) addSingle(batch []*adding) (replaced bool) {
	over := false
	timer := time.AfterFunc(a.patience, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !over {
			replaced = true
			a.goes(a.work)
		}
	})
	defer timer.Stop()
	a.add(batch)
	a.mu.Lock()
	defer a.mu.Unlock()
	over = true
	return replaced
}

// take takes the next batch out of the queue: jobs that are added in the same way. The
// caller holds the mutex.
func (a *Adder) take() []*adding {
	var batch []*adding
	size := 0
	a.queue = slices.DeleteFunc(a.queue, func(j *adding) bool {
		if len(batch) > 0 && (j.way != batch[0].way || j.way == alone || len(batch) == a.options.MaxBatch || size+len(j.text) > maxBatchBytes) {
			return false
		}
		j.stage = taken
		batch = append(batch, j)
		size += len(j.text)
		return true
	})
	// Jobs with keys lock rows. In one order, batches seldom deadlock.
	slices.SortStableFunc(batch, func(x, y *adding) int {
		return cmp.Compare(deref(x.spec.JobKey), deref(y.spec.JobKey))
	})
	return batch
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// add adds the jobs of a batch in one statement, and so in one transaction. If it is
// refused because of one of them, the others are added without it.
func (a *Adder) add(batch []*adding) {
	c := a.begin(&batch)
	if len(batch) == 0 {
		return
	}
	defer c.cancel()
	client, release, err := a.client.lease(c.ctx)
	if err != nil {
		a.fail(batch, fmt.Errorf("not added: %w", err))
		return
	}
	if err := fix(c.ctx, client, batch); err != nil {
		release()
		a.fail(batch, fmt.Errorf("not added: %w", err))
		return
	}
	if batch = a.send(batch); len(batch) == 0 {
		release()
		return
	}
	jobs, err := a.addBatch(c.ctx, client, batch)
	release()
	switch {
	case err == nil:
		a.succeed(batch, jobs)
	case len(batch) > 1 && outcome.Refused(err) && settled(err):
		a.recall(batch)
		a.addHalf(batch[:len(batch)/2])
		a.addHalf(batch[len(batch)/2:])
	default:
		a.fail(batch, err)
	}
}

// addHalf adds a half of a batch that was refused. A single job may be the one that has
// to wait for a lock, and the others do not wait for it.
func (a *Adder) addHalf(half []*adding) {
	if len(half) > 1 {
		a.add(half)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.goes(func() { a.add(half) })
}

// fix makes relative times absolute, by the database's clock. It is for jobs that share a
// statement.
func fix(ctx context.Context, client *Client, batch []*adding) error {
	var now time.Time
	for _, j := range batch {
		if len(batch) == 1 || j.spec.RunAt == nil || j.spec.RunAt.In == nil {
			continue
		}
		if now.IsZero() {
			var err error
			if now, err = client.now(ctx, client.conn); err != nil {
				return err
			}
		}
		j.spec.RunAt = At(now.Add(*j.spec.RunAt.In))
		j.text = composite(&j.spec, j.payload, now)
	}
	return nil
}

// begin makes a commit of those of the batch whose calls still wait.
func (a *Adder) begin(batch *[]*adding) *commit {
	a.mu.Lock()
	defer a.mu.Unlock()
	waiting := make([]*adding, 0, len(*batch))
	for _, j := range *batch {
		switch {
		case j.stage == finished:
		case j.answered: // sent before, and refused with others
			a.finish(j, nil, nil)
		default:
			waiting = append(waiting, j)
		}
	}
	*batch = waiting
	c := &commit{calls: len(waiting)}
	switch {
	case len(waiting) == 0:
	case waiting[0].first:
		c.ctx, c.cancel = context.WithCancel(waiting[0].ctx)
	default: // the values are for tracers
		c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(waiting[0].ctx))
	}
	for _, j := range waiting {
		j.stage, j.with = taken, c
	}
	return c
}

// send records that the jobs are sent now, but for those whose calls have ended.
func (a *Adder) send(batch []*adding) []*adding {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch = slices.DeleteFunc(batch, func(j *adding) bool { return j.stage == finished })
	for _, j := range batch {
		j.stage = sent
	}
	return batch
}

// recall records that the jobs were refused together, so that none has been added.
func (a *Adder) recall(batch []*adding) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, j := range batch {
		j.stage, j.with = taken, nil
	}
}

func (a *Adder) fail(batch []*adding, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, j := range batch {
		if j.stage != finished {
			a.finish(j, nil, err)
		}
	}
}

// succeed ends the calls of the jobs that were added. A job is missing if a worker has
// locked the one with its key meanwhile. It is added by itself then.
func (a *Adder) succeed(batch []*adding, jobs []*Job) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, j := range batch {
		switch {
		case jobs[i] != nil:
			a.finish(j, jobs[i], nil)
		case len(batch) == 1:
			a.finish(j, nil, ErrContended)
		default:
			a.goes(func() { a.add([]*adding{j}) })
		}
	}
}

// lease returns the client on a connection of the pool, until release is called. Then
// what follows is sent at once. Another pool than pgx's and a *sql.DB gives no connection
// away.
func (c *Client) lease(ctx context.Context) (leased *Client, release func(), err error) {
	on := *c
	switch pool := c.conn.db.(type) {
	case *pgxpool.Pool:
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return nil, nil, err
		}
		on.conn.db, release = conn, conn.Release
	case sqlDB:
		conn, giveBack, err := pool.take(ctx)
		if err != nil {
			return nil, nil, err
		}
		pool.on, release = conn, giveBack
		on.conn.db = pool
	default:
		return c, func() {}, nil
	}
	return &on, release, nil
}

// rewritten says whether a trigger may change jobs as they are inserted.
func (c *Client) rewritten(ctx context.Context) (bool, error) {
	return c.queries.AdderTriggerFind(ctx, c.conn)
}

// addBatch sends the statement that adds the batch, and returns the job of each or nil.
func (a *Adder) addBatch(ctx context.Context, client *Client, batch []*adding) ([]*Job, error) {
	if j := batch[0]; len(batch) == 1 {
		row, err := client.addOne(ctx, &j.spec, j.payload, j.mode)
		if err != nil {
			return nil, err
		}
		return []*Job{new(newJob(row))}, nil
	}
	specs := make([]string, len(batch))
	for i, j := range batch {
		specs[i] = j.text
	}
	timeout := strconv.FormatInt(a.patience.Milliseconds(), 10)
	var rows []jobRow
	if batch[0].way == deduping {
		added, err := changing(ctx, client, func(c *Client) ([]db.AdderJobAddDedupedRow, error) {
			return c.queries.AdderJobAddDeduped(ctx, c.conn, db.AdderJobAddDedupedParams{LockTimeout: timeout, Specs: specs})
		})
		if err != nil {
			return nil, err
		}
		rows = rowsOf(added, func(row db.AdderJobAddDedupedRow) jobRow { return jobRow(row) })
	} else {
		added, err := changing(ctx, client, func(c *Client) ([]db.AdderJobAddRow, error) {
			return c.queries.AdderJobAdd(ctx, c.conn, db.AdderJobAddParams{
				LockTimeout: timeout, Specs: specs, JobKeyPreserveRunAt: batch[0].way == preserving,
			})
		})
		if err != nil {
			return nil, err
		}
		rows = rowsOf(added, func(row db.AdderJobAddRow) jobRow { return jobRow(row) })
	}
	jobs, err := a.pair(ctx, client, batch, rows)
	return jobs, client.committed(err)
}

// pair returns the job of each of the batch, or nil if it has none. The order of the rows
// says nothing. The key tells a job that has one. Others are told by what they hold: of
// those that hold the same, either may be either's.
func (a *Adder) pair(ctx context.Context, client *Client, batch []*adding, rows []jobRow) ([]*Job, error) {
	keys, contents := make(map[string]int), make(map[content][]int)
	for i, j := range batch {
		if j.spec.JobKey != nil {
			keys[*j.spec.JobKey] = i
		} else {
			contents[j.content()] = append(contents[j.content()], i)
		}
	}
	var named, unnamed []jobRow
	for _, row := range rows {
		if row.Key != nil {
			// Only a job that was left as it is can have other names than those asked for.
			if j := batch[keys[*row.Key]]; j.way != deduping || row.Revision == 0 {
				row.TaskIdentifier, row.QueueName = j.spec.TaskIdentifier, j.spec.QueueName
				named = append(named, row)
				continue
			}
		}
		if row.TaskIdentifier == "" || row.JobQueueID != nil && row.QueueName == nil {
			unnamed = append(unnamed, row)
		} else {
			named = append(named, row)
		}
	}
	if len(unnamed) > 0 {
		if err := client.addNames(ctx, unnamed); err != nil {
			return nil, err
		}
	}
	jobs := make([]*Job, len(batch))
	var strange []*Job
	for _, row := range append(named, unnamed...) {
		job := new(newJob(row))
		if row.Key != nil {
			jobs[keys[*row.Key]] = job
			continue
		}
		held := contentOf(job)
		if places := contents[held]; len(places) > 0 {
			jobs[places[0]], contents[held] = job, places[1:]
		} else {
			strange = append(strange, job)
		}
	}
	if len(strange) > 0 {
		// A trigger has changed them that was not there before. On gwadmin's schema their ids
		// are in order, on another they may not be. From now on they are added one by one.
		a.mu.Lock()
		a.rewrites = new(true)
		a.mu.Unlock()
		slices.SortFunc(strange, func(x, y *Job) int { return cmp.Compare(x.ID, y.ID) })
	}
	for i, j := range batch {
		if jobs[i] == nil && j.spec.JobKey == nil && len(strange) > 0 {
			jobs[i], strange = strange[0], strange[1:]
		}
	}
	return jobs, nil
}

// A content is what tells jobs without a key apart.
type content struct {
	task, queue, payload, runAt, flags string
	queued                             bool
	maxAttempts, priority              int
}

// content is that of the job as it will be.
func (j *adding) content() content {
	c := content{task: j.spec.TaskIdentifier, payload: "{}", maxAttempts: 25, flags: flagsText(j.spec.Flags)}
	if j.payload != nil {
		c.payload = *j.payload
	}
	if j.spec.QueueName != nil {
		c.queue, c.queued = *j.spec.QueueName, true
	}
	if j.spec.RunAt != nil {
		at, _ := j.spec.RunAt.parameters()
		c.runAt = newRunAt(at).String()
	}
	if j.spec.MaxAttempts != nil {
		c.maxAttempts = *j.spec.MaxAttempts
	}
	if j.spec.Priority != nil {
		c.priority = *j.spec.Priority
	}
	return c
}

func contentOf(job *Job) content {
	c := content{
		task: job.TaskIdentifier, payload: string(job.Payload), flags: flagsText(job.Flags),
		maxAttempts: job.MaxAttempts, priority: job.Priority,
	}
	if job.QueueName != nil {
		c.queue, c.queued = *job.QueueName, true
	}
	if !job.RunAt.Time.Equal(job.CreatedAt) { // it was given
		c.runAt = job.RunAt.String()
	}
	return c
}

// flagsText writes a set of flags.
func flagsText(flags []string) string {
	var text strings.Builder
	for _, flag := range slices.Compact(slices.Sorted(slices.Values(flags))) {
		text.WriteString(flag)
		text.WriteByte(0) // which no flag has
	}
	return text.String()
}
