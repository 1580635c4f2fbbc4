// Package admin administers a Graphile Worker job queue from Go: it adds, completes, fails,
// reschedules, retries and removes jobs, unlocks dead workers and cleans up. JavaScript
// Graphile Workers run the jobs.
//
// The calls run the typed queries of package db. They add and change jobs by the SQL
// functions of the schema. An option that is nil does not change its column. Zero is a
// value. Invalid input is refused with an [*InvalidError] before anything is sent.
//
// Calls that change jobs skip a job that a worker holds. Calls on many jobs count the
// skipped jobs by reason and list them: see [ChangeResult]. A lock older than [StaleAfter]
// is ignored, as Graphile Worker does.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// StaleAfter is the age at which Graphile Worker regards a lock as that of a dead worker.
const StaleAfter = 4 * time.Hour

// DB is what a [Client] works on: a *pgxpool.Pool, a *pgx.Conn or a pgx.Tx, or what [SQL]
// makes of a *sql.DB, a *sql.Conn or a *sql.Tx.
type DB interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// A Client administers one schema. A client on a pool is safe for concurrent use. A client
// on a connection or a transaction is not.
type Client struct {
	conn    renamed
	reader  DB // nil: the database of conn
	queries *db.Queries
	logger  *slog.Logger                           // nil: no records
	grace   time.Duration                          // of a COMMIT after its context has ended
	found   *atomic.Pointer[db.InstallationGetRow] // the result of check; shared with the clients that WithTx returns
	read    *atomic.Pointer[db.InstallationGetRow] // the result of check on reader
	err     error                                  // if not nil, every call returns it
}

// An Option configures the client that [New] returns.
type Option func(*Client)

// WithSchema sets the schema that Graphile Worker is installed in. Give the name without
// SQL quotes. The default is graphile_worker.
func WithSchema(name string) Option {
	return func(c *Client) { c.conn.schema = name }
}

// WithReader sends the calls that only read, such as [Client.ListJobs], [Client.GetJob] and
// [Client.Stats], to another database, such as a pool on a read replica. They do not need the
// primary. After [Client.WithTx] these calls read in the transaction.
func WithReader(reader DB) Option {
	return func(c *Client) { c.reader = reader }
}

// New returns a client on a pool, a connection or a transaction. It does not connect. If the
// database is nil or the schema name is invalid, every call returns an error.
//
// The first call checks that the client supports the schema: see [Client.Check]. The client
// works through a transaction-mode pooler with any query execution mode of pgx that the
// pooler allows.
func New(on DB, options ...Option) *Client {
	c := &Client{
		conn:    renamed{db: on, schema: graphile.DefaultSchema, names: &sync.Map{}},
		queries: db.New(),
		grace:   CommitGrace,
		found:   &atomic.Pointer[db.InstallationGetRow]{},
		read:    &atomic.Pointer[db.InstallationGetRow]{},
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

// DB returns the database that the client works on.
func (c *Client) DB() DB { return c.conn.db }

// Reader returns the database that [WithReader] has set, or nil.
func (c *Client) Reader() DB { return c.reader }

// Schema returns the name of the schema that the client administers.
func (c *Client) Schema() string { return c.conn.schema }

// WithTx returns a copy of the client that works in the transaction: a pgx.Tx, or [SQL] of
// a *sql.Tx. Its changes take effect when the caller commits the transaction. If tx is
// anything else, every call returns an error.
func (c *Client) WithTx(tx DB) *Client {
	inside := *c
	inside.conn.db, inside.reader = tx, nil
	if isNil(tx) {
		inside.err = errors.New("admin client: the transaction is nil")
	} else if _, ok := tx.(pgx.Tx); !ok {
		inside.err = fmt.Errorf("admin client: WithTx needs a pgx.Tx, or SQL of a *sql.Tx, not %T", tx)
	} else if on, ok := tx.(sqlTx); ok && c.err == nil && on.config.Load() == nil {
		on.config.Store(connConfig(c.conn.db))
	}
	return &inside
}

// isNil reports whether on is nil or holds a nil pointer.
func isNil(on any) bool {
	v := reflect.ValueOf(on)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}
