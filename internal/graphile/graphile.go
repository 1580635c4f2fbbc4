// Package graphile holds what the other packages must agree on about Graphile
// Worker: its schema's name and how to write another one, and the revisions of
// its database that this module works with.
package graphile

import (
	"errors"
	"fmt"
)

// The revisions of Graphile Worker's database, as its migrations table counts them.
const (
	OldestRevision = 18 // Graphile Worker 0.16, whose tables are those of today
	NewestRevision = 20 // Graphile Worker 0.18.0
	NewestBreaking = 19 // the newest of them that older workers cannot go on after
)

var (
	// ErrNotInstalled says that a schema, or a part of it that is needed, is not there.
	ErrNotInstalled = errors.New("schema of Graphile Worker is not installed")
	// ErrRevisionTooOld is what a [RevisionError] wraps when the database is
	// older than [OldestRevision].
	ErrRevisionTooOld = errors.New("revision too old")
	// ErrRevisionTooNew is what a [RevisionError] wraps when the database has
	// been through a breaking revision after [NewestRevision].
	ErrRevisionTooNew = errors.New("revision too new")
)

// A RevisionError says that a database is at a revision this module does not
// work with. It wraps [ErrRevisionTooOld] or [ErrRevisionTooNew].
type RevisionError struct {
	Schema   string // the schema looked at
	Revision int    // the newest revision in its migrations table
	Breaking int    // the newest breaking revision there, 0 when none is
	Err      error  // ErrRevisionTooOld or ErrRevisionTooNew
}

func (e *RevisionError) Error() string {
	if errors.Is(e.Err, ErrRevisionTooOld) {
		return fmt.Sprintf("%v: schema %q is at Graphile Worker revision %d and gwadmin needs %d or newer: "+
			"upgrade it with Graphile Worker 0.16.6 or newer (graphile-worker --schema-only), then try again",
			e.Err, e.Schema, e.Revision, OldestRevision)
	}
	return fmt.Sprintf("%v: schema %q is at Graphile Worker revision %d (breaking since %d) and this gwadmin knows revisions up to %d: "+
		"use a gwadmin that knows it", e.Err, e.Schema, e.Revision, e.Breaking, NewestRevision)
}

func (e *RevisionError) Unwrap() error { return e.Err }

// CheckRevision returns a [*RevisionError] when a database at this revision,
// whose newest breaking one is given, is none that this module works with.
func CheckRevision(schema string, revision, breaking int) error {
	switch {
	case revision < OldestRevision:
		return &RevisionError{Schema: schema, Revision: revision, Breaking: breaking, Err: ErrRevisionTooOld}
	case breaking > NewestRevision:
		return &RevisionError{Schema: schema, Revision: revision, Breaking: breaking, Err: ErrRevisionTooNew}
	}
	return nil
}
