package migrations

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// A Migration is one of this package's files.
type Migration struct {
	Version int64  `json:"version"`
	Name    string `json:"name"` // the file's name without number and ending, such as "tables"
	// AppliedAt is when it was applied, in UTC; nil while it is pending, and in
	// the result of Up and Down.
	AppliedAt *time.Time `json:"applied_at"`
}

func newMigration(source *goose.Source) Migration {
	return Migration{Version: source.Version, Name: nameOf(source.Path)}
}

func nameOf(file string) string {
	_, name, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".sql"), "_")
	return name
}

// Status is what a database says of its migrations.
type Status struct {
	Schema string `json:"schema"`
	// Revision is the newest revision in Graphile Worker's ledger, and Breaking the
	// newest breaking one; 0 where there is no ledger or it is empty.
	Revision int `json:"revision"`
	Breaking int `json:"breaking"`
	// Foreign is true for a table migrations that is not Graphile Worker's: such
	// is not taken for a ledger.
	Foreign bool `json:"foreign,omitempty"`
	// Migrations are all that this package has, in order.
	Migrations []Migration `json:"migrations"`
}

// Supported returns a [*RevisionError] or [ErrForeign] for a schema that Up would
// refuse.
func (s *Status) Supported() error {
	if s.Foreign {
		return foreign(s.Schema)
	}
	if s.Revision == 0 {
		return nil
	}
	return graphile.CheckRevision(s.Schema, s.Revision, s.Breaking)
}

// Newer says whether the schema is at a revision newer than this package knows,
// which Up leaves as it is.
func (s *Status) Newer() bool { return s.Revision > graphile.NewestRevision }

// Pending returns the migrations that Up would apply.
func (s *Status) Pending() []Migration {
	var pending []Migration
	for _, m := range s.Migrations {
		if m.AppliedAt == nil {
			pending = append(pending, m)
		}
	}
	return pending
}

// Status reads which migrations a database has. It changes nothing, holds up
// nobody, and works on a database where nothing is installed.
func (m *Migrator) Status(ctx context.Context) (status *Status, err error) {
	err = m.read(ctx, pgx.ReadCommitted, func(tx pgx.Tx) (err error) {
		status, err = m.status(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	return status, nil
}

func (m *Migrator) status(ctx context.Context, tx pgx.Tx) (*Status, error) {
	state, err := m.glance(ctx, tx)
	if err != nil {
		return nil, err
	}
	status := &Status{Schema: m.schema, Revision: state.Revision, Breaking: state.Breaking, Foreign: state.foreign}
	if status.Migrations, err = files(); err != nil {
		return nil, err
	}
	for i := range status.Migrations {
		if at, ok := state.applied[status.Migrations[i].Version]; ok {
			status.Migrations[i].AppliedAt = &at
		}
	}
	return status, nil
}

// read runs fn in a read-only transaction, and anew when a table that fn has just
// seen is gone, as Down was faster, or cannot be locked within LockTimeout.
func (m *Migrator) read(ctx context.Context, level pgx.TxIsoLevel, fn func(pgx.Tx) error) error {
	for try := 1; ; try++ {
		options := pgx.TxOptions{IsoLevel: level, AccessMode: pgx.ReadOnly}
		err := pgx.BeginTxFunc(ctx, m.pool, options, func(tx pgx.Tx) error {
			if err := limit(ctx, tx, "lock_timeout", m.options.LockTimeout); err != nil {
				return err
			}
			return fn(tx)
		})
		var pgErr *pgconn.PgError
		switch {
		case !errors.As(err, &pgErr) || pgErr.Code != undefinedTable && pgErr.Code != lockTimeout:
			return err
		case try == tries:
			return notLocked(err)
		}
	}
}

// files returns the migrations that this package has, in order.
func files() ([]Migration, error) {
	names, err := fs.Glob(Files, "*.sql")
	if err != nil {
		return nil, err
	}
	migrations := make([]Migration, len(names))
	for i, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, err
		}
		migrations[i] = Migration{Version: version, Name: nameOf(name)}
	}
	return migrations, nil
}

// ErrNoMigration says that there is no migration of the number asked for.
var ErrNoMigration = errors.New("no such migration")

// checkVersion returns [ErrNoMigration] unless there is a migration of that number.
func checkVersion(version int64) error {
	all, err := files()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(m Migration) bool { return m.Version == version }) {
		return nil
	}
	return fmt.Errorf("%w: %d: they are numbered from %d to %d", ErrNoMigration, version, all[0].Version, all[len(all)-1].Version)
}

