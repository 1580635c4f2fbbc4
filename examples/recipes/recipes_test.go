// Package recipes runs what docs/sqlc.md and docs/migration-tools.md tell a team to do: the
// commands of these pages, with the real tools, on the team's files in this directory.
package recipes

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/internal/pgtest"
)

// Tools are the migration tools, as go install takes them.
var tools = [][]string{
	{"-tags=no_clickhouse,no_libsql,no_mssql,no_mysql,no_sqlite3,no_starrocks,no_turso,no_vertica,no_ydb",
		"github.com/pressly/goose/v3/cmd/goose@v3.29.0"},
	{"-tags=postgres", "github.com/golang-migrate/migrate/v4/cmd/migrate@v4.20.1"},
	{"github.com/jackc/tern/v2@v2.3.4"},
}

var update = flag.Bool("update", false, "write the code that sqlc generates")

var bin, root string

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run installs the tools for the tests.
func run(m *testing.M) (code int, err error) {
	if runtime.GOOS == "windows" {
		fmt.Println("the commands are for a Unix shell")
		return 0, nil
	}
	if root, err = filepath.Abs("../.."); err != nil {
		return 0, err
	}
	if bin, err = os.MkdirTemp("", "gwadmin-recipes-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(bin)
	install := func(args ...string) {
		cmd := exec.Command("go", args...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOBIN="+bin, "GOWORK=off")
		if out, failed := cmd.CombinedOutput(); failed != nil && err == nil {
			err = fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), failed, out)
		}
	}
	install("build", "-o", bin, "./cmd/gwadmin")
	install("build", "-modfile=internal/tools/go.mod", "-o", bin, "github.com/sqlc-dev/sqlc/cmd/sqlc")
	for _, tool := range tools {
		install(append([]string{"install"}, tool...)...)
	}
	if err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func TestSqlc(t *testing.T) {
	t.Parallel()
	r := newRecipe(t, "sqlc", "")
	page := r.page("sqlc.md")
	for _, file := range []string{"sqlc.yaml", "database-sql.yaml", "queries.sql"} {
		text := r.read(file)
		if file == "queries.sql" { // the page leaves out the last
			text, _, _ = strings.Cut(text, "\n-- name: JobPayload")
		}
		if !strings.Contains(page, "\n"+text+"```\n") {
			t.Errorf("docs/sqlc.md does not show %s as it is", file)
		}
	}
	// The first of the commands generates code, and a later one fails where it is not fresh.
	for _, dir := range []string{"db", "sqldb"} {
		if err := os.RemoveAll(filepath.Join(r.dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	r.run(commands(t, page))
	for _, dir := range []string{"db", "sqldb"} {
		if *update {
			if err := os.RemoveAll(filepath.Join("sqlc", dir)); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(filepath.Join("sqlc", dir), os.DirFS(filepath.Join(r.dir, dir))); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(files(t, filepath.Join("sqlc", dir)), files(t, filepath.Join(r.dir, dir))); diff != "" {
			t.Errorf("sqlc/%s is stale, run go test -run Sqlc -update: -committed +generated\n%s", dir, diff)
		}
	}
}

// TestSqlcCannot checks what the page says that sqlc cannot do.
func TestSqlcCannot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, change, want string }{
		{"the migrations alone", `cp "$(go list -m -f '{{.Dir}}' github.com/gwadmin/gwadmin)"/migrations/*.sql migrations
			sed -i.bak 's/graphile_worker.sql, //' sqlc.yaml`, `schema "graphile_worker" does not exist`},
		{"an absolute path", `sed -i.bak "s#graphile_worker.sql#$PWD/graphile_worker.sql#" sqlc.yaml`, "no such file or directory"},
		{"embed without an alias", `sed -i.bak 's/as j on j.key/on jobs.key/; s/embed(j)/embed(jobs)/; s/ j\.task/ jobs.task/' queries.sql`,
			`relation "jobs" does not exist`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRecipe(t, "sqlc", "")
			r.run("gwadmin schema > graphile_worker.sql; sqlc generate; " + c.change)
			if out, err := r.bash("sqlc generate"); err == nil || !strings.Contains(out, c.want) {
				t.Errorf("sqlc generate: %v, want %q\n%s", err, c.want, out)
			}
		})
	}
}

// TestMigrationTools runs what the page says about each tool, lets gwadmin judge the schema
// that it has built, and lets sqlc read the tool's migrations.
func TestMigrationTools(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		section, sample string
		again           string // runs the tool once more
		down            string // and goes down, where the page says something of that
		refused         string
	}{
		{"goose", "goose", `goose -dir migrations postgres "$DATABASE_URL" up`, "", ""},
		{"goose, beside your sequence", "goose", `goose -dir migrations postgres "$DATABASE_URL" up`, "", ""},
		{"golang-migrate", "golang-migrate", `migrate -path migrations -database "$DATABASE_URL" up`,
			`migrate -path migrations -database "$DATABASE_URL" down 1`, "the queue has jobs"},
		{"tern", "tern", `tern migrate --migrations migrations --conn-string "$DATABASE_URL"`,
			`tern migrate --migrations migrations --conn-string "$DATABASE_URL" --destination -1`, "Irreversible migration"},
	} {
		t.Run(c.section, func(t *testing.T) {
			t.Parallel()
			r := newRecipe(t, c.sample, pgtest.URL(t, nil))
			_, page, found := strings.Cut(r.page("migration-tools.md"), "\n## "+c.section+"\n")
			if !found {
				t.Fatalf("docs/migration-tools.md has no section %q", c.section)
			}
			section, _, _ := strings.Cut(page, "\n## ")
			r.run(commands(t, section))
			r.run(c.again)
			r.run("gwadmin migrate validate")
			r.readBySqlc()
			r.run(`psql -X -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "select graphile_worker.add_job('mail') from (select from orders) o right join (select) one on true"`)
			if c.down != "" {
				if out, err := r.bash(c.down); err == nil || !strings.Contains(out, c.refused) {
					t.Errorf("%s: %v, want %q\n%s", c.down, err, c.refused, out)
				}
				r.run("gwadmin migrate validate")
			}
			r.run("gwadmin migrate up")
			r.run("gwadmin migrate status")
		})
	}
}

// A recipe is a copy of a team's files.
type recipe struct {
	t   *testing.T
	dir string
	env []string
}

// newRecipe copies a directory, in which the tools are on the PATH and the Go module needs
// gwadmin.
func newRecipe(t *testing.T, sample, url string) *recipe {
	t.Helper()
	r := &recipe{t: t, dir: t.TempDir()}
	r.env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "DATABASE_URL="+url, "GOWORK=off")
	if err := os.CopyFS(r.dir, os.DirFS(sample)); err != nil {
		t.Fatal(err)
	}
	r.write("go.mod", "module orders\n\ngo 1.26.0\n\nrequire github.com/gwadmin/gwadmin v0.0.0\n\nreplace github.com/gwadmin/gwadmin => "+root+"\n")
	return r
}

