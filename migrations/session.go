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
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// A session is one transaction on one connection, with the schema's migrator
// lock held until it ends.
type session struct {
	tx       pgx.Tx
	provider *goose.Provider
}

// clashes are the SQLSTATEs that mean another installer did the same thing at
// the same moment: the next try finds it done.
var clashes = []string{
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

// change runs fn in a session and commits, anew when another installer was in the way.
func (m *Migrator) change(ctx context.Context, fn func(*session) error) error {
	for try := 1; ; try++ {
		err := m.once(ctx, fn)
		var pgErr *pgconn.PgError
		switch {
		case errors.Is(err, ErrLocked) || !errors.As(err, &pgErr) || !slices.Contains(clashes, pgErr.Code):
			return err
		case try == tries && pgErr.Code == lockTimeout:
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

// notLocked says of the last try's lock timeout that it was the last, and what
// was to be locked as far as the server says. Another error it returns as it is.
func notLocked(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != lockTimeout {
		return err
	}
	what := ""
	if pgErr.Where != "" {
		where, _, _ := strings.Cut(pgErr.Where, "\nPL/pgSQL")
		where = strings.ReplaceAll(where, "\nSQL statement", ", by SQL statement")
		what = ": " + strings.Join(strings.Fields(where), " ")
	}
	return fmt.Errorf("not locked in time, at any of %d tries%s: %w", tries, what, err)
}

func (m *Migrator) once(ctx context.Context, fn func(*session) error) (err error) {
	conn, err := stdlib.GetPoolConnector(m.pool).Connect(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	pgxConn := conn.(*stdlib.Conn).Conn()
	tx, err := pgxConn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return errors.Join(fmt.Errorf("begin: %w", err), conn.Close())
	}
	db := sql.OpenDB(&onlyConn{inTx{conn.(*stdlib.Conn), tx}})
	db.SetMaxOpenConns(1)
	defer func() {
		_ = db.Close() // which leaves the connection open
		if err == nil {
			err = tx.Commit(ctx)
		}
		if err != nil {
			// The caller's context may be over; the connection goes back clean.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = tx.Rollback(ctx)
		}
		err = errors.Join(err, conn.Close())
	}()

	// Nothing in here may depend on how the server or the role is set up.
	if _, err := tx.Exec(ctx, `select
		pg_catalog.set_config('search_path', '', true),
		pg_catalog.set_config('TimeZone', 'UTC', true),
		pg_catalog.set_config('standard_conforming_strings', 'on', true)`); err != nil {
		return fmt.Errorf("set up the session: %w", err)
	}
	if err := m.lock(ctx, tx); err != nil {
		return err
	}
	store, err := m.versionStore()
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectCustom, db, renamedFiles{m.schema},
		goose.WithStore(store), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	return fn(&session{tx: tx, provider: provider})
}

// lock takes the schema's migrator lock and bounds what comes after it.
func (m *Migrator) lock(ctx context.Context, tx pgx.Tx) error {
	if err := limit(ctx, tx, "lock_timeout", m.options.WaitLock); err != nil {
		return err
	}
	var before string // the server's, or the role's
	if err := tx.QueryRow(ctx, "select pg_catalog.current_setting('statement_timeout')").Scan(&before); err != nil {
		return fmt.Errorf("read statement_timeout: %w", err)
	}
	if err := limit(ctx, tx, "statement_timeout", 0); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "select pg_catalog.pg_advisory_xact_lock($1)", m.lockKey()); err != nil {
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && pgErr.Code == lockTimeout {
			return fmt.Errorf("%w on schema %q: waited %s for it: %w", ErrLocked, m.schema, m.options.WaitLock, err)
		}
		return fmt.Errorf("wait for other migrators: %w", err)
	}
	if err := limit(ctx, tx, "lock_timeout", m.options.LockTimeout); err != nil {
		return err
	}
	if m.options.StatementTimeout == 0 {
		return set(ctx, tx, "statement_timeout", before)
	}
	return limit(ctx, tx, "statement_timeout", m.options.StatementTimeout)
}

// limit sets a timeout for the rest of the transaction; 0 means none.
func limit(ctx context.Context, tx pgx.Tx, setting string, d time.Duration) error {
	return set(ctx, tx, setting, milliseconds(d))
}

func set(ctx context.Context, tx pgx.Tx, setting, value string) error {
	if _, err := tx.Exec(ctx, "select pg_catalog.set_config($1, $2, true)", setting, value); err != nil {
		return fmt.Errorf("set %s: %w", setting, err)
	}
	return nil
}

// milliseconds is a duration as PostgreSQL's timeouts take it, rounded up: 0 would
// mean none, and the most they take is 24 days.
func milliseconds(d time.Duration) string {
	ms := d.Milliseconds()
	if time.Duration(ms)*time.Millisecond < d {
		ms++
	}
	return strconv.FormatInt(min(ms, math.MaxInt32), 10)
}

// lockKey is the advisory lock that migrators of this schema share.
func (m *Migrator) lockKey() int64 {
	h := fnv.New64a()
	h.Write([]byte("gwadmin migrator " + m.schema))
	return int64(h.Sum64())
}

// inTx shows a connection inside a transaction as one outside: what Goose takes
// for transactions are savepoints.
type inTx struct {
	*stdlib.Conn
	tx pgx.Tx
}

func (c inTx) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	tx, err := c.tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return savepoint{ctx, tx}, nil
}

func (c inTx) ResetSession(context.Context) error { return nil }

func (c inTx) Close() error { return nil }

type savepoint struct {
	ctx context.Context
	tx  pgx.Tx
}

func (s savepoint) Commit() error   { return s.tx.Commit(s.ctx) }
func (s savepoint) Rollback() error { return s.tx.Rollback(context.WithoutCancel(s.ctx)) }

// onlyConn connects database/sql to one given connection.
type onlyConn struct{ conn driver.Conn }

func (c *onlyConn) Connect(context.Context) (driver.Conn, error) { return c.conn, nil }
func (c *onlyConn) Driver() driver.Driver                        { return stdlib.GetDefaultDriver() }

// A versionStore is Goose's, but that it finds its table in a schema whose name
// needs quotes.
type versionStore struct {
	database.Store
	schema string
}

func (m *Migrator) versionStore() (versionStore, error) {
	table := pgx.Identifier{m.schema, VersionTable}.Sanitize()
	store, err := database.NewStore(database.DialectPostgres, table)
	return versionStore{store, m.schema}, err
}

// TableExists implements [database.StoreExtender].
func (s versionStore) TableExists(ctx context.Context, db database.DBTxConn) (exists bool, err error) {
	err = db.QueryRowContext(ctx,
		"select exists (select from pg_catalog.pg_tables where schemaname = $1 and tablename = $2)",
		s.schema, VersionTable).Scan(&exists)
	return exists, err
}
