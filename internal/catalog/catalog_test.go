package catalog_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/catalog"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

var update = flag.Bool("update", false, "write the digests of the npm releases' functions")

func TestCatalogIsFresh(t *testing.T) {
	t.Parallel()
	got := read(t, testdb.Ours(""))
	for name, facts := range map[string][]catalog.Fact{"catalog.txt": got.Facts, "bodies/gwadmin.txt": got.Bodies} {
		if diff := cmp.Diff(readFile(t, name), catalog.Format(facts)); diff != "" {
			t.Errorf("%s is stale, run go run ./internal/generate: -file +database\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(catalog.Expected(graphile.DefaultSchema), got); diff != "" {
		t.Errorf("-expected +read\n%s", diff)
	}
}

func TestCatalogOfReleases(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(append([]string{"gwadmin"}, upstream.Versions...), catalog.Origins()); diff != "" && !*update {
		t.Errorf("origins: -want +got\n%s", diff)
	}
	for _, version := range upstream.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			got := read(t, testdb.Upstream(t, version, ""))
			name := filepath.Join("bodies", version+".txt")
			if *update {
				if err := os.WriteFile(name, []byte(catalog.Format(got.Bodies)), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(readFile(t, name), catalog.Format(got.Bodies)); diff != "" {
				t.Errorf("%s: run go test ./internal/catalog -update: -file +npm\n%s", name, diff)
			}
			if revision := fmt.Sprintf("revision %d", upstream.Revision(version)); !got.Has(revision) {
				t.Errorf("there is no %s", revision)
			}
		})
	}
}

func read(tb testing.TB, template *pgtest.Template) (found *catalog.Catalog) {
	tb.Helper()
	err := pgx.BeginFunc(tb.Context(), pgtest.Pool(tb, template), func(tx pgx.Tx) (err error) {
		found, err = catalog.Read(tb.Context(), tx, graphile.DefaultSchema)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

func readFile(tb testing.TB, name string) string {
	tb.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(content)
}
