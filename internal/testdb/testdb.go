// Package testdb has the databases that tests start from: the schema that this
// module's migrations build, and those that the npm releases of Graphile Worker
// install.
package testdb

import (
	"context"
	"testing"

	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// Ours is a database with this module's schema; an empty name means graphile_worker.
func Ours(schema string) *pgtest.Template { return pgtest.Migrated(schema, nil) }

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