// readBySqlc lets sqlc read the folder of migrations, and compares what it makes of it.
func (r *recipe) readBySqlc() {
	r.t.Helper()
	for _, name := range []string{"sqlc.yaml", "queries.sql"} {
		text, err := os.ReadFile(filepath.Join("sqlc", name))
		if err != nil {
			r.t.Fatal(err)
		}
		r.write(name, string(text))
	}
	r.run("gwadmin schema > graphile_worker.sql && sqlc generate")
	if diff := cmp.Diff(files(r.t, "sqlc/db"), files(r.t, filepath.Join(r.dir, "db"))); diff != "" {
		r.t.Errorf("generated code: -as from sqlc/migrations +from these\n%s", diff)
	}
}

func (r *recipe) run(script string) {
	r.t.Helper()
	if out, err := r.bash(script); err != nil {
		r.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func (r *recipe) bash(script string) (output string, err error) {
	cmd := exec.CommandContext(context.WithoutCancel(r.t.Context()), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *recipe) page(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r *recipe) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r *recipe) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// commands returns the blocks of commands on a page, in their order.
func commands(t *testing.T, page string) string {
	t.Helper()
	var blocks []string
	for _, block := range strings.Split(page, "\n```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "\n```")
		blocks = append(blocks, block)
	}
	if len(blocks) == 0 {
		t.Fatalf("no commands:\n%s", page)
	}
	return strings.Join(blocks, "\n")
}

// files returns the texts of the files in a directory, by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	texts := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(name)] = string(text)
	}
	return texts
}
