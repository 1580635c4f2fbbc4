// Package graphile holds what the other packages must agree on about Graphile Worker:
// the name of its schema and how to write another one, the revisions of its database that
// this module works with, and how to read the revision of a database.
package graphile

import (
	"errors"
	"fmt"

	"github.com/gwadmin/gwadmin/internal/shell"
)

// The revisions of Graphile Worker's database, as its table migrations counts them.
const (
	OldestRevision = 18 // the first one with today's tables
	NewestRevision = 20 // the one that the migrations build
	NewestBreaking = 19 // the newest one that workers of older releases cannot work with
)

// The releases of Graphile Worker that these revisions came with.
const (
	OldestRelease = "0.16"   // of OldestRevision
	NewestRelease = "0.18.0" // of NewestRevision
)

// VersionTable is Goose's version table, inside the schema.
const VersionTable = "goose_db_version"

var (
	// ErrNotInstalled says that the schema, or a part of it that is needed, is missing.
	ErrNotInstalled = errors.New("schema of Graphile Worker is not installed")
	// ErrForeign says that a table migrations is not Graphile Worker's.
	ErrForeign = errors.New("a table migrations that is not Graphile Worker's")
	// ErrRevisionTooOld is what a [RevisionError] wraps for a revision before
	// [OldestRevision].
	ErrRevisionTooOld = errors.New("revision too old")
	// ErrRevisionTooNew is what a [RevisionError] wraps for a breaking revision after
	// [NewestRevision].
	ErrRevisionTooNew = errors.New("revision too new")
	// ErrDriver says that a database of database/sql was not opened with pgx's driver.
	ErrDriver = errors.New(`not a database of pgx's driver: import github.com/jackc/pgx/v5/stdlib and open it with sql.Open("pgx", url)`)
)

// NotInstalled returns an [ErrNotInstalled] that says what to do.
func NotInstalled(schema string) error {
	return fmt.Errorf("%w: schema %q: install it with gwadmin migrate up%s or graphile-worker --schema-only%[3]s",
		ErrNotInstalled, schema, SchemaFlag(schema))
}

// SchemaFlags are the flags that a command needs to work on the schema; none for the default.
func SchemaFlags(schema string) []string {
	if schema == DefaultSchema {
		return nil
	}
	return []string{"--schema", schema}
}

// SchemaFlag is [SchemaFlags] for a shell, each after a space.
func SchemaFlag(schema string) (text string) {
	for _, word := range SchemaFlags(schema) {
		text += " " + shell.Word(word)
	}
	return text
}

// A RevisionError says that a database is at a revision that this module does not work
// with. It wraps [ErrRevisionTooOld] or [ErrRevisionTooNew].
type RevisionError struct {
	Schema   string
	Revision int   // the newest revision in its table migrations
	Breaking int   // the newest breaking revision there; 0 if there is none
	Err      error // ErrRevisionTooOld or ErrRevisionTooNew
}

func (e *RevisionError) Error() string {
	if errors.Is(e.Err, ErrRevisionTooOld) {
		return fmt.Sprintf("%v: schema %q is at Graphile Worker revision %d and gwadmin needs %d or newer: "+
			"upgrade it with Graphile Worker 0.16.6 or newer (graphile-worker --schema-only), then try again",
			e.Err, e.Schema, e.Revision, OldestRevision)
	}
	breaking := ""
	if e.Breaking > NewestRevision {
		breaking = fmt.Sprintf(" (breaking since %d)", e.Breaking)
	}
	return fmt.Sprintf("%v: schema %q is at Graphile Worker revision %d%s and this gwadmin knows revisions up to %d: "+
		"use a gwadmin that knows it", e.Err, e.Schema, e.Revision, breaking, NewestRevision)
}

func (e *RevisionError) Unwrap() error { return e.Err }

// CheckRevision returns a [*RevisionError] if this module does not work with a database
// at this revision, whose newest breaking revision is given.
func CheckRevision(schema string, revision, breaking int) error {
	switch {
	case revision < OldestRevision:
		return &RevisionError{Schema: schema, Revision: revision, Breaking: breaking, Err: ErrRevisionTooOld}
	case breaking > NewestRevision:
		return &RevisionError{Schema: schema, Revision: revision, Breaking: breaking, Err: ErrRevisionTooNew}
	}
	return nil
}
