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

// The patterns match even while the generated files are missing.
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

// A Fact is what PostgreSQL's catalog says of one object.
type Fact struct {
	Object string // such as "column _private_jobs.priority", without the schema's name
	// PartOf is the object that it is created and dropped with, such as
	// "table _private_jobs"; empty if there is none.
	PartOf string
	// Definition is in the server's words. For the body of a function it is the language
	// and a hash of the source that does not depend on the schema's name.
	Definition string
}

// A Catalog is what PostgreSQL's catalog says of a schema, and the revisions in its table
// migrations.
type Catalog struct {
	Schema string // the name, with quotes if the server writes them
	Facts  []Fact // all but Bodies
	Bodies []Fact // the bodies of the functions
}

// Has reports whether there is an object of that name among the Facts.
func (c *Catalog) Has(object string) bool {
	return slices.ContainsFunc(c.Facts, func(f Fact) bool { return f.Object == object })
}

// Read reads the catalog of a schema, which need not exist. It sets the transaction's
// search_path, quote_all_identifiers and row_security. The role must be able to read all
// rows of the table migrations, if there is one.
func Read(ctx context.Context, tx pgx.Tx, schema string) (*Catalog, error) {
	// With row_security off, a policy that hides rows of the table migrations is an error.
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

// readLedger adds a fact for each revision that this module knows. The first revisions of
// Graphile Worker had no column breaking.
func (c *Catalog) readLedger(ctx context.Context, tx pgx.Tx, table string) error {
	rows, err := tx.Query(ctx, `
		select coalesce(m.id::text, 'null'), case when to_jsonb(m) ->> 'breaking' = 'true' then 'breaking' else 'not breaking' end
		from `+table+` as m order by m.id`)
	if err != nil {
		return err
	}
	var id, definition string
	_, err = pgx.ForEachRow(rows, []any{&id, &definition}, func() error {
		if revision, err := strconv.Atoi(id); err != nil || revision <= graphile.NewestRevision {
			c.Facts = append(c.Facts, Fact{"revision " + id, "table migrations", definition})
		}
		return nil
	})
	return err
}

// Expected returns what Read finds in a freshly migrated schema, whose name is given as the
// server writes it.
func Expected(name string) *Catalog {
	c := &Catalog{Schema: name, Facts: parse(content("catalog.txt")), Bodies: origin(ours)}
	// The reverse, to take the name out of the server's words, would hit the alias of a
	// table if the schema is called jobs.
	for i := range c.Facts {
		c.Facts[i].Definition = strings.ReplaceAll(c.Facts[i].Definition, graphile.DefaultSchema+".", name+".")
	}
	return c
}

// Comparable returns all facts. It gives every known body of a function the same
// definition.
func (c *Catalog) Comparable() []Fact {
	origins := Origins()
	releases, newest := origins[1:len(origins)-1], origins[len(origins)-1]
	same := fmt.Sprintf("that of %s or of Graphile Worker %s or %s", ours, strings.Join(releases, ", "), newest)
	var known []Fact
	for _, name := range origins {
		known = append(known, origin(name)...)
	}
	facts := slices.Concat(c.Facts, c.Bodies)
	for i := range facts[len(c.Facts):] {
		body := &facts[len(c.Facts)+i]
		if slices.Contains(known, *body) {
			body.Definition = same
		} else {
			language, hash, _ := strings.Cut(body.Definition, " ")
			body.Definition = fmt.Sprintf("another, in %s, with SHA-256 %s", language, hash)
		}
	}
	return facts
}

const (
	bodyOf = "body of "
	ours   = "gwadmin"
)

// Origins returns whose function bodies are known: gwadmin's and those of releases of
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

func origin(name string) []Fact { return parse(content(path.Join("bodies", name+".txt"))) }

// digest returns a function's language and a hash of its source, given both with a space
// in between.
func digest(body, schema string) string {
	language, source, _ := strings.Cut(body, " ")
	source = strings.ReplaceAll(source, pgx.Identifier{schema}.Sanitize()+".", "$S.")
	// Without quotes only before a table: if the schema is called jobs, an alias may have
	// the same name, with a column after it.
	bare := regexp.MustCompile(`\b` + regexp.QuoteMeta(schema) + `\._private_`)
	source = bare.ReplaceAllLiteralString(source, "$S._private_")
	return fmt.Sprintf("%s %x", language, sha256.Sum256([]byte(source)))
}

// Format returns facts as the files of this package have them: one a line, with tabs
// between the fields.
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
