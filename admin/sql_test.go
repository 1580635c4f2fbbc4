package admin_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// A client leaves no connection in use and no transaction open, after errors, too.
func TestSQLReleases(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	db := b.sqlDB()
	db.SetMaxOpenConns(1) // a connection in use would block the next call
	conform(b.in(admin.SQL(db)))
	client := admin.New(admin.SQL(db))
	b.exec("alter table graphile_worker._private_jobs add check (priority <> 99) not valid")
	refused := make([]admin.JobSpec, 2)
	refused[0].TaskIdentifier, refused[1].TaskIdentifier, refused[1].Priority = "send", "send", new(99)
	_, err := client.AddJobs(b.ctx, refused, nil)
	b.check("AddJobs", "23514", code(err))
	_, err = client.AddJob(b.ctx, "send", nil, &admin.AddJobOptions{Priority: new(99)})
	b.check("AddJob", "23514", code(err))
	over, cancel := context.WithCancel(b.ctx)
	cancel()
	b.sent.take()
	_, err = client.AddJobs(over, refused, nil)
	b.check("with a context that has ended", true, is(context.Canceled)(err))
	b.check("what was sent then", []string(nil), b.sent.names()) // database/sql would undo a begin in the background
	b.check("connections in use", 0, db.Stats().InUse)
}

// A transaction can be ended once. On a connection in a transaction that was begun by hand,
// Begin begins a savepoint.
func TestSQLBegin(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	conn := b.ok(b.sqlDB().Conn(b.ctx)).(*sql.Conn)
	defer conn.Close()
	onConn := b.in(admin.SQL(conn))
	for what, on := range map[string]*bench{"*sql.DB": b.in(admin.SQL(b.sqlDB())), "*sql.Conn": onConn, "begun by hand": onConn} {
		if what == "begun by hand" {
			on.exec("begin")
		}
		for _, committed := range []bool{false, true} {
			tx := b.ok(on.on.Begin(b.ctx)).(pgx.Tx)
			b.ok(b.client.WithTx(tx).AddJob(b.ctx, what, committed, nil))
			end := map[bool]func(context.Context) error{false: tx.Rollback, true: tx.Commit}[committed]
			b.ok(nil, end(b.ctx))
			b.check(what+": commit again", true, is(pgx.ErrTxClosed)(tx.Commit(b.ctx)))
			b.check(what+": roll back again", true, is(pgx.ErrTxClosed)(tx.Rollback(b.ctx)))
		}
		added := func(on *bench) []string {
			return rowsOf[string](on, "select payload::text from graphile_worker._private_jobs j join graphile_worker._private_tasks t on t.id = j.task_id where identifier = $1", what)
		}
		b.check(what+": jobs", []string{"true"}, added(on))
		if what == "begun by hand" {
			on.exec("rollback")
			b.check(what+": jobs after the rollback", []string{}, added(b))
		}
	}
}

// PostgreSQL may refuse a statement after it has returned its rows, or the only one that
// is read.
func TestSQLLateError(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.exec(`create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = 'TEST1'; end $$`)
	b.exec(`create constraint trigger refuse after insert or delete on graphile_worker._private_jobs deferrable initially deferred
		for each row execute function public.refuse()`)
	db := b.sqlDB()
	client := admin.New(admin.SQL(db))
	_, err := client.AddJob(b.ctx, "send", nil, nil)
	b.check("AddJob", "TEST1", code(err))
	b.exec("alter table graphile_worker._private_jobs disable trigger refuse")
	b.ok(b.client.FailJobs(b.ctx, []int64{b.add("send", nil, nil).ID}, nil, nil))
	b.exec("alter table graphile_worker._private_jobs enable trigger refuse")
	jobs := b.jobs()
	_, err = client.Cleanup(b.ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.DeletePermafailedJobs}})
	b.check("Cleanup", "TEST1", code(err))
	tx := b.ok(db.BeginTx(b.ctx, nil)).(*sql.Tx)
	b.ok(b.client.WithTx(admin.SQL(tx)).AddJob(b.ctx, "send", nil, nil))
	b.check("commit", "TEST1", code(tx.Commit()))
	b.check("jobs", jobs, b.jobs())
}

