// Package migrations brings a PostgreSQL database to the schema of Graphile Worker
// 0.18.0 (revision 20), with Goose and without a JavaScript runtime.
//
// A [Migrator] applies and undoes the migrations, says what it would do, and compares a
// database with what they build. [Grants] let roles other than the owner use the schema,
// and [Indexes] speed up listing a large table.
//
// The migrations converge: an empty database, and one that Graphile Worker 0.16 or newer
// installed, end in the same schema, with every row kept. They record Graphile Worker's
// own revisions, so that a JavaScript worker that starts afterwards has nothing to
// migrate, and send the notifications that stop running workers of an incompatible
// release.
//
// Each call that changes the schema is one transaction on one connection: it happens
// completely or not at all, and works through a transaction-mode pooler. Only indexes are
// built outside of a transaction. An advisory lock, held until the transaction ends, lets
// one migrator at a time change a schema.
package migrations

import (
	"cmp"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/outcome"
)

// Files holds the migrations as Goose reads them, for the schema graphile_worker. They
// work with the goose command, too.
//
//go:embed *.sql
var Files embed.FS

// VersionTable is Goose's version table, inside the migrated schema.
const VersionTable = graphile.VersionTable

var (
	// ErrNotInstalled says that the schema does not exist, or has nothing of Graphile
	// Worker's in it.
	ErrNotInstalled = graphile.ErrNotInstalled
	// ErrForeign says that the schema has a table migrations that is not Graphile
	// Worker's ledger, or a ledger without the other tables.
	ErrForeign = graphile.ErrForeign
	// ErrRevisionTooOld matches a [*RevisionError] for a schema that Graphile Worker must
	// upgrade first.
	ErrRevisionTooOld = graphile.ErrRevisionTooOld
	// ErrRevisionTooNew matches a [*RevisionError] for a schema that has a revision which
	// this package does not know, and which makes the call unsafe.
	ErrRevisionTooNew = graphile.ErrRevisionTooNew
	// ErrDriver says that a *sql.DB or a *sql.Conn is not of pgx's driver. Nothing was sent.
	ErrDriver = graphile.ErrDriver
	// ErrNoMigration says that there is no migration of that number.
	ErrNoMigration = errors.New("no such migration")
	// ErrJobsLeft matches a [*JobsLeftError].
	ErrJobsLeft = errors.New("jobs would be lost")
	// ErrBusy matches a [*BusyError].
	ErrBusy = errors.New("workers hold jobs")
	// ErrLocked says that another migrator of the schema was still at work after
	// Options.WaitLock, or is building an index.
	ErrLocked = errors.New("another migrator is at work")
	// ErrOutcomeUnknown says that the COMMIT of a call, or a statement about an index, was
	// sent, and that the connection was lost or the context ended before the answer came.
	// What was sent is done whole or not at all. Every call can be repeated: it does what is
	// left to do. With any other error of [Migrator.Up], [Migrator.Down] or [Grants] nothing
	// was changed. It is the sentinel of package admin, too.
	ErrOutcomeUnknown = outcome.ErrUnknown
)

// RevisionError says at which unsupported revision a schema is.
type RevisionError = graphile.RevisionError

// Options are those of a [Migrator]. The zero value, or nil, means the defaults.
type Options struct {
	// Schema is the schema to migrate; empty means graphile_worker.
	Schema string
	// WaitLock is how long to wait for another migrator of the schema; 0 means as long
	// as the context lasts. After it the error is [ErrLocked]. No other timeout, of this
	// package or of the server, applies to the wait.
	WaitLock time.Duration
	// LockTimeout is how long a statement waits for any other lock; 0 means 5 seconds.
	// While it waits, others wait behind it. After it the transaction is rolled back and
	// tried again, up to ten times; then the error wraps PostgreSQL's 55P03. It applies
	// to calls that only read, too.
	LockTimeout time.Duration
	// StatementTimeout is how long a statement may take; 0 means the setting of the
	// server or the role.
	StatementTimeout time.Duration
	// CommitGrace is how long a COMMIT may go on after the context has ended; 0 means 10
	// seconds. Then the connection is closed, and the error is [ErrOutcomeUnknown].
	CommitGrace time.Duration
}

// A Migrator migrates one schema of one database. It is safe for concurrent use.
type Migrator struct {
	on      any // a *pgxpool.Pool, a *sql.DB or a *sql.Conn
	schema  string
	options Options
}

// New returns a Migrator for a database. It does not connect. Each call takes one connection
// of a pool or a *sql.DB. Calls on a *sql.Conn wait for each other.
//
// A *sql.DB and a *sql.Conn must be of pgx's driver, package
// [github.com/jackc/pgx/v5/stdlib], or of one that wraps it and returns its connection by a
// method Raw() driver.Conn. Otherwise every call returns [ErrDriver].
//
// A Migrator does not work in the caller's transaction: it begins its own, which it repeats
// when a lock is not available, and it builds indexes outside of a transaction. So it takes
// no *sql.Tx, and every call returns an error if a *sql.Conn is in a transaction.
func New[T *pgxpool.Pool | *sql.DB | *sql.Conn](on T, options *Options) (*Migrator, error) {
	if on == nil {
		return nil, fmt.Errorf("new migrator: the %T is nil", on)
	}
	m, err := newMigrator(options)
	if err != nil {
		return nil, fmt.Errorf("new migrator: %w", err)
	}
	m.on = on
	return m, nil
}

// newMigrator returns a Migrator without a database.
func newMigrator(options *Options) (*Migrator, error) {
	if options == nil {
		options = &Options{}
	}
	m := &Migrator{schema: cmp.Or(options.Schema, graphile.DefaultSchema), options: *options}
	m.options.LockTimeout = cmp.Or(options.LockTimeout, 5*time.Second)
	m.options.CommitGrace = cmp.Or(options.CommitGrace, 10*time.Second)
	if err := graphile.CheckSchema(m.schema); err != nil {
		return nil, err
	}
	for name, d := range map[string]time.Duration{
		"WaitLock": options.WaitLock, "LockTimeout": options.LockTimeout, "StatementTimeout": options.StatementTimeout, "CommitGrace": options.CommitGrace,
	} {
		if d < 0 {
			return nil, fmt.Errorf("%s is negative: %s", name, d)
		}
	}
	return m, nil
}

// table returns the quoted name of a table of the schema.
func (m *Migrator) table(name string) string { return pgx.Identifier{m.schema, name}.Sanitize() }

// renamedFiles are [Files] for another schema.
type renamedFiles struct{ schema string }

func (r renamedFiles) Open(name string) (fs.File, error) {
	file, err := Files.Open(name)
	if err != nil || name == "." {
		return file, err
	}
	body, err := io.ReadAll(file)
	return renamedFile{file, strings.NewReader(graphile.Rename(string(body), r.schema))}, err
}

type renamedFile struct {
	fs.File
	body *strings.Reader
}

func (f renamedFile) Read(p []byte) (int, error) { return f.body.Read(p) }
