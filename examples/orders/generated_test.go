package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/examples/orders/tasks"
	"github.com/gwadmin/gwadmin/schema"
	"github.com/gwadmin/gwadmin/typescript"
)

const stale = "is stale, run go generate: -want +got"

func TestSchema(t *testing.T) {
	t.Parallel()
	want, err := schema.SQL("")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read(t, "graphile_worker.sql")); diff != "" {
		t.Errorf("graphile_worker.sql %s\n%s", stale, diff)
	}
}

func TestPayloads(t *testing.T) {
	t.Parallel()
	if err := typescript.Check("worker/src/payloads.d.ts", tasks.All, nil); err != nil {
		t.Error(err)
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	// Builds sqlc, and prints where it is.
	sqlc, err := exec.Command("go", "tool", "-modfile=../../internal/tools/go.mod", "-n", "sqlc").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir+"/migrations", os.DirFS("migrations")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sqlc.yaml", "queries.sql", "graphile_worker.sql"} {
		write(t, dir+"/"+name, read(t, name))
	}
	generate := exec.Command(strings.TrimSpace(string(sqlc)), "generate")
	generate.Dir = dir
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("sqlc generate: %v\n%s", err, out)
	}
	if diff := cmp.Diff(texts(t, dir+"/db"), texts(t, "db")); diff != "" {
		t.Errorf("db %s\n%s", stale, diff)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// texts returns the texts of a directory's files, by their names.
func texts(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range entries {
		all[entry.Name()] = read(t, dir+"/"+entry.Name())
	}
	return all
}
