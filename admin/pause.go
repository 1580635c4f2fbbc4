package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/db"
)

// A Pause says why no job of a queue starts. It is in the lock of the queue, which lasts
// until infinity: Graphile Worker does not clear it.
type Pause struct {
	By     string    `json:"by"`     // who paused the queue: see WithActor; empty: nobody was named
	Reason string    `json:"reason"` // empty: none was given
	Since  time.Time `json:"since"`
}

// pausePrefix begins the locked_by of a paused queue. The queries have it, too.
const pausePrefix = "gwadmin:paused:"

// lock returns the locked_by of a paused queue.
func (p Pause) lock() (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(p)
	return pausePrefix + strings.TrimSpace(text.String()), err
}

// newPause returns the pause that is in the locked_by of a queue, or nil.
func newPause(lockedBy *string) *Pause {
	if lockedBy == nil {
		return nil
	}
	text, paused := strings.CutPrefix(*lockedBy, pausePrefix)
	if !paused {
		return nil
	}
	var pause Pause
	if json.Unmarshal([]byte(text), &pause) != nil { // somebody has written it by hand
		return &Pause{Reason: text}
	}
	pause.Since = pause.Since.UTC()
	return &pause
}

// queueLock returns the lock of a queue as a worker's or as a pause.
func queueLock(at pgtype.Timestamptz, by *string) (*time.Time, *string, *Pause) {
	if pause := newPause(by); pause != nil {
		return nil, nil, pause
	}
	return optionalTime(at), by, nil
}

// PauseOptions are the options of [Client.PauseQueue]. A nil struct means the defaults.
type PauseOptions struct {
	Reason string // for people; at most 1000 characters
	DryRun bool   // change nothing, and return what the call would do
}

// A PauseResult is what [Client.PauseQueue] did.
type PauseResult struct {
	DryRun bool   `json:"dry_run"`
	Queue  string `json:"queue"`
	Pause  Pause  `json:"pause"`
	// Already is true if the queue was paused before. Pause is then that pause, and nothing
	// was changed.
	Already bool `json:"already"`
	Added   bool `json:"added"` // there was no such queue, and the call added it
	// HeldBy and HeldSince are the lock that a worker had on the queue. It finishes its job.
	HeldBy    *string    `json:"held_by"`
	HeldSince *time.Time `json:"held_since"`
}

// PauseQueue pauses a queue: workers take no more jobs of it until [Client.ResumeQueue]. A
// job that a worker has already taken is finished, also one that waits in the local queue
// of a worker. Jobs can still be added to the queue, and changed.
//
// A pause is a lock on the row of the queue until infinity, with the name from [WithActor],
// the time and the reason. The call adds a queue that does not exist. A queue that is paused
// keeps its pause.
func (c *Client) PauseQueue(ctx context.Context, queue string, options *PauseOptions) (result *PauseResult, err error) {
	const call = "pause queue"
	if options == nil {
		options = &PauseOptions{}
	}
	done := c.log(ctx, call, options.DryRun)
	defer func() { done(result, err) }()
	var f faults
	f.text("queue_name", queue, 128)
	f.text("reason", options.Reason, 1000)
	f.text("actor", Actor(ctx), 1000)
	if err := f.err(call); err != nil {
		return nil, err
	}
	need := updateQueues
	if options.DryRun {
		c, need = c.onReader(), readJobs
	}
	if err := c.ready(ctx, need); err != nil {
		return nil, c.failure(call, err)
	}
	pause := func(c *Client) (err error) {
		result, err = c.pauseQueue(ctx, queue, options)
		return err
	}
	err = c.retryOnDeadlock(func() error {
		if options.DryRun {
			return pause(c)
		}
		return c.batch(ctx, pause)
	})
	if err == nil && result.Added {
		err = c.recheck(ctx, need) // row security may hide the queue
	}
	if err != nil {
		return nil, c.failure(call, sentAs(Sent{Queues: 1}, err))
	}
	return result, nil
}

