// Package testdb has the databases that tests start from: the schema that this
// module's migrations build, and those that the npm releases of Graphile Worker
// install.
package testdb

import (
	"context"
	_ "embed"
	"testing"

	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// Ours is a database with this module's schema; an empty name means graphile_worker.
func Ours(schema string) *pgtest.Template { return pgtest.Migrated(schema, nil) }

// Kinds is SQL that adds a job in every state but stranded, two cron items, and the locks of
// two workers and a paused queue, to an empty schema graphile_worker.
//
//go:embed kinds.sql
var Kinds string

// Upstream is a database with the schema of an npm release of Graphile Worker.
// Where npm is missing the test is skipped.
func Upstream(tb testing.TB, version, schema string) *pgtest.Template {
	tb.Helper()
	upstream.Ensure(tb)
	return &pgtest.Template{
		Name: "upstream",
		Key:  version + " " + schema,
		Build: func(ctx context.Context, url string) error {
			return upstream.Install(ctx, version, url, schema)
		},
	}
}

// Watch is SQL for a database with the schema graphile_worker. It records in watch.log
// which session added, took, replaced or deleted which job: see watch.sql.
//
// The sessions whose application_name starts with "admin" are those of the code under
// test. They must not change a job or queue that a worker holds: that is the event
// "violation". There are three exceptions. The "admin producer" may take the key and the
// remaining attempts of a held job, as add_job and remove_job do ("detached"), and increase
// its revision, as unsafe_dedupe does ("deduped"). The "admin unlocker" may clear the locks
// of workers whose ids start with "dead " ("unlocked"). The "admin pauser" may pause and
// resume queues ("paused", "resumed"), and clear the lock of a queue whose job has finished
// ("freed"). What the "admin holder" does is "put on hold" and "released".
//
// A worker must not take a job whose queue it does not hold: "taken without its queue".
//
//go:embed watch.sql
var Watch string
