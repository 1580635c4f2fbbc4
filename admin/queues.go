package admin

import (
	"context"

	"github.com/gwadmin/gwadmin/db"
)

// ListQueuesOptions select the queues of [Client.ListQueues]. A nil struct or the zero value
// selects the first 100 queues by name.
type ListQueuesOptions struct {
	Prefix string // what the name begins with
	After  string // only the queues whose names come after this one: the last of the page before
	Locked bool   // only the queues that a worker holds, and those that are paused
	Limit  int    // the greatest number of queues, 1 to MaxPageSize; 0: 100
}

// ListQueues reads a page of queues in the order of their names. It does not count their
// jobs, and so is fast however many there are: Queue.Jobs is nil.
func (c *Client) ListQueues(ctx context.Context, options *ListQueuesOptions) ([]Queue, error) {
	const call = "list queues"
	if options == nil {
		options = &ListQueuesOptions{}
	}
	var f faults
	f.text("prefix", options.Prefix, anyLength)
	f.text("after", options.After, anyLength)
	limit := options.Limit
	if limit == 0 {
		limit = 100
	}
	if limit < 0 || limit > MaxPageSize {
		f.add("limit", "%d is outside 0 to %d", limit, MaxPageSize)
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	if err := c.ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.QueuePage(ctx, c.reading(), db.QueuePageParams{
		Prefix: options.Prefix, After: options.After, OnlyLocked: options.Locked, MaxQueues: int32(limit),
	})
	return rowsOf(rows, func(row db.QueuePageRow) Queue {
		queue := Queue{Name: *row.QueueName}
		queue.LockedAt, queue.LockedBy, queue.Paused = queueLock(row.LockedAt, row.LockedBy)
		return queue
	}), c.failure(call, err)
}