func (c *Client) pauseQueue(ctx context.Context, queue string, options *PauseOptions) (*PauseResult, error) {
	result := &PauseResult{DryRun: options.DryRun, Queue: queue, Pause: Pause{By: Actor(ctx), Reason: options.Reason}}
	var err error
	if result.Pause.Since, err = c.now(ctx, c.conn); err != nil {
		return nil, err
	}
	found, err := c.lockQueue(ctx, queue, options.DryRun)
	if err != nil {
		return nil, err
	}
	if found == nil {
		result.Added = true
		if options.DryRun {
			return result, nil
		}
		if _, err := c.ensureQueue(ctx, queue); err != nil {
			return nil, err
		}
		if found, err = c.lockQueue(ctx, queue, false); err != nil {
			return nil, err
		}
		if found == nil {
			return nil, fmt.Errorf("%w: another transaction has deleted the queue: try again", ErrContended)
		}
	}
	at, by, pause := queueLock(found.LockedAt, found.LockedBy)
	if pause != nil {
		result.Already, result.Pause = true, *pause
		return result, nil
	}
	result.HeldBy, result.HeldSince = by, at
	if options.DryRun {
		return result, nil
	}
	lock, err := result.Pause.lock()
	if err != nil {
		return nil, err
	}
	return result, c.queries.QueueSet(ctx, c.conn, db.QueueSetParams{
		ID: found.ID, LockedAt: pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}, LockedBy: &lock,
	})
}

