package ui

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
)

// readOnlyClient returns the client on a database in which it can change nothing.
func readOnlyClient(client *admin.Client) *admin.Client {
	options := []admin.Option{admin.WithSchema(client.Schema())}
	if reader := client.Reader(); reader != nil {
		options = append(options, admin.WithReader(readOnly(reader)))
	}
	return admin.New(readOnly(client.DB()), options...)
}

func readOnly(on admin.DB) admin.DB {
	switch on := on.(type) {
	case *pgxpool.Pool:
		return readOnlyPool{readOnlyDB{on}, on}
	case interface{ Config() *pgx.ConnConfig }:
		return readOnlyOther{readOnlyDB{on.(admin.DB)}, on}
	}
	return readOnlyDB{on}
}

// A readOnlyDB runs every statement in a transaction in which PostgreSQL refuses changes.
type readOnlyDB struct{ admin.DB }

// A readOnlyPool lets the client see the configuration of its connections.
type readOnlyPool struct {
	readOnlyDB
	pool *pgxpool.Pool
}

func (d readOnlyPool) Config() *pgxpool.Config { return d.pool.Config() }

// A readOnlyOther does that on what is not a pool of pgx.
type readOnlyOther struct {
	readOnlyDB
	configured interface{ Config() *pgx.ConnConfig }
}

func (d readOnlyOther) Config() *pgx.ConnConfig { return d.configured.Config() }

// Begin begins a transaction that is read-only.
func (d readOnlyDB) Begin(ctx context.Context) (pgx.Tx, error) {
	if pool, ok := d.DB.(*pgxpool.Pool); ok {
		return pool.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	}
	tx, err := d.DB.Begin(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "set transaction read only"); err != nil {
		_ = tx.Rollback(ctx)
		return nil, err
	}
	return tx, nil
}

func (d readOnlyDB) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	tx, err := d.Begin(ctx)
	if err != nil {
		return tag, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	return tx.Exec(ctx, sql, args...)
}

func (d readOnlyDB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	tx, err := d.Begin(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		_ = tx.Rollback(ctx)
		return rows, err
	}
	return &readOnlyRows{Rows: rows, ctx: ctx, tx: tx}, nil
}

func (d readOnlyDB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := d.Query(ctx, sql, args...)
	return readOnlyRow{rows, err}
}

// readOnlyRows end their transaction when they are closed.
type readOnlyRows struct {
	pgx.Rows

	ctx    context.Context
	tx     pgx.Tx
	closed bool
	err    error
}

func (r *readOnlyRows) Close() {
	if r.closed {
		return
	}
	r.Rows.Close()
	r.closed, r.err = true, r.Rows.Err()
	_ = r.tx.Rollback(r.ctx) // nothing was changed
}

// Err is not that of the end of the transaction.
func (r *readOnlyRows) Err() error {
	if r.closed {
		return r.err
	}
	return r.Rows.Err()
}

// Next closes the rows after the last of them, as those of pgx do.
func (r *readOnlyRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// A readOnlyRow is the first of rows.
type readOnlyRow struct {
	rows pgx.Rows
	err  error
}

func (r readOnlyRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	_, err := pgx.CollectOneRow(r.rows, func(row pgx.CollectableRow) (struct{}, error) {
		return struct{}{}, row.Scan(dest...)
	})
	return err
}
