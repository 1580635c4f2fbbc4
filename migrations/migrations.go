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
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

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
	// ErrJobsLeft matches a [*JobsLeftError].
	ErrJobsLeft = errors.New("jobs would be lost")
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
	return fmt.Sprintf("%v: schema %q holds %d jobs, %d of them locked by workers: set LoseJobs to drop them",
		ErrJobsLeft, e.Schema, e.Jobs, e.Locked)
}

func (e *JobsLeftError) Unwrap() error { return ErrJobsLeft }

// Options say what to migrate. The zero value, or nil, is Graphile Worker's default.
type Options struct {
	// Schema is the schema to migrate; empty means graphile_worker.
	Schema string
}

// A Migrator migrates one schema of one database. It may be used from many
// goroutines at once.
type Migrator struct {
	pool   *pgxpool.Pool
	schema string
}

// New returns a Migrator that works over the pool, of which each call takes one
// connection. It connects to nothing yet.
func New(pool *pgxpool.Pool, options *Options) (*Migrator, error) {
	if pool == nil {
		return nil, errors.New("new migrator: the pool is nil")
	}
	schema := graphile.DefaultSchema
	if options != nil && options.Schema != "" {
		schema = options.Schema
	}
	if err := graphile.CheckSchema(schema); err != nil {
		return nil, fmt.Errorf("new migrator: %w", err)
	}
	return &Migrator{pool: pool, schema: schema}, nil
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
