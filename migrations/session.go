package migrations

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/outcome"
)

// A session is a transaction that holds the lock of the schema's migrators, and a Goose
// provider that works inside of it.
type session struct {
	tx       pgx.Tx
	provider *goose.Provider
}

// conflicts are the SQLSTATEs that mean that another installer did the same at the same
// time, or that a lock was not available. Another try may succeed.
var conflicts = []string{
	"23505", // unique_violation
	"42P06", // duplicate_schema
	"42P07", // duplicate_table
	"42710", // duplicate_object
	"40001", // serialization_failure
	"40P01", // deadlock_detected
	lockTimeout,
}

const (
	lockTimeout    = "55P03" // lock_not_available
	undefinedTable = "42P01"
	tries          = 10
)

// sqlState returns the SQLSTATE of PostgreSQL's error in err; empty if there is none.
func sqlState(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	return ""
}

// write runs fn in a session and commits. It tries again after a conflict.
func (m *Migrator) write(ctx context.Context, fn func(*session) error) error {
	for try := 1; ; try++ {
		err := m.writeOnce(ctx, fn)
		switch code := sqlState(err); {
		case errors.Is(err, ErrLocked), errors.Is(err, ErrOutcomeUnknown):
			return err
		case !slices.Contains(conflicts, code):
			return graphile.Advise(err)
		case try == tries && code == lockTimeout:
			return fmt.Errorf("nothing was changed: %w", notLocked(err))
		case try == tries:
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(100*time.Millisecond + rand.N(200*time.Millisecond)):
		}
	}
}

// notLocked adds to the last try's lock timeout how many tries there were, and what was
// to be locked if the server says so. It returns other errors unchanged.
func notLocked(err error) error {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pgErr.Code != lockTimeout {
		return err
	}
	what := ""
	if pgErr.Where != "" {
		where, _, _ := strings.Cut(pgErr.Where, "\nPL/pgSQL")
		where = strings.ReplaceAll(where, "\nSQL statement", ", by SQL statement")
		what = ": " + strings.Join(strings.Fields(where), " ")
	}
	return fmt.Errorf("a lock was not available at any of %d tries%s: %w", tries, what, err)
}

// onConn runs fn on a connection.
func (m *Migrator) onConn(ctx context.Context, fn func(*stdlib.Conn) error) error {
	var sqlConn *sql.Conn
	switch on := m.on.(type) {
	case *pgxpool.Pool:
		conn, err := stdlib.GetPoolConnector(on).Connect(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		return fn(conn.(*stdlib.Conn))
	case *sql.DB:
		conn, err := on.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		sqlConn = conn
	case *sql.Conn:
		sqlConn = on
	}
	return sqlConn.Raw(func(raw any) error {
		conn, ok := graphile.Unwrap[*stdlib.Conn](raw)
		if !ok {
			return ErrDriver
		}
		if conn.Conn().PgConn().TxStatus() != 'I' {
			return errors.New("the connection is in a transaction, and a migrator begins its own: end it first")
		}
		return fn(conn)
	})
}

// inTransaction runs fn in a transaction on a connection.
func (m *Migrator) inTransaction(ctx context.Context, options pgx.TxOptions, fn func(*stdlib.Conn, pgx.Tx) error) error {
	return m.onConn(ctx, func(conn *stdlib.Conn) error {
		tx, err := conn.Conn().BeginTx(ctx, options)
		if err != nil {
			return err
		}
		graced, cancel := outcome.Graced(ctx, m.options.CommitGrace)
		defer cancel()
		defer func() { _ = tx.Rollback(graced) }() // does nothing after the commit
		if err := fn(conn, tx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err = outcome.Commit(ctx, tx, m.options.CommitGrace)
		if err == nil || outcome.Settled(err) || options.AccessMode == pgx.ReadOnly {
			return err
		}
		return fmt.Errorf("%w: sent COMMIT: repeat the call, it does what is left to do: %w", ErrOutcomeUnknown, err)
	})
}

func (m *Migrator) writeOnce(ctx context.Context, fn func(*session) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}
	return m.inTransaction(ctx, options, func(conn *stdlib.Conn, tx pgx.Tx) error {
		if err := m.lock(ctx, tx); err != nil {
			return err
		}
		db := sql.OpenDB(connector{inTx{conn, tx}})
		defer db.Close() // does not close the connection
		db.SetMaxOpenConns(1)
		store, err := database.NewStore(database.DialectPostgres, m.table(VersionTable))
		if err != nil {
			return err
		}
		provider, err := goose.NewProvider(goose.DialectCustom, db, renamedFiles{m.schema},
			goose.WithStore(versionStore{store, m.schema}), goose.WithDisableGlobalRegistry(true))
		if err != nil {
			return err
		}
		return fn(&session{tx, provider})
	})
}

// lock waits for the lock of the schema's migrators. For the rest of the transaction it
// replaces the settings of the server and the role that matter here.
func (m *Migrator) lock(ctx context.Context, tx pgx.Tx) error {
	var statementTimeout string
	if err := tx.QueryRow(ctx, "select pg_catalog.current_setting('statement_timeout')").Scan(&statementTimeout); err != nil {
		return fmt.Errorf("read statement_timeout: %w", err)
	}
	if m.options.StatementTimeout > 0 {
		statementTimeout = milliseconds(m.options.StatementTimeout)
	}
	err := set(ctx, tx, "search_path", "", "TimeZone", "UTC", "standard_conforming_strings", "on",
		"lock_timeout", milliseconds(m.options.WaitLock), "statement_timeout", "0")
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "select pg_catalog.pg_advisory_xact_lock($1)", m.lockKey()); err != nil {
		if sqlState(err) == lockTimeout {
			return fmt.Errorf("%w on schema %q: waited %s for it: %w", ErrLocked, m.schema, m.options.WaitLock, err)
		}
		return fmt.Errorf("wait for other migrators: %w", err)
	}
	return set(ctx, tx, "lock_timeout", milliseconds(m.options.LockTimeout), "statement_timeout", statementTimeout)
}