// A statement whose plan depends on its parameters is not prepared, in a *sql.Tx either.
func TestSQLCustomPlan(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	db := b.sqlDB()
	wrapped := b.ok(admin.SQL(db).Begin(b.ctx)).(pgx.Tx)
	b.ok(admin.New(struct{ pgx.Tx }{wrapped}).ListJobs(b.ctx, admin.Filter{}, nil))
	b.ok(nil, wrapped.Rollback(b.ctx))
	for what, client := range map[string]*admin.Client{"pool": admin.New(b.pool), "sql.DB": admin.New(admin.SQL(db))} {
		b.ok(nil, client.Check(b.ctx))
		b.sent.take()
		tx := b.ok(db.BeginTx(b.ctx, nil)).(*sql.Tx)
		b.ok(client.WithTx(admin.SQL(tx)).ListJobs(b.ctx, admin.Filter{}, nil))
		b.ok(nil, tx.Rollback())
		var modes []any
		for _, q := range b.sent.take() {
			for _, arg := range q.Args {
				if mode, ok := arg.(pgx.QueryExecMode); ok {
					modes = append(modes, mode)
				}
			}
		}
		b.check(what, []any{pgx.QueryExecModeCacheDescribe}, modes)
	}
}

// What is not in a transaction is refused by WithTx, and nothing is sent.
func TestWithTxNeedsTransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	conn := b.ok(b.sqlDB().Conn(b.ctx)).(*sql.Conn)
	defer conn.Close()
	b.sent.take()
	for what, on := range map[string]admin.DB{"a pool": b.pool, "a *sql.DB": admin.SQL(b.sqlDB()), "a *sql.Conn": admin.SQL(conn)} {
		b.errorOfEvery(what, b.client.WithTx(on), func(err error) bool { return strings.Contains(err.Error(), "WithTx needs") })
	}
	b.check("what was sent", []string(nil), b.sent.names())
}

// A wrapper is a connector whose driver wraps pgx's, as those do that trace.
type wrapper struct {
	driver.Connector
	wrap func(*stdlib.Conn) driver.Conn
}

func (w wrapper) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := w.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return w.wrap(conn.(*stdlib.Conn)), nil
}

// transparent wraps all of a connection. It has the method Raw, as many wrappers do.
type transparent struct{ conn }

type conn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.NamedValueChecker
	driver.QueryerContext
}

func (t transparent) Raw() driver.Conn { return t.conn }

// opaque does not let a driver's own values through.
type opaque struct {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
}

func (b *bench) wrapped(wrap func(*stdlib.Conn) driver.Conn) *sql.DB {
	db := sql.OpenDB(wrapper{stdlib.GetPoolConnector(b.pool), wrap})
	db.SetMaxIdleConns(0)
	b.Cleanup(func() { _ = db.Close() })
	return db
}

func TestSQLWrappedDriver(t *testing.T) {
	t.Parallel()
	wrap := func(c *stdlib.Conn) driver.Conn { return transparent{c} }
	t.Run("every call", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, testdb.Ours(""))
		conform(b.in(admin.SQL(b.wrapped(wrap))))
	})
	t.Run("begun by hand", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, testdb.Ours(""))
		conn := b.ok(b.wrapped(wrap).Conn(b.ctx)).(*sql.Conn)
		defer conn.Close()
		inside := b.in(admin.SQL(conn))
		inside.exec("begin")
		b.ok(inside.client.AddJobs(b.ctx, make([]admin.JobSpec, 0), nil))
		b.ok(inside.client.AddJobs(b.ctx, []admin.JobSpec{{TaskIdentifier: "send"}, {TaskIdentifier: "send"}}, nil))
		inside.exec("rollback")
		b.check("jobs", []admin.Job{}, b.jobs())
	})
}

// Every call on another driver's database says what to do, and leaves the transaction as
// it is.
func TestSQLOtherDriver(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""), func(config *pgxpool.Config) { config.MaxConns = 4 })
	b.ok(nil, b.client.Check(b.ctx))
	db := b.wrapped(func(c *stdlib.Conn) driver.Conn { return opaque{c, c, c, c} })
	conn := b.ok(db.Conn(b.ctx)).(*sql.Conn)
	defer conn.Close()
	tx := b.ok(db.BeginTx(b.ctx, nil)).(*sql.Tx)
	b.sent.take()
	for what, client := range map[string]*admin.Client{
		"*sql.DB":   admin.New(admin.SQL(db)),
		"*sql.Conn": admin.New(admin.SQL(conn)),
		"*sql.Tx":   admin.New(admin.SQL(tx)),
		"WithTx":    b.client.WithTx(admin.SQL(tx)),
	} {
		b.errorOfEvery(what, client, is(admin.ErrDriver))
	}
	for _, name := range b.sent.names() {
		if name != "begin" && name != "rollback" {
			b.Errorf("was sent: %s", name)
		}
	}
	b.ok(tx.Exec("select 1"))
	b.ok(nil, tx.Commit())
}
