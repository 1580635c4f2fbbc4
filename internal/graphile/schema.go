package graphile

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// DefaultSchema is the schema that all queries and migrations are written for.
const DefaultSchema = "graphile_worker"

// CheckSchema returns an error if PostgreSQL does not take the name for a schema.
// PostgreSQL silently truncates a name of more than 63 bytes, which is then the name of
// another schema.
func CheckSchema(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("schema name is empty: leave it out for %q", DefaultSchema)
	case len(name) > 63:
		return fmt.Errorf("schema name %q has %d bytes: PostgreSQL keeps only 63", Short(name), len(name))
	case !utf8.ValidString(name):
		return fmt.Errorf("schema name %q is not UTF-8", name)
	case strings.HasPrefix(name, "pg_"):
		return fmt.Errorf("schema name %q starts with pg_, which PostgreSQL keeps for itself", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("schema name %q has a control character", name)
	}
	return nil
}

// Short returns the beginning of a text that somebody has given, for an error: at most 100
// characters.
func Short(text string) string {
	const most = 100
	if len(text) <= most {
		return text
	}
	if runes := []rune(text[:min(len(text), utf8.UTFMax*(most+1))]); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// Rename returns SQL that is written for [DefaultSchema] with the name of another schema
// in its place: as a quoted identifier, or as a string literal where the name stands
// alone between single quotes. The name must have passed [CheckSchema].
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
