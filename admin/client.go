// Package admin administers a Graphile Worker job queue from Go: it adds jobs,
// completes, fails, reschedules, retries and removes them, unlocks dead workers
// and cleans up. The jobs themselves are run by JavaScript Graphile Workers.
//
// Every call is one typed query of package db, and so one SQL function of the
// schema. Options left nil are left as they are in the database; a zero is a
// value. Bad input is refused with an [*InvalidError] before anything is sent.
//
// A job that a worker holds is never changed: calls on many jobs report each id
// they left alone, and why, in the Skipped of their result. A lock older than
// [StaleAfter] counts as none, as it does for Graphile Worker.
package admin

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/db"
	"github.com/gwadmin/gwadmin/internal/graphile"
)

// StaleAfter is the age from which Graphile Worker takes a lock for a dead worker's.
const StaleAfter = 4 * time.Hour

// DB is what a [Client] works on: a *pgxpool.Pool, a *pgx.Conn or a pgx.Tx.
type DB interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// A Client administers one schema. On a pool it may be used from many goroutines
// at once; on a connection or a transaction only from one at a time, as these may.
type Client struct {
	conn    renamed
	reader  DB // nil: conn's
	queries *db.Queries
	found   *atomic.Pointer[db.InstallationGetRow] // by ready; shared by the clients that WithTx makes
	err     error                                  // why no call can work
}

// An Option alters what [New] makes.
type Option func(*Client)

// WithSchema sets the schema that Graphile Worker is installed in. It is written
// as it is, not quoted: "my schema". The default is graphile_worker.
func WithSchema(name string) Option {
	return func(c *Client) { c.conn.schema = name }
}

// WithReader lets [Client.ListJobs], [Client.GetJob] and the other calls that read,
// list and count work on another database, such as a pool on a read replica. Inside a transaction, after
// [Client.WithTx], they read what the transaction sees.
func WithReader(reader DB) Option {
	return func(c *Client) { c.reader = reader }
}

// New returns a client on a pool, a connection or a transaction. It connects to
// nothing: a nil database or an impossible schema name is the error of every call.
//
// With the first call the client makes sure, once, that the schema is one it
// works with; see [Client.Check]. It works through a transaction-mode pooler with
// any of pgx's query execution modes that the pooler allows.
func New(on DB, options ...Option) *Client {
	c := &Client{
		conn:    renamed{db: on, schema: graphile.DefaultSchema, names: &sync.Map{}},
		queries: db.New(),
		found:   &atomic.Pointer[db.InstallationGetRow]{},
	}
	for _, option := range options {
		if option != nil {
			option(c)
		}
	}
	if isNil(on) {
		c.err = errors.New("admin client: the database is nil")
	} else if err := graphile.CheckSchema(c.conn.schema); err != nil {
		c.err = &InvalidError{Call: "admin client", Faults: []Fault{{Field: "schema name", Problem: strings.TrimPrefix(err.Error(), "schema name ")}}}
	}
	return c
}

// Schema returns the name of the schema that the client administers.
func (c *Client) Schema() string { return c.conn.schema }

// WithTx returns a client like this one whose calls are part of a transaction:
// they happen when the caller commits it.
func (c *Client) WithTx(tx pgx.Tx) *Client {
	inside := *c
	inside.conn.db, inside.reader = tx, nil
	if isNil(tx) {
		inside.err = errors.New("admin client: the transaction is nil")
	}
	return &inside
}

// isNil also finds the nil pointer in an interface that is none.
func isNil(on any) bool {
	v := reflect.ValueOf(on)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// atomically runs fn in a transaction: a savepoint where the client already is in one.
func (c *Client) atomically(ctx context.Context, fn func(*Client) error) error {
	return c.transaction(ctx, c.conn.db.Begin, fn)
}

// batch is atomically, in a transaction in which each statement sees what others have
// committed by then.
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

// transaction runs fn in what begin begins, or in a savepoint of the transaction that
// somebody began by hand on the connection, which is not to end with it.
func (c *Client) transaction(ctx context.Context, begin func(context.Context) (pgx.Tx, error), fn func(*Client) error) error {
	if _, begun := c.conn.db.(pgx.Tx); !begun && c.inTransaction() {
		return c.savepoint(ctx, fn)
	}
	tx, err := begin(ctx)
	if err != nil {
		return err
	}
	// To be cut off while it commits would leave open whether it has.
	sure := context.WithoutCancel(ctx)
	defer func() { _ = tx.Rollback(sure) }() // of no effect after the commit
	if err := fn(c.WithTx(tx)); err != nil {
		return err
	}
	return tx.Commit(sure)
}

func (c *Client) savepoint(ctx context.Context, fn func(*Client) error) (err error) {
	if _, err := c.conn.db.Exec(ctx, "savepoint gwadmin"); err != nil {
		return err
	}
	sure := context.WithoutCancel(ctx)
	kept := false
	defer func() {
		if !kept { // after a panic, too
			_, _ = c.conn.db.Exec(sure, "rollback to savepoint gwadmin")
		}
		if _, released := c.conn.db.Exec(sure, "release savepoint gwadmin"); err == nil {
			err = released
		}
	}()
	caller := *c
	caller.reader = nil // which does not see what the transaction has changed
	if err := fn(&caller); err != nil {
		return err
	}
	kept = true
	return nil
}

// undisturbed runs fn anew when it was the victim of a deadlock, which two calls on
// the same jobs may run into. Inside the caller's transaction that is over then, and
// it is for the caller to begin anew.
func (c *Client) undisturbed(fn func() error) error {
	for try := 1; ; try++ {
		err := fn()
		var pgErr *pgconn.PgError
		if try == tries || c.inTransaction() || !errors.As(err, &pgErr) || pgErr.Code != "40P01" {
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

// renamed puts another schema's name into the queries, once for each.
type renamed struct {
	db     DB
	schema string
	names  *sync.Map // of query text to its renamed text
}

func (r renamed) text(sql string) string {
	if r.schema == graphile.DefaultSchema {
		return sql
	}
	text, ok := r.names.Load(sql)
	if !ok {
		text, _ = r.names.LoadOrStore(sql, graphile.Rename(sql, r.schema))
	}
	return text.(string)
}

func (r renamed) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return r.db.Exec(ctx, r.text(sql), args...)
}

func (r renamed) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := r.db.Query(ctx, r.text(sql), args...)
	if rows == nil {
		return nil, err
	}
	return &timeRows{Rows: rows}, err
}

func (r renamed) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return timeRow{r.db.QueryRow(ctx, r.text(sql), args...)}
}
