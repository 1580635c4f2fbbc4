package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// batchSize bounds the jobs of one statement, and so the server's memory for it.
const batchSize = 5000

// A Result says what a call on many jobs did. Every id that was asked for is counted
// once, as changed or in Skipped. All lists are in the order of their ids.
type Result struct {
	Changed int64 `json:"changed"` // how many were; in a dry run, would be
	// Jobs are the changed jobs as they are now; for CompleteJobs as they
	// were when they were deleted, and in a dry run as they are. They are empty where
	// something less was asked for than ReturnJobs.
	Jobs []Job `json:"jobs"`
	// IDs are the ids of the changed jobs, where ReturnIDs asked for them.
	IDs []int64 `json:"ids,omitempty"`
	// Skipped are the ids that were left alone.
	Skipped []Skip `json:"skipped"`
}

// Returning says what a call on many jobs returns of those it changed. Whole jobs are
// most of such a call's time when they are thousands.
type Returning int

const (
	ReturnJobs  Returning = iota // Result.Jobs; the default
	ReturnIDs                    // Result.IDs
	ReturnCount                  // Result.Changed alone
)

// A Skip is an id that a call left alone, and why.
type Skip struct {
	ID     int64      `json:"id"`
	Reason SkipReason `json:"reason"`
	// LockedBy and LockedAt say who holds the job since when, if Reason is Locked.
	LockedBy *string    `json:"locked_by,omitempty"`
	LockedAt *time.Time `json:"locked_at,omitempty"`
}

// SkipReason says why a job was left alone.
type SkipReason string

const (
	NotFound SkipReason = "not found" // no job has the id
	Locked   SkipReason = "locked"    // a worker holds it
	// Contended means that it was locked when its turn came and is not any
	// more. The call may be made again.
	Contended SkipReason = "contended"
)

// String names the id and the reason, and for a locked job who holds it since when.
func (s Skip) String() string {
	text := fmt.Sprintf("%d: %s", s.ID, s.Reason)
	if s.LockedBy != nil {
		text += " by " + *s.LockedBy
	}
	if s.LockedAt != nil {
		text += " since " + s.LockedAt.Format(time.RFC3339)
	}
	return text
}

// jobRow is a job with the names of its task and queue.
type jobRow = db.JobCompleteRow

func jobRows[R any](rows []R, convert func(R) jobRow) []jobRow {
	converted := make([]jobRow, len(rows))
	for i, row := range rows {
		converted[i] = convert(row)
	}
	return converted
}

// A change is what a call does to the jobs of a batch of ids: it returns those that it
// changed, or their ids alone.
type change struct {
	need right
	jobs func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error)
	ids  func(ctx context.Context, c *Client, ids []int64) ([]int64, error)
}