// lockKey is the advisory lock of this schema's migrators.
func (m *Migrator) lockKey() int64 {
	h := fnv.New64a()
	h.Write([]byte("gwadmin migrator " + m.schema))
	return int64(h.Sum64())
}

// set changes settings, given as names and values, for the rest of the transaction.
func set(ctx context.Context, tx pgx.Tx, pairs ...any) error {
	calls := make([]string, len(pairs)/2)
	for i := range calls {
		calls[i] = fmt.Sprintf("pg_catalog.set_config($%d, $%d, true)", 2*i+1, 2*i+2)
	}
	if _, err := tx.Exec(ctx, "select "+strings.Join(calls, ", "), pairs...); err != nil {
		return fmt.Errorf("change the session's settings: %w", err)
	}
	return nil
}

// milliseconds is a duration for a timeout setting of PostgreSQL, rounded up, as 0 means
// no timeout. The longest that PostgreSQL takes are 24 days.
func milliseconds(d time.Duration) string {
	ms := d.Milliseconds()
	if time.Duration(ms)*time.Millisecond < d {
		ms++
	}
	return strconv.FormatInt(min(ms, math.MaxInt32), 10)
}

// read runs fn in a read-only transaction. It tries again when a lock was not available,
// and when a table is gone that fn has just seen, as Down was faster.
func (m *Migrator) read(ctx context.Context, level pgx.TxIsoLevel, fn func(pgx.Tx) error) error {
	for try := 1; ; try++ {
		options := pgx.TxOptions{IsoLevel: level, AccessMode: pgx.ReadOnly}
		err := m.inTransaction(ctx, options, func(_ *stdlib.Conn, tx pgx.Tx) error {
			if err := set(ctx, tx, "lock_timeout", milliseconds(m.options.LockTimeout)); err != nil {
				return err
			}
			return fn(tx)
		})
		if code := sqlState(err); code != undefinedTable && code != lockTimeout {
			return graphile.Advise(err)
		}
		if try == tries {
			return notLocked(err)
		}
		time.Sleep(rand.N(time.Duration(try) * 10 * time.Millisecond)) // out of step with Down and Up
	}
}

// rollback runs fn, which only reads, in a savepoint and rolls that back, which releases
// the locks on the tables: an installer or Down must not wait for a transaction that is
// about to wait for it.
func rollback(ctx context.Context, tx pgx.Tx, fn func(pgx.Tx) error) error {
	savepoint, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(savepoint), savepoint.Rollback(ctx))
}

// inTx is a connection inside a transaction. It looks to Goose like one outside: Goose's
// transactions are savepoints.
type inTx struct {
	*stdlib.Conn
	tx pgx.Tx
}

func (c inTx) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	tx, err := c.tx.Begin(ctx)
	return savepoint{ctx, tx}, err
}

func (c inTx) ResetSession(context.Context) error { return nil }
func (c inTx) Close() error                       { return nil }

type savepoint struct {
	ctx context.Context
	tx  pgx.Tx
}

func (s savepoint) Commit() error   { return s.tx.Commit(s.ctx) }
func (s savepoint) Rollback() error { return s.tx.Rollback(context.WithoutCancel(s.ctx)) }

// A connector connects database/sql to the one connection that it is.
type connector struct{ inTx }

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.inTx, nil }
func (c connector) Driver() driver.Driver                        { return stdlib.GetDefaultDriver() }

// A versionStore is Goose's, but finds its table in a schema whose name needs quotes.
type versionStore struct {
	database.Store
	schema string
}

// TableExists implements [database.StoreExtender].
func (s versionStore) TableExists(ctx context.Context, db database.DBTxConn) (exists bool, err error) {
	err = db.QueryRowContext(ctx,
		"select exists (select from pg_catalog.pg_tables where schemaname = $1 and tablename = $2)",
		s.schema, VersionTable).Scan(&exists)
	return exists, err
}
