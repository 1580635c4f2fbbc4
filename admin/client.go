// Package admin administers a Graphile Worker job queue from Go: it adds jobs,
// completes, fails, reschedules, retries and removes them, unlocks dead workers
// and cleans up. The jobs themselves are run by JavaScript Graphile Workers.
//
// Calls run the typed queries of package db. Jobs are added and changed by the SQL
// functions of the schema. An option that is nil leaves its column as it is; a zero is
// a value. Bad input is refused with an [*InvalidError] before anything is sent.
//
// A job that a worker holds is never changed. Calls on many jobs count what they left
// alone by reason, and name it: see [ChangeResult]. A lock older than [StaleAfter]
// counts as none, as it does for Graphile Worker.
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

// StaleAfter is the age at which Graphile Worker takes a lock for that of a dead worker.
const StaleAfter = 4 * time.Hour

// DB is what a [Client] works on: a *pgxpool.Pool, a *pgx.Conn or a pgx.Tx.
type DB interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// A Client administers one schema. A client on a pool is safe for concurrent use. A
// client on a connection or a transaction is not, because these are not.
type Client struct {
	conn    renamed
	reader  DB // nil: that of conn
	queries *db.Queries
	found   *atomic.Pointer[db.InstallationGetRow] // what check found; shared with clients made by WithTx
	err     error                                  // the error of every call
}

// An Option configures the client that [New] returns.
type Option func(*Client)

// WithSchema sets the schema that Graphile Worker is installed in. The name is not
// quoted: "my schema". The default is graphile_worker.
func WithSchema(name string) Option {
	return func(c *Client) { c.conn.schema = name }
}

// WithReader sends the calls that only read, such as [Client.ListJobs], [Client.GetJob]
// and [Client.Stats], to another database, such as a pool on a read replica. After
// [Client.WithTx] they read in the transaction instead.
func WithReader(reader DB) Option {
	return func(c *Client) { c.reader = reader }
}

// New returns a client on a pool, a connection or a transaction. It does not connect. A
// nil database or an invalid schema name is the error of every call.
//
// The first call checks once that the client supports the schema; see [Client.Check].
// The client works through a transaction-mode pooler with any of pgx's query execution
// modes that the pooler allows.
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

// WithTx returns a client like this one whose calls are part of the transaction. They
// take effect when the caller commits it.
func (c *Client) WithTx(tx pgx.Tx) *Client {
	inside := *c
	inside.conn.db, inside.reader = tx, nil
	if isNil(tx) {
		inside.err = errors.New("admin client: the transaction is nil")
	}
	return &inside
}

// isNil reports whether on is nil or holds a nil pointer.
func isNil(on any) bool {
	v := reflect.ValueOf(on)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}
