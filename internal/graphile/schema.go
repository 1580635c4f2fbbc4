package graphile

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// DefaultSchema is the schema that every query and migration names, in full.
const DefaultSchema = "graphile_worker"

// CheckSchema says why a name cannot be a schema's, or nil. PostgreSQL would cut
// a name longer than 63 bytes in silence, and so reach another schema.
func CheckSchema(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("schema name is empty: leave it out for %q", DefaultSchema)
	case len(name) > 63:
		return fmt.Errorf("schema name %q has %d bytes: PostgreSQL keeps only 63", name, len(name))
	case !utf8.ValidString(name):
		return fmt.Errorf("schema name %q is not UTF-8", name)
	case strings.HasPrefix(name, "pg_"):
		return fmt.Errorf("schema name %q starts with pg_, which PostgreSQL keeps for itself", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("schema name %q has a control character", name)
	}
	return nil
}

// Rename returns SQL written for [DefaultSchema] with another schema's name in
// its place: the bare name becomes a quoted identifier, and the name alone in
// single quotes becomes a string literal. The name must have passed [CheckSchema].
func Rename(sql, schema string) string {
	if schema == DefaultSchema {
		return sql
	}
	pairs := []string{
		"'" + DefaultSchema + "'", "'" + strings.ReplaceAll(schema, "'", "''") + "'",
		DefaultSchema, pgx.Identifier{schema}.Sanitize(),
	}
	// A function body ends at the next occurrence of its own tag.
	if strings.Contains(schema, "$") {
		tag := "$body$"
		for strings.Contains(schema, tag) {
			tag = tag[:len(tag)-1] + "_$"
		}
		pairs = append(pairs, "$body$", tag)
	}
	return strings.NewReplacer(pairs...).Replace(sql)
}
