// Package catalog describes a schema by what PostgreSQL's catalog says of each object
// in it, and holds that description of the schema that package migrations builds.
// Package migrations validates a database by comparing the two.
//
// go run ./internal/generate writes catalog.txt and bodies/gwadmin.txt. go test
// ./internal/catalog -update writes the other files in bodies, which describe the
// functions of Graphile Worker's npm releases.
package catalog

import (
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// The patterns match while generated files are missing, which are then written anew.
//
//go:embed catalog.* bodies
var files embed.FS

func content(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is compiled in
	}
	return string(text)
}

// A Fact is what a database's catalog says of one object.
type Fact struct {
	Object string // such as "column _private_jobs.priority": never with the schema's name
	// PartOf is the object that it comes and goes with, such as
	// "table _private_jobs"; empty where there is none.
	PartOf string
	// Definition is in the server's words. Of a function's body it is the
	// language and a digest of the source in which the schema's name does not matter.
	Definition string
}

// A Catalog is one schema as the server's catalog and its own ledger of
// revisions describe it.
type Catalog struct {
	Schema string // its name, with quotes where the server writes them
	Facts  []Fact // all but the bodies of functions
	Bodies []Fact // those
	// Revision and Breaking are the newest revision in the ledger and the newest
	// breaking one; 0 for none.
	Revision, Breaking int
}

// Has reports whether there is such an object.
func (c *Catalog) Has(object string) bool {
	return slices.ContainsFunc(c.Facts, func(f Fact) bool { return f.Object == object })
}

// Read reads what there is of a schema, which may be nothing. It sets the
// transaction's search_path, quote_all_identifiers and row_security. The ledger,
// where there is one, must be readable in full.
func Read(ctx context.Context, tx pgx.Tx, schema string) (*Catalog, error) {
	// With row_security off a policy in the way is an error, and not a ledger without rows.
	_, err := tx.Exec(ctx, `
		select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
			pg_catalog.set_config('quote_all_identifiers', 'off', true),
			pg_catalog.set_config('row_security', 'off', true)`)
	if err != nil {
		return nil, fmt.Errorf("set search_path: %w", err)
	}
	c := &Catalog{}
	if err := tx.QueryRow(ctx, "select quote_ident($1::text)", schema).Scan(&c.Schema); err != nil {
		return nil, fmt.Errorf("quote the schema's name: %w", err)
	}
	rows, err := tx.Query(ctx, content("catalog.sql"), schema)
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	var f Fact
	_, err = pgx.ForEachRow(rows, []any{&f.Object, &f.PartOf, &f.Definition}, func() error {
		if !strings.HasPrefix(f.Object, bodyOf) {
			c.Facts = append(c.Facts, f)
			return nil
		}
		f.Definition = digest(f.Definition, schema)
		c.Bodies = append(c.Bodies, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	if c.Has("column migrations.id") {
		err = c.readLedger(ctx, tx, pgx.Identifier{schema, "migrations"}.Sanitize())
	}
	if err != nil {
		return nil, fmt.Errorf("read the revisions: %w", err)
	}
	return c, nil
}

// readLedger adds a fact for each row. Before Graphile Worker 0.14 none was
// called breaking.
func (c *Catalog) readLedger(ctx context.Context, tx pgx.Tx, table string) error {
	rows, err := tx.Query(ctx, `
		select coalesce(m.id::text, 'null'), coalesce(to_jsonb(m) ->> 'breaking' = 'true', false)
		from `+table+` as m order by m.id`)
	if err != nil {
		return err
	}
	var id string
	var breaking bool
	_, err = pgx.ForEachRow(rows, []any{&id, &breaking}, func() error {
		revision, _ := strconv.Atoi(id) // in another's table it may be no number
		definition := "not breaking"
		c.Revision = max(c.Revision, revision)
		if breaking {
			definition = "breaking"
			c.Breaking = max(c.Breaking, revision)
		}
		c.Facts = append(c.Facts, Fact{"revision " + id, "table migrations", definition})
		return nil
	})
	return err
}

// Expected returns what Read finds in a freshly migrated schema, whose name is
// given as the server writes it.
func Expected(name string) *Catalog {
	c := &Catalog{Schema: name, Facts: parse(content("catalog.txt")), Bodies: origin(ours)}
	// The other way round, taking the name out of what a server says, would hit a
	// table's alias when the schema's name is jobs.
	for i := range c.Facts {
		c.Facts[i].Definition = strings.ReplaceAll(c.Facts[i].Definition, graphile.DefaultSchema+".", name+".")
	}
	return c
}

const (
	bodyOf = "body of "
	ours   = "gwadmin"
)

// Origins are those whose function bodies are known: gwadmin, and the releases of
// Graphile Worker.
func Origins() []string {
	entries, err := files.ReadDir("bodies")
	if err != nil {
		panic(err) // it is compiled in
	}
	origins := []string{ours}
	for _, entry := range entries {
		if name := strings.TrimSuffix(entry.Name(), ".txt"); name != ours {
			origins = append(origins, name)
		}
	}
	return origins
}

// OriginsOf returns those of the origins that have this body for the function.
func OriginsOf(body Fact) []string {
	return slices.DeleteFunc(Origins(), func(name string) bool { return !slices.Contains(origin(name), body) })
}

func origin(name string) []Fact { return parse(content(path.Join("bodies", name+".txt"))) }

// digest replaces a function's source, after its language and a space, by a hash.
func digest(body, schema string) string {
	language, source, _ := strings.Cut(body, " ")
	source = strings.ReplaceAll(source, pgx.Identifier{schema}.Sanitize()+".", "$S.")
	// Without quotes only in front of a table: where the schema is called jobs, so
	// may be an alias, and any column come after it.
	bare := regexp.MustCompile(`\b` + regexp.QuoteMeta(schema) + `\._private_`)
	source = bare.ReplaceAllLiteralString(source, "$S._private_")
	return fmt.Sprintf("%s %x", language, sha256.Sum256([]byte(source)))
}

// Format writes facts as the files of this package have them: one a line, its
// fields divided by tabs.
func Format(facts []Fact) string {
	var text strings.Builder
	for _, f := range facts {
		fmt.Fprintf(&text, "%s\t%s\t%s\n", f.Object, f.PartOf, f.Definition)
	}
	return text.String()
}

func parse(text string) []Fact {
	var facts []Fact
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		facts = append(facts, Fact{fields[0], fields[1], fields[2]})
	}
	return facts
}
