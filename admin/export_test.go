package admin

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/db"
)

// SetPatience sets how long a batch waits for a lock.
func (a *Adder) SetPatience(patience time.Duration) { a.patience = patience }

// Queued is the number of jobs that wait for the next commits.
func (a *Adder) Queued() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.queue)
	for _, others := range a.behind {
		n += len(others)
	}
	return n
}

// ServerBurden reads what slows all workers, as Explain does.
func ServerBurden(ctx context.Context, c *Client) (db.ServerBurdenRow, error) {
	return c.queries.ServerBurden(ctx, c.conn)
}

// ExplainBurden explains a ready job on a server with an old transaction and dead rows.
func ExplainBurden(now, begun time.Time, live, dead int64) *Explanation {
	at := func(t time.Time) pgtype.Timestamptz { return pgtype.Timestamptz{Time: t, Valid: true} }
	e := &explaining{
		Explanation: &Explanation{Job: ListedJob{Job: Job{MaxAttempts: 1}, State: Ready}, Now: now, Ahead: &Ahead{}},
		burden:      db.ServerBurdenRow{Pid: 7, Begun: at(begun), LiveRows: live, DeadRows: dead, Vacuumed: at(begun)},
	}
	e.ofOthers()
	return e.Explanation
}

// SetMatchSize sets how many jobs one pass of a call by filter finds, and returns what it was.
func SetMatchSize(size int64) (before int64) {
	before, matchSize = matchSize, size
	return before
}
