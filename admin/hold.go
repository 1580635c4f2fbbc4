package admin

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/db"
)

// A Hold says why a job never becomes due: [Client.HoldWhere] has put it on hold.
type Hold struct {
	By    string    `json:"by"` // who put the job on hold: see WithActor; empty: nobody was named
	Since time.Time `json:"since"`
	RunAt RunAt     `json:"run_at"` // what Job.RunAt was before, and is again after a release
}

// holdPrefix begins the locked_by of a job that is on hold. The queries have it, too.
const holdPrefix = "gwadmin:held:"

// jobLock returns the locked_by of a job as that of a worker or as a hold. A hold has ended
// if the job has another run_at now.
func jobLock(row jobRow) (*string, *Hold) {
	if row.LockedBy == nil || row.LockedAt.Valid {
		return row.LockedBy, nil
	}
	text, held := strings.CutPrefix(*row.LockedBy, holdPrefix)
	if !held {
		return row.LockedBy, nil
	}
	if row.RunAt.InfinityModifier != pgtype.Infinity {
		return nil, nil
	}
	var hold Hold
	_ = json.Unmarshal([]byte(text), &hold) // what somebody has written by hand is left out
	hold.Since = hold.Since.UTC()
	return nil, &hold
}

// HoldJobs puts the unlocked jobs among the ids on hold: no worker takes them until
// [Client.ReleaseJobs]. It sets their run_at to infinity, and keeps the old one in locked_by,
// with the name from [WithActor]: Graphile Worker does not look at locked_by of a job that is
// not locked. A job that is on hold is skipped. If there is an error, no job is changed.
//
// A job that has a key can be added again while it is on hold. As with any job, run_at is
// then that of the new job, which is not on hold, unless its run_at is infinity. It stays on hold if the job is added with
// PreserveRunAt and has no attempts, or with UnsafeDedupe. Rescheduling and retrying a job
// end a hold, too.
func (c *Client) HoldJobs(ctx context.Context, ids []int64, options *ChangeOptions) (*ChangeResult, error) {
	var f faults
	return c.changeIDs(ctx, "hold jobs", &f, ids, f.holding(ctx), options)
}

// HoldWhere puts the unlocked jobs that match the filter on hold, as [Client.HoldJobs] does.
// Jobs that are on hold do not match. It runs like [Client.CompleteWhere].
func (c *Client) HoldWhere(ctx context.Context, filter Filter, options *WhereOptions) (*ChangeResult, error) {
	var f faults
	return c.changeWhere(ctx, "hold jobs where", &f, filter, f.holding(ctx), options)
}

// ReleaseJobs ends the hold of the jobs among the ids: they get the run_at again that they
// had before. A job that is not on hold is skipped. If there is an error, no job is changed.
func (c *Client) ReleaseJobs(ctx context.Context, ids []int64, options *ChangeOptions) (*ChangeResult, error) {
	return c.changeIDs(ctx, "release jobs", &faults{}, ids, releasing, options)
}

// ReleaseWhere ends the hold of the jobs that match the filter, as [Client.ReleaseJobs] does.
// Only jobs that are on hold match. It runs like [Client.CompleteWhere].
func (c *Client) ReleaseWhere(ctx context.Context, filter Filter, options *WhereOptions) (*ChangeResult, error) {
	return c.changeWhere(ctx, "release jobs where", &faults{}, filter, releasing, options)
}

func (f *faults) holding(ctx context.Context) action {
	actor := Actor(ctx)
	f.text("actor", actor, 1000)
	return whole(new(false), func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error) {
		rows, err := c.queries.JobHold(ctx, c.conn, db.JobHoldParams{Ids: ids, Actor: actor})
		return rowsOf(rows, func(r db.JobHoldRow) jobRow { return jobRow(r) }), err
	})
}

var releasing = whole(new(true), func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error) {
	rows, err := c.queries.JobRelease(ctx, c.conn, db.JobReleaseParams{Ids: ids})
	return rowsOf(rows, func(r db.JobReleaseRow) jobRow { return jobRow(r) }), err
})

// whole returns an action on jobs that are on hold, or that are not. Its query always
// returns whole jobs.
func whole(onHold *bool, jobs func(ctx context.Context, c *Client, ids []int64) ([]jobRow, error)) action {
	return action{onHold: onHold, jobs: jobs, ids: func(ctx context.Context, c *Client, ids []int64) ([]int64, error) {
		rows, err := jobs(ctx, c, ids)
		return rowsOf(rows, func(row jobRow) int64 { return row.ID }), err
	}}
}
