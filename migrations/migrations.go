// Package migrations brings a PostgreSQL database to the schema of Graphile
// Worker 0.18.0 (revision 20), with Goose and without a JavaScript runtime.
//
// The migrations converge: an empty database, and one that Graphile Worker 0.16
// or newer installed, end in the same schema, every row kept. They record
// Graphile Worker's own revisions, so that a JavaScript worker that starts
// afterwards finds nothing to do, and send the notifications that make running
// workers of an incompatible release stop.
//
// Each change is one transaction on one connection: it happens whole or not at
// all, and a transaction-mode pooler is no obstacle. An advisory lock held for
// that transaction keeps migrators of one schema apart.
package migrations

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// Files holds the migrations as Goose reads them, for the schema
// graphile_worker. They work with the goose command, too.
//
//go:embed *.sql
var Files embed.FS

// VersionTable is Goose's version table, inside the migrated schema.
const VersionTable = "goose_db_version"

var (
	// ErrRevisionTooOld matches a [*RevisionError] for a schema that Graphile
	// Worker must upgrade first.
	ErrRevisionTooOld = graphile.ErrRevisionTooOld
	// ErrRevisionTooNew matches a [*RevisionError] for a schema that has been
	// through a breaking revision which this package does not know.
	ErrRevisionTooNew = graphile.ErrRevisionTooNew
	// ErrForeign says that the schema has a table migrations that is not Graphile
	// Worker's ledger, or that the tables which go with the ledger are gone.
	ErrForeign = errors.New("a table migrations that is not Graphile Worker's")
	// ErrJobsLeft matches a [*JobsLeftError].
	ErrJobsLeft = errors.New("jobs would be lost")
	// ErrBusy matches a [*BusyError].
	ErrBusy = errors.New("workers hold jobs")
	// ErrLocked says that another migrator of the schema was still at work when
	// Options.WaitLock was over.
	ErrLocked = errors.New("another migrator is at work")
)

// RevisionError says at which unsupported revision a schema is.
type RevisionError = graphile.RevisionError

// JobsLeftError says that [Migrator.Down] was about to drop a jobs table that
// is not empty. It matches [ErrJobsLeft].
type JobsLeftError struct {
	Schema string
	Jobs   int64 // all jobs in the table
	Locked int64 // those of them that a worker holds
}

func (e *JobsLeftError) Error() string {
	return fmt.Sprintf("%v: schema %q holds %d jobs, %d of them locked by workers: set LoseJobs to drop so many",
		ErrJobsLeft, e.Schema, e.Jobs, e.Locked)
}

func (e *JobsLeftError) Unwrap() error { return ErrJobsLeft }

// Options say what to migrate. The zero value, or nil, is Graphile Worker's default.
type Options struct {
	// Schema is the schema to migrate; empty means graphile_worker.
	Schema string
	// WaitLock is how long to wait for another migrator of the schema; 0 means
	// for as long as the context lasts. After it the error is [ErrLocked]. No
	// other timeout, of this package or the server, counts meanwhile.
	WaitLock time.Duration
	// LockTimeout is how long a statement waits for a lock that somebody else
	// holds, while others wait behind it; 0 means 5 seconds. After it everything
	// is rolled back and tried again, up to ten times; then the error wraps
	// PostgreSQL's 55P03. It bounds what only reads, too.
	LockTimeout time.Duration
	// StatementTimeout is how long a statement may take; 0 means what the
	// server is set to.
	StatementTimeout time.Duration
}

// A Migrator migrates one schema of one database. It may be used from many
// goroutines at once.
type Migrator struct {
	pool    *pgxpool.Pool
	schema  string
	options Options
}

// New returns a Migrator that works over the pool, of which each call takes one
// connection. It connects to nothing yet.
func New(pool *pgxpool.Pool, options *Options) (*Migrator, error) {
	if pool == nil {
		return nil, errors.New("new migrator: the pool is nil")
	}
	m, err := newMigrator(options)
	if err != nil {
		return nil, fmt.Errorf("new migrator: %w", err)
	}
	m.pool = pool
	return m, nil
}

// newMigrator returns one without a pool.
func newMigrator(options *Options) (*Migrator, error) {
	if options == nil {
		options = &Options{}
	}
	m := &Migrator{schema: cmp.Or(options.Schema, graphile.DefaultSchema), options: *options}
	m.options.LockTimeout = cmp.Or(options.LockTimeout, 5*time.Second)
	if err := graphile.CheckSchema(m.schema); err != nil {
		return nil, err
	}
	for name, d := range map[string]time.Duration{
		"WaitLock": options.WaitLock, "LockTimeout": options.LockTimeout, "StatementTimeout": options.StatementTimeout,
	} {
		if d < 0 {
			return nil, fmt.Errorf("%s is negative: %s", name, d)
		}
	}
	return m, nil
}

// renamedFiles are [Files] with another schema's name.
type renamedFiles struct{ schema string }

func (r renamedFiles) Open(name string) (fs.File, error) {
	file, err := Files.Open(name)
	if err != nil || name == "." {
		return file, err
	}
	body, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	return renamedFile{file, strings.NewReader(graphile.Rename(string(body), r.schema))}, nil
}

type renamedFile struct {
	fs.File
	body *strings.Reader
}

func (f renamedFile) Read(p []byte) (int, error) { return f.body.Read(p) }
