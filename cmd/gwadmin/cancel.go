package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// cancelWait is how long a statement that is cancelled waits for PostgreSQL to say so. Then
// its connection is closed, and its outcome is unknown.
const cancelWait = 2 * time.Second

// A canceler asks PostgreSQL to cancel a statement whose context has ended. By default pgx
// closes the connection, and leaves the outcome unknown.
//
// pgx's own handler that does this closes the request's connection as soon as the statement
// has ended. PgBouncer 1.18, which Debian 12 has, crashes then.
type canceler struct {
	conn *pgconn.PgConn
	sent chan struct{} // closed when the request has been answered
}

// HandleCancel implements [ctxwatch.Handler].
func (c *canceler) HandleCancel(context.Context) {
	_ = c.conn.Conn().SetDeadline(time.Now().Add(cancelWait))
	sent := make(chan struct{})
	c.sent = sent
	go func() {
		defer close(sent)
		ctx, cancel := context.WithTimeout(context.Background(), 10*cancelWait)
		defer cancel()
		_ = c.conn.CancelRequest(ctx)
	}()
}

// HandleUnwatchAfterCancel implements [ctxwatch.Handler].
func (c *canceler) HandleUnwatchAfterCancel() {
	select {
	case <-c.sent:
	case <-time.After(cancelWait):
	}
	_ = c.conn.Conn().SetDeadline(time.Time{})
}
