// Package testdb has the databases that tests start from: the schema that this
// module's migrations build, and those that the npm releases of Graphile Worker
// install.
package testdb

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// Ours is a database with this module's schema; an empty name means graphile_worker.
func Ours(schema string) *pgtest.Template {
	return &pgtest.Template{
		Name: "ours",
		Key:  schema + MigrationsKey(),
		Build: func(ctx context.Context, url string) error {
			pool, err := pgxpool.New(ctx, url)
			if err != nil {
				return err
			}
			defer pool.Close()
			migrator, err := migrations.New(pool, &migrations.Options{Schema: schema})
			if err != nil {
				return err
			}
			_, err = migrator.Up(ctx, nil)
			return err
		},
	}
}

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

// MigrationsKey changes with any of the migration files.
func MigrationsKey() string {
	hash := sha256.New()
	err := fs.WalkDir(migrations.Files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := migrations.Files.ReadFile(path)
		fmt.Fprintln(hash, path, len(body))
		hash.Write(body)
		return err
	})
	if err != nil {
		panic(err) // the files are compiled in
	}
	return fmt.Sprintf(" %x", hash.Sum(nil))
}
