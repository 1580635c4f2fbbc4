package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// UnlockOptions are the options of [Client.ForceUnlockWorkers]. A nil struct means the
// defaults.
type UnlockOptions struct {
	DryRun bool // change nothing, and return what the call would do
}

// WorkerLocks are the locks that a worker held.
type WorkerLocks struct {
	WorkerID string     `json:"worker_id"`
	Jobs     int64      `json:"jobs"`
	Queues   int64      `json:"queues"`
	Oldest   *time.Time `json:"oldest"` // the time of the oldest of these locks, in UTC
	Newest   *time.Time `json:"newest"` // the time of the newest: the worker was alive then
	// NewestAge is the age of the newest lock, by the database's clock.
	NewestAge time.Duration `json:"-"`
}

// An UnlockResult is what [Client.ForceUnlockWorkers] did for each id, in the order of the
// ids that it was given.
type UnlockResult struct {
	Unlocked []WorkerLocks `json:"unlocked"` // the workers that held locks, with the cleared locks
	Idle     []string      `json:"idle"`     // the workers that held no lock
}

// ForceUnlockWorkers clears every lock of the workers, on jobs and on queues, by the SQL
// function force_unlock_workers. The ids are those of [Job.LockedBy].
//
// It does not end the pause of a queue or the hold of a job. Use it only for dead workers. A live worker continues its job, and another worker starts
// the same job at the same time. Attempts do not change: the interrupted attempt counts.
// The rows are locked and counted before they are unlocked. If a live worker takes a job or
// a queue in the meantime, its lock is cleared and not counted.
func (c *Client) ForceUnlockWorkers(ctx context.Context, workerIDs []string, options *UnlockOptions) (result *UnlockResult, err error) {
	const call = "force unlock workers"
	done := c.log(ctx, call, options != nil && options.DryRun)
	defer func() { done(result, err) }()
	var f faults
	seen := map[string]bool{}
	var ids []string
	for i, id := range workerIDs {
		f.text(fmt.Sprintf("worker_ids[%d]", i), id, anyLength)
		switch {
		case strings.HasPrefix(id, pausePrefix):
			f.add(fmt.Sprintf("worker_ids[%d]", i), "is the pause of a queue, not a worker: use ResumeQueue")
		case strings.HasPrefix(id, holdPrefix):
			f.add(fmt.Sprintf("worker_ids[%d]", i), "is the hold of a job, not a worker: use ReleaseJobs")
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	need := unlockAny
	if options != nil && options.DryRun {
		need = readJobs
	}
	if err := c.ready(ctx, need); err != nil {
		return nil, c.failure(call, err)
	}
	result = &UnlockResult{Unlocked: []WorkerLocks{}, Idle: []string{}}
	if len(ids) == 0 {
		return result, nil
	}

	var rows []db.WorkerUnlockRow
	err = c.retryOnDeadlock(func() (err error) {
		if options != nil && options.DryRun {
			held, err := c.queries.WorkerLocks(ctx, c.conn, db.WorkerLocksParams{WorkerIds: ids})
			rows = rowsOf(held, func(r db.WorkerLocksRow) db.WorkerUnlockRow { return db.WorkerUnlockRow(r) })
			return err
		}
		rows, err = changing(ctx, c, func(c *Client) ([]db.WorkerUnlockRow, error) {
			return c.queries.WorkerUnlock(ctx, c.conn, db.WorkerUnlockParams{WorkerIds: ids})
		})
		return err
	})
	if err != nil {
		return nil, c.failure(call, sentAs(Sent{Workers: len(ids)}, err))
	}
	held := map[string]db.WorkerUnlockRow{}
	for _, row := range rows {
		held[row.WorkerID] = row
	}
	for _, id := range ids {
		row := held[id]
		if row.Jobs == 0 && row.Queues == 0 {
			result.Idle = append(result.Idle, id)
			continue
		}
		result.Unlocked = append(result.Unlocked, WorkerLocks{
			WorkerID: id, Jobs: row.Jobs, Queues: row.Queues,
			Oldest: optionalTime(row.Oldest), Newest: optionalTime(row.Newest), NewestAge: seconds(row.NewestAge),
		})
	}
	if len(result.Unlocked) == 0 {
		if err := c.recheck(ctx, need); err != nil {
			return nil, c.failure(call, err)
		}
	}
	return result, nil
}
