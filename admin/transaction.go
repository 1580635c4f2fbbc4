package admin

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/internal/outcome"
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
	inside := c.inTransaction()
	if _, begun := c.conn.db.(pgx.Tx); !begun && inside {
		begin = func(ctx context.Context) (pgx.Tx, error) { return beginSavepoint(ctx, c.conn.db) }
	}
	tx, err := begin(ctx)
	if err != nil {
		return err
	}
	// The end of ctx does not end COMMIT, whose outcome would be unknown.
	graced, cancel := outcome.Graced(ctx, c.grace)
	defer cancel()
	defer func() { _ = tx.Rollback(graced) }() // does nothing after the commit
	if err := fn(c.WithTx(tx)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err = outcome.Commit(ctx, tx, c.grace); inside { // the caller's COMMIT decides
		return err
	}
	return unknown(err)
}

// A savepoint is one in a transaction that was begun by SQL.
type savepoint struct {
	DB
	otherTx
	closed bool
}

// otherTx has the methods of [pgx.Tx] that a client does not call.
type otherTx struct{ pgx.Tx }

// Conn returns nil, for a pgx.Tx that wraps this one.
func (otherTx) Conn() *pgx.Conn { return nil }

func beginSavepoint(ctx context.Context, on DB) (pgx.Tx, error) {
	if _, err := on.Exec(ctx, "savepoint gwadmin"); err != nil {
		return nil, err
	}
	return &savepoint{DB: on}, nil
}

func (s *savepoint) Begin(ctx context.Context) (pgx.Tx, error) { return beginSavepoint(ctx, s) }

func (s *savepoint) Commit(ctx context.Context) error {
	return s.end(ctx, "release savepoint gwadmin")
}

func (s *savepoint) Rollback(ctx context.Context) error {
	return s.end(ctx, "rollback to savepoint gwadmin; release savepoint gwadmin")
}

func (s *savepoint) end(ctx context.Context, sql string) error {
	if s.closed {
		return pgx.ErrTxClosed
	}
	s.closed = true
	_, err := s.Exec(ctx, sql)
	return err
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
		if try == tries || c.inTransaction() || !outcome.Refused(err) || !errors.As(err, &pgErr) || pgErr.Code != "40P01" && pgErr.Code != "40001" {
			return err
		}
	}
}

func (c *Client) inTransaction() bool {
	switch on := c.conn.db.(type) {
	case pgx.Tx:
		return true
	case sqlDB:
		return on.inTransaction()
	case interface{ PgConn() *pgconn.PgConn }:
		return on.PgConn().TxStatus() != 'I'
	case interface{ Conn() *pgx.Conn }:
		return on.Conn().PgConn().TxStatus() != 'I'
	}
	return false
}
