package admin

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/db"
	"github.com/gwadmin/gwadmin/internal/graphile"
)

// renamed puts the name of another schema into the queries.
type renamed struct {
	db     DB
	schema string
	names  *sync.Map // from a query's text to its renamed text
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
	return r.db.Query(ctx, r.text(sql), args...)
}

func (r renamed) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return r.db.QueryRow(ctx, r.text(sql), args...)
}

// onReader returns the client for calls that only read.
func (c *Client) onReader() *Client {
	if c.reader == nil {
		return c
	}
	reading := *c
	reading.conn.db, reading.found = c.reader, c.read
	return &reading
}

// reading is the connection of the calls that only read.
func (c *Client) reading() renamed { return c.onReader().conn }

// customPlan is the connection for a statement that needs a custom plan. A prepared
// statement may get a generic one.
func customPlan(conn renamed) db.DBTX {
	config := connConfig(conn.db)
	if config == nil || config.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement {
		return conn
	}
	if config.DescriptionCacheCapacity == 0 {
		return inMode{conn, pgx.QueryExecModeDescribeExec}
	}
	return inMode{conn, pgx.QueryExecModeCacheDescribe}
}

// inMode runs queries in a query execution mode.
type inMode struct {
	renamed
	mode pgx.QueryExecMode
}

func (m inMode) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return m.renamed.Exec(ctx, sql, append([]any{m.mode}, args...)...)
}

func (m inMode) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return m.renamed.QueryRow(ctx, sql, append([]any{m.mode}, args...)...)
}

func (m inMode) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return m.renamed.Query(ctx, sql, append([]any{m.mode}, args...)...)
}

func connConfig(on DB) *pgx.ConnConfig {
	switch on := on.(type) {
	case *savepoint:
		return connConfig(on.DB)
	case interface{ Config() *pgxpool.Config }:
		return on.Config().ConnConfig
	case interface{ Config() *pgx.ConnConfig }:
		return on.Config()
	case interface{ Conn() *pgx.Conn }:
		if conn := on.Conn(); conn != nil {
			return conn.Config()
		}
	}
	return nil
}
