package graphile

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// A Ledger is what a schema's table migrations, in which Graphile Worker records the
// revisions that it has applied, and the names of its tables tell about the schema.
type Ledger struct {
	Schema string
	// Foreign reports that the table migrations is not Graphile Worker's, or that the
	// tables of its revision are missing. Revision and Breaking are then 0.
	Foreign bool
	// Abandoned reports that the ledger is Graphile Worker's and its tables are missing.
	// Such a ledger is Foreign, too.
	Abandoned bool
	Revision  int // the newest revision; 0 if there is none
	Breaking  int // the newest breaking revision; 0 if there is none
	relations []string
}

// Has reports whether the schema has a relation of that name, of those that
// [Ledger.look] looks for.
func (l *Ledger) Has(relation string) bool { return slices.Contains(l.relations, relation) }

// Check returns [ErrForeign] or a [*RevisionError] for a schema that this module does
// not work with, and [ErrNotInstalled] where there is no revision.
func (l *Ledger) Check() error {
	switch {
	case l.Foreign:
		return fmt.Errorf("schema %q has %w: choose another schema", l.Schema, ErrForeign)
	case l.Revision == 0:
		return NotInstalled(l.Schema)
	}
	return CheckRevision(l.Schema, l.Revision, l.Breaking)
}

// A Queryer is a pool, a connection or a transaction.
type Queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// ReadLedger reads a schema's ledger. The role needs select on the table migrations, if
// there is one.
func ReadLedger(ctx context.Context, db Queryer, schema string) (*Ledger, error) {
	l := &Ledger{Schema: schema}
	columns, err := l.look(ctx, db)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(columns, "id integer") || !slices.Contains(columns, "ts timestamp with time zone") {
		l.Foreign = l.Has("migrations")
		return l, nil
	}
	// The first revisions had no column breaking.
	err = db.QueryRow(ctx, `
		select coalesce(max(m.id), 0),
			coalesce(max(m.id) filter (where pg_catalog.to_jsonb(m) ->> 'breaking' = 'true'), 0)
		from `+pgx.Identifier{schema, "migrations"}.Sanitize()+" as m").Scan(&l.Revision, &l.Breaking)
	if err != nil {
		return nil, fmt.Errorf("read the revision of schema %q: %w", schema, err)
	}
	if l.Revision == 0 {
		return l, nil
	}
	// An installer that is at work may have created the tables since the first look.
	if columns, err = l.look(ctx, db); err != nil {
		return nil, err
	}
	genuine := (l.Has("_private_jobs") || l.Has("job_queues")) && l.Revision < OldestRevision
	if slices.Contains(columns, "breaking boolean") {
		const renamed = 16 // gave the tables their names of today
		genuine = l.Has("_private_jobs") || l.Revision < renamed
		l.Abandoned = !genuine
	}
	if !genuine {
		l.Foreign, l.Revision, l.Breaking = true, 0, 0
	}
	return l, nil
}

// look reads which of a few relations the schema has, and the columns of its table
// migrations.
func (l *Ledger) look(ctx context.Context, db Queryer) (columns []string, err error) {
	err = db.QueryRow(ctx, `
		select
			array(
				select c.relname::text
				from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
				where n.nspname = $1 and c.relname in ('migrations', '_private_jobs', 'job_queues', '`+VersionTable+`')
			),
			array(
				select a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod)
				from pg_catalog.pg_attribute as a
				join pg_catalog.pg_class as c on c.oid = a.attrelid
				join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
				where n.nspname = $1 and c.relname = 'migrations' and c.relkind = 'r' and a.attnum > 0
			)`, l.Schema).Scan(&l.relations, &columns)
	if err != nil {
		return nil, fmt.Errorf("look for schema %q: %w", l.Schema, err)
	}
	return columns, nil
}
