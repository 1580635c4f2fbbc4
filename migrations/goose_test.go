package migrations_test

import (
	"database/sql"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// Goose applies the files without this package. The schema must exist for its version
// table.
func TestPlainGoose(t *testing.T) {
	t.Parallel()
	const table = graphile.DefaultSchema + "." + migrations.VersionTable
	provider := func(t *testing.T, db *sql.DB) *goose.Provider {
		t.Helper()
		p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files, goose.WithTableName(table))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tc := range []struct {
		reason   string
		up, down func(*testing.T, *bench, *sql.DB) error
	}{
		{
			"the provider",
			func(t *testing.T, b *bench, db *sql.DB) error { _, err := provider(t, db).Up(b.ctx); return err },
			func(t *testing.T, b *bench, db *sql.DB) error { _, err := provider(t, db).DownTo(b.ctx, 0); return err },
		},
		{
			"the globals, which the command uses", // and no other test
			func(t *testing.T, b *bench, db *sql.DB) error {
				goose.SetLogger(goose.NopLogger())
				goose.SetBaseFS(migrations.Files)
				goose.SetTableName(table)
				if err := goose.SetDialect("postgres"); err != nil {
					return err
				}
				return goose.UpContext(b.ctx, db, ".")
			},
			func(t *testing.T, b *bench, db *sql.DB) error { return goose.DownToContext(b.ctx, db, ".", 0) },
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			for _, version := range slices.Concat([]string{""}, upstream.Versions) {
				var b *bench
				if version == "" {
					b = newBench(t, nil)
					b.exec("create schema graphile_worker")
				} else {
					b = newBench(t, seeded(t, version))
				}
				db := stdlib.OpenDBFromPool(b.pool)
				defer db.Close()
				if err := tc.up(t, b, db); err != nil {
					t.Fatal(err)
				}
				b.checkCatalog()
				b.checkLedger()
				want := &migrations.Status{Schema: b.schema, Revision: 20, Breaking: 19, Migrations: appliedMigrations()}
				got, err := b.migrator.Status(b.ctx)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got, justNow); diff != "" {
					t.Errorf("status: -want +got\n%s", diff)
				}
				unchanged := b.unchanged()
				if result := b.up(); len(result.Applied) > 0 {
					t.Errorf("Up applied %v", result.Applied)
				}
				unchanged()

				if err := tc.down(t, b, db); err != nil {
					t.Fatal(err)
				}
				if left := b.catalog(); len(left) > 0 {
					t.Errorf("down left %s", strings.Join(left, "\n"))
				}
				if diff := cmp.Diff(allMigrations, b.up().Applied); diff != "" {
					t.Errorf("Up after goose down: -want +got\n%s", diff)
				}
				b.checkCatalog()
			}
		})
	}
}

// Goose goes on from what the Migrator did.
func TestPlainGooseAfterUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.up()
	db := stdlib.OpenDBFromPool(b.pool)
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files,
		goose.WithTableName(graphile.DefaultSchema+"."+migrations.VersionTable))
	if err != nil {
		t.Fatal(err)
	}
	if pending, err := p.HasPending(b.ctx); pending || err != nil {
		t.Errorf("pending is %t (%v)", pending, err)
	}
}

// What graphile.Rename and the servers' sessions ask of the files.
func TestFiles(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(migrations.Files, "*")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range allMigrations {
		want = append(want, fmt.Sprintf("%05d_%s.sql", m.Version, m.Name))
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files: -want +got\n%s", diff)
	}
	var (
		schema = regexp.MustCompile(`\W?graphile_worker\b[.';]?`)
		dollar = regexp.MustCompile(`\$\w*\$`)
		call   = regexp.MustCompile(`(as )?[\w.]+\s?\(`)
		syntax = strings.Fields("and any array as btree by check coalesce conflict exists filter identity in " +
			"include insert key over returning set then unique values where")
	)
	for _, name := range names {
		content, err := fs.ReadFile(migrations.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(content), "\n") {
			code, _, _ := strings.Cut(line, "--")
			for _, at := range schema.FindAllString(code, -1) {
				whole := at == "'graphile_worker'"
				qualifier := at[0] != '\'' && strings.HasSuffix(at, ".")
				if !whole && !qualifier && strings.TrimSpace(code) != "create schema graphile_worker;" {
					t.Errorf("%s:%d: neither a literal nor a qualifier: %s", name, i+1, line)
				}
			}
			for _, tag := range dollar.FindAllString(line, -1) {
				if tag != "$body$" {
					t.Errorf("%s:%d: Rename does not know the tag %s", name, i+1, tag)
				}
			}
			for _, at := range call.FindAllString(code, -1) {
				function, alias := strings.TrimRight(at, " ("), strings.HasPrefix(at, "as ")
				if !alias && !strings.Contains(function, ".") && !slices.Contains(syntax, function) {
					t.Errorf("%s:%d: not qualified: %s", name, i+1, function)
				}
			}
		}
	}
}
