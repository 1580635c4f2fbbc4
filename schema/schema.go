// Package schema has Graphile Worker's schema as plain DDL, for tools that read a
// schema instead of running migrations, such as sqlc.
package schema

import (
	"cmp"
	_ "embed"
	"fmt"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

//go:embed schema.sql
var ddl string

// SQL returns the statements that create the schema of that name (empty:
// graphile_worker) with its type, tables, indexes, view and functions, as package
// migrations builds them. sqlc 1.31 reads it. To install the schema use package
// migrations: this has neither the rows of Graphile Worker's ledger nor Goose's
// table.
//
// The same version of this package always returns the same text, so that a copy of it
// can be committed and compared. A name that PostgreSQL does not take for a schema is
// an error.
func SQL(name string) (string, error) {
	name = cmp.Or(name, graphile.DefaultSchema)
	if err := graphile.CheckSchema(name); err != nil {
		return "", fmt.Errorf("schema as SQL: %w", err)
	}
	return graphile.Rename(ddl, name), nil
}
