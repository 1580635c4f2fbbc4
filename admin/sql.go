package admin

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// ErrDriver says that a database given to [SQL] was not opened with pgx's driver. Nothing
// has been sent to it.
var ErrDriver = graphile.ErrDriver

// SQL makes a [DB] of a database, a connection or a transaction of database/sql. With it,
// jobs join a transaction of a library that uses database/sql, such as sqlx, bun, ent or
// gorm: see [Client.WithTx].
//
// The database must have been opened with pgx's driver, package
// [github.com/jackc/pgx/v5/stdlib]: sql.Open("pgx", url). A driver that wraps pgx's, for
// traces or metrics, works if it passes on [driver.NamedValueChecker]. With any other
// driver every call fails with [ErrDriver].
//
// The DB may be used at once from many goroutines if on may be. It is meant for a
// [Client]: its transactions and rows have only those methods of [pgx.Tx] and [pgx.Rows]
// that a client calls.
func SQL[T *sql.DB | *sql.Conn | *sql.Tx](on T) DB {
	config := &atomic.Pointer[pgx.ConnConfig]{}
	switch on := any(on).(type) {
	case *sql.DB:
		if on != nil {
			return sqlDB{sqlQueries{on, config}, on}
		}
	case *sql.Conn:
		if on != nil {
			return sqlDB{sqlQueries{on, config}, on}
		}
	case *sql.Tx:
		if on != nil {
			return sqlTx{sqlQueries{on, config}, otherTx{}, on, func() {}}
		}
	}
	return nil
}

// sqlQueries sends pgx's statements through database/sql.
type sqlQueries struct {
	on     sqlRunner
	config *atomic.Pointer[pgx.ConnConfig] // nil until the first statement
}

type sqlRunner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Config returns the configuration of the connections; nil if it is not known yet.
func (q sqlQueries) Config() *pgx.ConnConfig { return q.config.Load() }

// take returns what a statement is sent on, and the function that gives it back. A *sql.DB
// repeats a statement on another connection if pgx calls that safe. In the simple protocol
// pgx 5.12 does so after the statement was sent ("conn closed"). A connection does not.
func (q sqlQueries) take(ctx context.Context) (on sqlRunner, release func(), err error) {
	db, ok := q.on.(*sql.DB)
	if !ok {
		return q.on, func() {}, nil
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	return conn, func() { _ = conn.Close() }, nil
}

func (q sqlQueries) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	on, release, err := q.take(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer release()
	result, err := on.ExecContext(ctx, sql, append([]any{onlyPgx{q.config}}, args...)...)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows, err := result.RowsAffected()
	return pgconn.NewCommandTag("ROWS " + strconv.FormatInt(rows, 10)), err
}

func (q sqlQueries) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	on, release, err := q.take(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := on.QueryContext(ctx, sql, append([]any{onlyPgx{q.config}}, args...)...)
	if err != nil {
		release()
		return nil, err
	}
	return &sqlRows{Rows: rows, types: pgtype.NewMap(), release: release}, nil
}

func (q sqlQueries) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := q.Query(ctx, sql, args...)
	return sqlRow{rows, err}
}

// onlyPgx is the first argument of every statement. pgx's driver takes it for a
// [pgx.QueryRewriter]. Another driver asks it for a value.
type onlyPgx struct {
	config *atomic.Pointer[pgx.ConnConfig]
}

// RewriteQuery implements [pgx.QueryRewriter]. It changes nothing.
func (o onlyPgx) RewriteQuery(_ context.Context, conn *pgx.Conn, sql string, args []any) (string, []any, error) {
	if o.config.Load() == nil {
		o.config.Store(conn.Config())
	}
	return sql, args, nil
}

// Value implements [driver.Valuer].
func (onlyPgx) Value() (driver.Value, error) { return nil, ErrDriver }

// sqlDB is a *sql.DB or a *sql.Conn.
type sqlDB struct {
	sqlQueries
	beginner interface {
		BeginTx(ctx context.Context, options *sql.TxOptions) (*sql.Tx, error)
	}
}

// conn returns the connection; nil if it is a *sql.DB.
func (d sqlDB) conn() *sql.Conn {
	conn, _ := d.on.(*sql.Conn)
	return conn
}

func (d sqlDB) Begin(ctx context.Context) (pgx.Tx, error) { return d.BeginTx(ctx, pgx.TxOptions{}) }

// BeginTx begins a transaction that outlasts the context, as pgx's do. Of the options it
// knows the isolation level.
func (d sqlDB) BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error) {
	if d.inTransaction() {
		return beginSavepoint(ctx, d)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	keep := context.AfterFunc(ctx, end)
	level := sql.LevelDefault
	if options.IsoLevel == pgx.ReadCommitted {
		level = sql.LevelReadCommitted
	}
	tx, err := d.beginner.BeginTx(alive, &sql.TxOptions{Isolation: level})
	if !keep() && err == nil {
		err = ctx.Err()
		_ = tx.Rollback() // unless the end of alive has begun to
	}
	if err != nil {
		end()
		return nil, err
	}
	return sqlTx{sqlQueries{tx, d.config}, otherTx{}, tx, end}, nil
}

// inTransaction reports whether somebody has begun a transaction on the connection by hand.
func (d sqlDB) inTransaction() (begun bool) {
	on := d.conn()
	if on == nil {
		return false
	}
	_ = on.Raw(func(conn any) error {
		if on, ok := graphile.Unwrap[interface{ Conn() *pgx.Conn }](conn); ok {
			begun = on.Conn().PgConn().TxStatus() != 'I'
		}
		return nil
	})
	return begun
}

// sqlTx is a *sql.Tx.
type sqlTx struct {
	sqlQueries
	otherTx
	tx  *sql.Tx
	end context.CancelFunc // of its context, if sqlDB has begun it
}

func (t sqlTx) Begin(ctx context.Context) (pgx.Tx, error) { return beginSavepoint(ctx, t) }
func (t sqlTx) Commit(ctx context.Context) error          { return t.finish(ctx, t.tx.Commit) }
func (t sqlTx) Rollback(ctx context.Context) error        { return t.finish(ctx, t.tx.Rollback) }

// finish ends the transaction by a method of it, which is cut short with the context.
func (t sqlTx) finish(ctx context.Context, by func() error) error {
	defer t.end()
	defer context.AfterFunc(ctx, t.end)()
	err := by()
	if errors.Is(err, sql.ErrTxDone) {
		return pgx.ErrTxClosed
	}
	return err
}

// sqlRows are rows of database/sql as pgx's.
type sqlRows struct {
	otherRows
	*sql.Rows
	types   *pgtype.Map
	release func()
}

// otherRows has the methods of [pgx.Rows] that a client does not call.
type otherRows struct{ pgx.Rows }

func (r *sqlRows) CommandTag() pgconn.CommandTag { return pgconn.CommandTag{} }

func (r *sqlRows) Close() {
	_ = r.Rows.Close() // Err returns the error
	r.release()
}

func (r *sqlRows) Scan(dest ...any) error {
	dest = slices.Clone(dest)
	for i, to := range dest {
		switch to.(type) {
		case *[]int32, *[]int64, *[]string: // which database/sql does not scan
			dest[i] = r.types.SQLScanner(to)
		}
	}
	return r.Rows.Scan(dest...)
}

// sqlRow is the first of the rows.
type sqlRow struct {
	rows pgx.Rows
	err  error
}

func (r sqlRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	_, err := pgx.CollectOneRow(r.rows, func(row pgx.CollectableRow) (struct{}, error) {
		return struct{}{}, row.Scan(dest...)
	})
	return err
}