// change makes the change on all the ids, in batches and one transaction when they are
// many.
func (c *Client) change(ctx context.Context, call string, ids []int64, change change, want Returning, dry bool) (*Result, error) {
	var f faults
	if want < ReturnJobs || want > ReturnCount {
		f.add("return", "%d is none of ReturnJobs, ReturnIDs, ReturnCount", want)
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	need := change.need
	if dry {
		need = readJobs
	}
	if err := c.ready(ctx, need); err != nil {
		return nil, c.failure(call, err)
	}
	// In the order of the ids neighbours share pages, and calls seldom deadlock.
	ids = sortedIDs(ids)
	var result *Result
	once := func(c *Client, ids []int64) error {
		if dry {
			return c.lookBatch(ctx, result, ids, want)
		}
		return c.changeBatch(ctx, result, ids, change, want)
	}
	err := c.undisturbed(func() error {
		result = &Result{Jobs: []Job{}, Skipped: []Skip{}}
		switch {
		case len(ids) == 0:
			return nil
		case len(ids) <= batchSize:
			return once(c, ids)
		}
		return c.atomically(ctx, func(c *Client) error {
			for batch := range slices.Chunk(ids, batchSize) {
				if err := once(c, batch); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err == nil {
		err = c.explain(ctx, result, need)
	}
	if err != nil {
		return nil, c.failure(call, err)
	}
	return result, nil
}

// changeBatch makes the change in one statement. A second, reading one says of the ids
// that it left alone what had become of them.
func (c *Client) changeBatch(ctx context.Context, result *Result, ids []int64, change change, want Returning) error {
	var left []int64
	if want == ReturnJobs {
		rows, err := change.jobs(ctx, c, ids)
		if err != nil {
			return err
		}
		slices.SortFunc(rows, func(a, b jobRow) int { return cmp.Compare(a.ID, b.ID) })
		result.Changed += int64(len(rows))
		result.Jobs = slices.Grow(result.Jobs, len(rows))
		for i := range rows {
			result.Jobs = append(result.Jobs, newJob(rows[i]))
		}
		left = without(ids, rows, func(row jobRow) int64 { return row.ID })
	} else {
		changed, err := change.ids(ctx, c, ids)
		if err != nil {
			return err
		}
		slices.Sort(changed)
		result.Changed += int64(len(changed))
		if want == ReturnIDs {
			result.IDs = append(result.IDs, changed...)
		}
		left = without(ids, changed, func(id int64) int64 { return id })
	}
	if len(left) == 0 {
		return nil
	}

	found, err := c.look(ctx, left)
	if err != nil {
		if c.inTransaction() {
			return err
		}
		// What is done is done, and must not be lost with the error.
		for _, id := range left {
			result.Skipped = append(result.Skipped, Skip{ID: id, Reason: Contended})
		}
		return nil
	}
	for i := range found {
		result.Skipped = append(result.Skipped, found[i].skip())
	}
	return nil
}

// lookBatch says what changing the jobs would do.
func (c *Client) lookBatch(ctx context.Context, result *Result, ids []int64, want Returning) error {
	found, err := c.look(ctx, ids)
	if err != nil {
		return err
	}
	for i := range found {
		row := &found[i]
		if !row.Found || row.Held {
			result.Skipped = append(result.Skipped, row.skip())
			continue
		}
		result.Changed++
		switch want {
		case ReturnJobs:
			result.Jobs = append(result.Jobs, newJob(row.job()))
		case ReturnIDs:
			result.IDs = append(result.IDs, row.ID)
		}
	}
	return nil
}

// sortedIDs returns the ids in order, each once, and leaves the caller's as they are.
func sortedIDs(ids []int64) []int64 {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// without returns the ids that no row has; both are sorted by id.
func without[R any](ids []int64, rows []R, of func(R) int64) []int64 {
	if len(rows) == len(ids) {
		return nil
	}
	var left []int64
	for _, id := range ids {
		if len(rows) > 0 && of(rows[0]) == id {
			rows = rows[1:]
		} else {
			left = append(left, id)
		}
	}
	return left
}

// A lookRow is what there is of an id.
type lookRow db.JobPreviewRow

// look reads what there is of the sorted ids, in their order.
func (c *Client) look(ctx context.Context, ids []int64) ([]lookRow, error) {
	rows, err := c.queries.JobPreview(ctx, c.conn, db.JobPreviewParams{Ids: ids})
	found := make([]lookRow, len(rows))
	for i, row := range rows {
		found[i] = lookRow(row)
	}
	slices.SortFunc(found, func(a, b lookRow) int { return cmp.Compare(a.ID, b.ID) })
	return found, err
}

// skip says why a call left the job alone. One that could be changed by now was held
// when its turn came.
func (r *lookRow) skip() Skip {
	switch {
	case !r.Found:
		return Skip{ID: r.ID, Reason: NotFound}
	case r.Held:
		return Skip{ID: r.ID, Reason: Locked, LockedBy: r.LockedBy, LockedAt: utc(r.LockedAt)}
	}
	return Skip{ID: r.ID, Reason: Contended}
}

func (r *lookRow) job() jobRow {
	return jobRow{
		ID:             r.ID,
		TaskIdentifier: r.TaskIdentifier,
		QueueName:      r.QueueName,
		Payload:        r.Payload,
		Priority:       r.Priority,
		RunAt:          r.RunAt,
		Attempts:       r.Attempts,
		MaxAttempts:    r.MaxAttempts,
		LastError:      r.LastError,
		CreatedAt:      r.CreatedAt,
		UpdatedAt:      r.UpdatedAt,
		Key:            r.Key,
		LockedAt:       r.LockedAt,
		LockedBy:       r.LockedBy,
		Revision:       r.Revision,
		Flags:          r.Flags,
	}
}

// explain makes sure, where nothing was changed, that it was not row security that
// left the jobs alone.
func (c *Client) explain(ctx context.Context, result *Result, need right) error {
	if result.Changed > 0 {
		return nil
	}
	for _, skip := range result.Skipped {
		if skip.Reason == Contended || skip.Reason == NotFound {
			return c.recheck(ctx, need)
		}
	}
	return nil
}
