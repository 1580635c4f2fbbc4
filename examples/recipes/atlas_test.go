package recipes

import (
	"os"
	"path/filepath"
	"testing"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gwadmin/gwadmin/internal/pgtest"
)

// TestAtlas runs the migrations with Atlas's library, since its command is not to be had.
func TestAtlas(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, nil, withPublic)
	r := newRecipe(t, "atlas", pool.Config().ConnString())
	r.run("gwadmin migrate sql --from-nothing --body > migrations/20260102000000_graphile_worker.sql") // as the page says

	dir, err := migrate.NewLocalDir(filepath.Join(r.dir, "migrations"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := dir.Checksum()
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate.WriteSumFile(dir, sum); err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	driver, err := postgres.Open(db)
	if err != nil {
		t.Fatal(err)
	}
	executor, err := migrate.NewExecutor(driver, dir, migrate.NopRevisionReadWriter{})
	if err != nil {
		t.Fatal(err)
	}
	if err := executor.ExecuteN(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	r.run("gwadmin migrate validate && gwadmin migrate status")
	if err := os.Remove(filepath.Join(r.dir, "migrations", migrate.HashFileName)); err != nil {
		t.Fatal(err)
	}
	r.readBySqlc()

	realm, err := driver.InspectRealm(t.Context(), &schema.InspectRealmOption{Exclude: []string{"graphile_worker"}})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string][]string{}
	for _, s := range realm.Schemas {
		for _, table := range s.Tables {
			seen[s.Name] = append(seen[s.Name], table.Name)
		}
	}
	if diff := cmp.Diff(map[string][]string{"public": {"orders"}}, seen); diff != "" {
		t.Errorf("what Atlas sees: -want +got\n%s", diff)
	}
}