// lockQueue locks the row of a queue, unless it is only to be read. It returns nil if there
// is no such queue.
func (c *Client) lockQueue(ctx context.Context, queue string, read bool) (*db.QueueLockRow, error) {
	var rows []db.QueueLockRow
	var err error
	if read {
		var found []db.QueueGetRow
		found, err = c.queries.QueueGet(ctx, c.conn, db.QueueGetParams{QueueName: queue})
		rows = rowsOf(found, func(r db.QueueGetRow) db.QueueLockRow { return db.QueueLockRow(r) })
	} else {
		rows, err = c.queries.QueueLock(ctx, c.conn, db.QueueLockParams{QueueName: queue})
	}
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// ResumeOptions are the options of [Client.ResumeQueue]. A nil struct means the defaults.
type ResumeOptions struct {
	DryRun bool // change nothing, and return what the call would do
}

// A ResumeResult is what [Client.ResumeQueue] did.
type ResumeResult struct {
	DryRun bool   `json:"dry_run"`
	Queue  string `json:"queue"`
	Found  bool   `json:"found"` // there is such a queue
	// Pause is the pause that the call has ended. It is nil if the queue was not paused, and
	// then nothing was changed.
	Pause *Pause `json:"pause"`
	// Running is the job of the queue that a worker still holds. The next job starts when it
	// has finished. It is nil if there is none.
	Running *RunningJob `json:"running"`
}

// A RunningJob is a job that a worker holds.
type RunningJob struct {
	ID       int64     `json:"id"`
	LockedBy string    `json:"locked_by"`
	LockedAt time.Time `json:"locked_at"`
}

// ResumeQueue ends the pause of a queue. If a worker still holds a job of the queue, the
// call gives the lock of the queue back to this worker, and no other job starts beside it.
// Otherwise workers take the next job at once. The call reads the whole table of jobs to
// find that job, unless there is an index for it: see package migrations.
//
// A worker may finish its job at the moment when it gets the lock back, and then leave the
// lock behind. So the call waits until the statements that were under way have ended, at
// most a few seconds, and clears such a lock. If there is an error together with a result,
// the queue is resumed, and this was not done: the lock may last until it is stale.
//
// In the caller's transaction the call cannot do this. If a worker holds a job of the queue
// the error then matches [ErrContended], and nothing is changed.
func (c *Client) ResumeQueue(ctx context.Context, queue string, options *ResumeOptions) (result *ResumeResult, err error) {
	const call = "resume queue"
	if options == nil {
		options = &ResumeOptions{}
	}
	done := c.log(ctx, call, options.DryRun)
	defer func() { done(result, err) }()
	var f faults
	f.text("queue_name", queue, 128)
	if err := f.err(call); err != nil {
		return nil, err
	}
	need := updateQueues
	if options.DryRun {
		c, need = c.onReader(), readJobs
	}
	if err := c.ready(ctx, need); err != nil {
		return nil, c.failure(call, err)
	}
	whole := !c.inTransaction()
	var held *heldQueue
	resume := func(c *Client) (err error) {
		result, held, err = c.resumeQueue(ctx, queue, options.DryRun, whole)
		return err
	}
	err = c.retryOnDeadlock(func() error {
		if options.DryRun {
			return resume(c)
		}
		return c.batch(ctx, resume)
	})
	if err == nil && !result.Found {
		err = c.recheck(ctx, need)
	}
	if err != nil {
		return nil, c.failure(call, sentAs(Sent{Queues: 1}, err))
	}
	if held != nil {
		err = c.settleQueue(ctx, *held)
	}
	return result, c.failure(call, err)
}

// A heldQueue is a queue whose lock was given back to the worker that holds a job.
type heldQueue struct {
	id  int32
	job db.QueueHolderRow
}

func (c *Client) resumeQueue(ctx context.Context, queue string, dryRun, whole bool) (*ResumeResult, *heldQueue, error) {
	result := &ResumeResult{DryRun: dryRun, Queue: queue}
	found, err := c.lockQueue(ctx, queue, dryRun)
	if err != nil || found == nil {
		return result, nil, err
	}
	result.Found, result.Pause = true, newPause(found.LockedBy)
	if result.Pause == nil {
		return result, nil, nil
	}
	// No worker takes a job of the queue until the transaction ends: the locked jobs only
	// become fewer.
	jobs, err := c.queries.QueueHolder(ctx, c.conn, db.QueueHolderParams{ID: found.ID})
	if err != nil {
		return nil, nil, err
	}
	set := db.QueueSetParams{ID: found.ID}
	var held *heldQueue
	if len(jobs) > 0 {
		result.Running = &RunningJob{ID: jobs[0].ID, LockedBy: jobs[0].LockedBy, LockedAt: newTime(jobs[0].LockedAt)}
		set.LockedAt, set.LockedBy = jobs[0].LockedAt, &jobs[0].LockedBy
		held = &heldQueue{found.ID, jobs[0]}
	}
	switch {
	case dryRun:
		return result, nil, nil
	case held != nil && !whole:
		return nil, nil, fmt.Errorf("%w: a worker holds job %d of the queue: resume the queue outside of a transaction, or when the job has finished", ErrContended, held.job.ID)
	}
	return result, held, c.queries.QueueSet(ctx, c.conn, set)
}

// settleTime is how long ResumeQueue waits for the statements of other sessions.
const settleTime = 5 * time.Second

// settleQueue clears the lock that was given back to a worker whose job has finished at
// that moment: the worker's statement had begun before and still saw the pause, so that it
// left the lock of the queue alone. Only statements that were under way can do this. They
// have locked the table of queues.
func (c *Client) settleQueue(ctx context.Context, held heldQueue) error {
	before, err := c.queries.QueueWriters(ctx, c.conn)
	for deadline := time.Now().Add(settleTime); err == nil && len(before) > 0 && time.Now().Before(deadline) && ctx.Err() == nil; {
		time.Sleep(10 * time.Millisecond)
		var still []string
		if still, err = c.queries.QueueWriters(ctx, c.conn); err == nil {
			before = slices.DeleteFunc(before, func(tx string) bool { return !slices.Contains(still, tx) })
		}
	}
	if err != nil {
		return err
	}
	_, err = c.queries.QueueFree(ctx, c.conn, db.QueueFreeParams{
		ID: held.id, JobID: held.job.ID, LockedAt: held.job.LockedAt, LockedBy: held.job.LockedBy,
	})
	return err
}
