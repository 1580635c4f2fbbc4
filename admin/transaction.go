package admin

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// atomically runs fn in a transaction, or in a savepoint if the client is in one.
func (c *Client) atomically(ctx context.Context, fn func(*Client) error) error {
	return c.transaction(ctx, c.conn.db.Begin, fn)
}

// batch runs fn as atomically does, in a read committed transaction.
func (c *Client) batch(ctx context.Context, fn func(*Client) error) error {
	begin := c.conn.db.Begin
	if on, ok := c.conn.db.(interface {
		BeginTx(context.Context, pgx.TxOptions) (pgx.Tx, error)
	}); ok {
		begin = func(ctx context.Context) (pgx.Tx, error) {
			return on.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		}
	}
	return c.transaction(ctx, begin, fn)
}

// transaction runs fn in a transaction that begin starts. If somebody has begun a
// transaction on the connection by hand, fn runs in a savepoint of that.
func (c *Client) transaction(ctx context.Context, begin func(context.Context) (pgx.Tx, error), fn func(*Client) error) error {
	if _, begun := c.conn.db.(pgx.Tx); !begun && c.inTransaction() {
		return c.savepoint(ctx, fn)
	}
	tx, err := begin(ctx)
	if err != nil {
		return err
	}
	// A cancelled COMMIT would leave its outcome unknown.
	uncancelled := context.WithoutCancel(ctx)
	defer func() { _ = tx.Rollback(uncancelled) }() // does nothing after the commit
	if err := fn(c.WithTx(tx)); err != nil {
		return err
	}
	return tx.Commit(uncancelled)
}

func (c *Client) savepoint(ctx context.Context, fn func(*Client) error) (err error) {
	if _, err := c.conn.db.Exec(ctx, "savepoint gwadmin"); err != nil {
		return err
	}
	uncancelled := context.WithoutCancel(ctx)
	done := false
	defer func() {
		if !done { // also after a panic
			_, _ = c.conn.db.Exec(uncancelled, "rollback to savepoint gwadmin")
		}
		if _, releaseErr := c.conn.db.Exec(uncancelled, "release savepoint gwadmin"); err == nil {
			err = releaseErr
		}
	}()
	inside := *c
	inside.reader = nil // which does not see what the transaction has changed
	if err := fn(&inside); err != nil {
		return err
	}
	done = true
	return nil
}

// tries is how often a call is repeated when another transaction was in its way.
const tries = 5

// retryOnDeadlock runs fn again if it was the victim of a deadlock, or of a
// serialization failure where that is the default isolation level. Inside the caller's
// transaction it does not: the caller must begin again.
func (c *Client) retryOnDeadlock(fn func() error) error {
	for try := 1; ; try++ {
		err := fn()
		var pgErr *pgconn.PgError
		if try == tries || c.inTransaction() || !errors.As(err, &pgErr) || pgErr.Code != "40P01" && pgErr.Code != "40001" {
			return err
		}
	}
}

func (c *Client) inTransaction() bool {
	switch on := c.conn.db.(type) {
	case pgx.Tx:
		return true
	case interface{ PgConn() *pgconn.PgConn }:
		return on.PgConn().TxStatus() != 'I'
	case interface{ Conn() *pgx.Conn }:
		return on.Conn().PgConn().TxStatus() != 'I'
	}
	return false
}
