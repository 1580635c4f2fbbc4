package admin

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/db"
)

// TaskIdentifiers returns the identifiers of all tasks, sorted. It does not read the jobs.
func (c *Client) TaskIdentifiers(ctx context.Context) ([]string, error) {
	const call = "task identifiers"
	if err := c.onReader().ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	identifiers, err := c.queries.TaskIdentifiers(ctx, c.reading())
	return identifiers, c.failure(call, err)
}

// QueueNames returns the names of the queues that start with the prefix, sorted, and at
// most limit of them. A limit of 0 means no limit. It does not read the jobs.
func (c *Client) QueueNames(ctx context.Context, prefix string, limit int) ([]string, error) {
	const call = "queue names"
	var f faults
	f.text("prefix", prefix, anyLength)
	if limit < 0 || limit > math.MaxInt32 {
		f.add("limit", "%d is outside 0 to %d", limit, math.MaxInt32)
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = math.MaxInt32
	}
	if err := c.onReader().ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	names, err := c.queries.QueueNamesFrom(ctx, c.reading(), db.QueueNamesFromParams{Prefix: prefix, MaxNames: int32(limit)})
	return rowsOf(names, func(name *string) string { return *name }), c.failure(call, err)
}

// Now returns the time of the database's clock in UTC. This clock decides when jobs run.
func (c *Client) Now(ctx context.Context) (time.Time, error) {
	if c.err != nil {
		return time.Time{}, c.err
	}
	now, err := c.now(ctx, c.reading())
	return now, c.failure("now", err)
}

func (c *Client) now(ctx context.Context, on db.DBTX) (time.Time, error) {
	now, err := c.queries.TimeNow(ctx, on)
	return pgtype.Timestamptz(now).Time.UTC(), err
}