// state is a schema as its two ledgers tell it.
type state struct {
	exists             bool // the schema
	foreign            bool // there is a table migrations that is no ledger
	Revision, Breaking int
	applied            map[int64]time.Time
}

func (m *Migrator) state(ctx context.Context, tx pgx.Tx) (*state, error) {
	s := &state{applied: map[int64]time.Time{}}
	var ledger, shaped, breaking, versions bool
	err := tx.QueryRow(ctx, `
		select
			n.oid is not null,
			exists (select from pg_catalog.pg_class as c where c.relnamespace = n.oid and c.relname = 'migrations'),
			2 = (
				select count(*)
				from pg_catalog.pg_attribute as a join pg_catalog.pg_class as c on c.oid = a.attrelid
				where c.relnamespace = n.oid and c.relname = 'migrations' and c.relkind = 'r' and (
					a.attname = 'id' and a.atttypid = 'pg_catalog.int4'::pg_catalog.regtype
					or a.attname = 'ts' and a.atttypid = 'pg_catalog.timestamptz'::pg_catalog.regtype)
			),
			exists (
				select from pg_catalog.pg_attribute as a join pg_catalog.pg_class as c on c.oid = a.attrelid
				where c.relnamespace = n.oid and c.relname = 'migrations' and a.attname = 'breaking'
			),
			exists (select from pg_catalog.pg_class as c where c.relnamespace = n.oid and c.relname = $2)
		from (values (1)) as one
		left join pg_catalog.pg_namespace as n on n.nspname = $1`,
		m.schema, VersionTable).Scan(&s.exists, &ledger, &shaped, &breaking, &versions)
	if err != nil {
		return nil, fmt.Errorf("look for schema %q: %w", m.schema, err)
	}
	s.foreign = ledger && !shaped
	if shaped {
		query := "select coalesce(max(id), 0), 0 from "
		if breaking {
			query = "select coalesce(max(id), 0), coalesce(max(id) filter (where breaking), 0) from "
		}
		err := tx.QueryRow(ctx, query+pgx.Identifier{m.schema, "migrations"}.Sanitize()).Scan(&s.Revision, &s.Breaking)
		if err != nil {
			return nil, fmt.Errorf("read the revision of schema %q: %w", m.schema, err)
		}
		if s.Revision > 0 {
			genuine, err := m.genuine(ctx, tx, s.Revision)
			if err != nil {
				return nil, err
			}
			if !genuine {
				s.foreign, s.Revision, s.Breaking = true, 0, 0
			}
		}
	}
	if versions {
		rows, err := tx.Query(ctx, "select version_id, tstamp at time zone 'UTC' from "+
			pgx.Identifier{m.schema, VersionTable}.Sanitize()+" where is_applied and version_id > 0")
		if err != nil {
			return nil, fmt.Errorf("read the versions of schema %q: %w", m.schema, err)
		}
		var version int64
		var at time.Time
		_, err = pgx.ForEachRow(rows, []any{&version, &at}, func() error {
			s.applied[version] = at.UTC()
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the versions of schema %q: %w", m.schema, err)
		}
	}
	return s, nil
}

// genuine says whether a table with revisions is Graphile Worker's: the tables of
// that revision are there. It looks after the revision was read, since an
// installation may be under way.
func (m *Migrator) genuine(ctx context.Context, tx pgx.Tx, revision int) (genuine bool, err error) {
	// Revision 16 gave the tables their names of today; the column breaking is younger
	// than the first revisions.
	err = tx.QueryRow(ctx, `
		with has as (
			select
				exists (
					select from pg_catalog.pg_attribute as a join pg_catalog.pg_class as c on c.oid = a.attrelid
					where c.relnamespace = n.oid and c.relname = 'migrations' and a.attname = 'breaking'
				) as breaking,
				exists (select from pg_catalog.pg_class as c where c.relnamespace = n.oid and c.relname = '_private_jobs') as jobs,
				exists (select from pg_catalog.pg_class as c where c.relnamespace = n.oid and c.relname = 'job_queues') as queues
			from pg_catalog.pg_namespace as n
			where n.nspname = $1
		)
		select case when breaking then jobs or $2 < 16 else (jobs or queues) and $2 < $3 end from has`,
		m.schema, revision, graphile.OldestRevision).Scan(&genuine)
	if err != nil {
		return false, fmt.Errorf("look for the tables of schema %q: %w", m.schema, err)
	}
	return genuine, nil
}

func (m *Migrator) foreign() error { return foreign(m.schema) }

func foreign(schema string) error {
	return fmt.Errorf("schema %q has %w: choose another schema", schema, ErrForeign)
}
