package migrations_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gwadmin/gwadmin/migrations"
)

// sqlDB is the bench's database for database/sql, with one connection, so that a
// connection that is not given back blocks the next call.
func (b *bench) sqlDB(db *sql.DB) *sql.DB {
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { _ = db.Close() })
	return db
}

// A wrapper is a connector of connections that wrap pgx's.
type wrapper struct {
	driver.Connector
	wrap func(driver.Conn) driver.Conn
}

func (w wrapper) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := w.Connector.Connect(ctx)
	return w.wrap(conn), err
}

// An opaque connection does not give away the one that it wraps. A transparent one does, as
// those do that trace.
type (
	opaque      struct{ driver.Conn }
	transparent struct{ driver.Conn }
)

func (t transparent) Raw() driver.Conn { return t.Conn }

func TestDatabaseSQL(t *testing.T) {
	t.Parallel()
	for what, migrator := range map[string]func(*bench) (*migrations.Migrator, error){
		"*sql.DB": func(b *bench) (*migrations.Migrator, error) {
			return migrations.New(b.sqlDB(stdlib.OpenDBFromPool(b.pool)), nil)
		},
		"*sql.Conn": func(b *bench) (*migrations.Migrator, error) { return migrations.New(b.sqlConn(), nil) },
		"a driver that wraps pgx's": func(b *bench) (*migrations.Migrator, error) {
			return migrations.New(b.sqlDB(sql.OpenDB(wrapper{stdlib.GetPoolConnector(b.pool), func(c driver.Conn) driver.Conn { return transparent{c} }})), nil)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			var err error
			if b.migrator, err = migrator(b); err != nil {
				t.Fatal(err)
			}
			b.up()
			b.checkCatalog()
			b.checkLedger()
			steps, err := b.migrator.Indexes().Add(b.ctx, migrations.IndexNames(), nil)
			if err != nil || len(steps) != len(migrations.IndexNames()) {
				t.Errorf("built %v: %v", steps, err)
			}
			if found, err := b.migrator.Validate(b.ctx); err != nil || len(found.Differences) > 0 {
				t.Errorf("validate: %v, %v", found, err)
			}
			if undone := b.down(migrations.DownOptions{}); len(undone) != 4 {
				t.Errorf("undone: %v", undone)
			}
			if diff := cmp.Diff([]string{}, b.catalog()); diff != "" {
				t.Errorf("catalog after down: -want +got\n%s", diff)
			}
		})
	}
}

func (b *bench) sqlConn() *sql.Conn {
	b.Helper()
	conn, err := b.sqlDB(stdlib.OpenDBFromPool(b.pool)).Conn(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// calls make each kind of call.
func (b *bench) calls(m *migrations.Migrator) map[string]error {
	errs := map[string]error{}
	_, errs["up"] = m.Up(b.ctx, nil)
	_, errs["status"] = m.Status(b.ctx)
	_, errs["indexes"] = m.Indexes().List(b.ctx)
	return errs
}

// A migrator does not end a transaction of the caller's.
func TestSQLConnInTransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	conn := b.sqlConn()
	m, err := migrations.New(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(statement string) {
		t.Helper()
		if _, err := conn.ExecContext(b.ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("begin")
	exec("create table public.theirs ()")
	for call, err := range b.calls(m) {
		if err == nil || !strings.Contains(err.Error(), "is in a transaction") {
			t.Errorf("%s: %v", call, err)
		}
	}
	exec("rollback")
	if diff := cmp.Diff([]bool{true}, rowsOf[bool](b, "select to_regclass('public.theirs') is null and to_regnamespace('graphile_worker') is null")); diff != "" {
		t.Errorf("nothing is left: -want +got\n%s", diff)
	}
	if _, err := m.Up(b.ctx, nil); err != nil {
		t.Error(err)
	}
}

func TestOtherDriver(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	db := sql.OpenDB(wrapper{stdlib.GetPoolConnector(b.pool), func(c driver.Conn) driver.Conn { return opaque{c} }})
	m, err := migrations.New(b.sqlDB(db), nil)
	if err != nil {
		t.Fatal(err)
	}
	for call, err := range b.calls(m) {
		if !errors.Is(err, migrations.ErrDriver) {
			t.Errorf("%s: %v", call, err)
		}
	}
}
