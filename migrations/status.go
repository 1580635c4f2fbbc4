package migrations

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// A Migration is one of this package's files.
type Migration struct {
	Version int64  `json:"version"`
	Name    string `json:"name"` // such as "tables": the file's name without number and ending
	// AppliedAt is when it was applied, in UTC; nil while it is pending, and in the
	// result of Up.
	AppliedAt *time.Time `json:"applied_at,omitempty"`
}

// A Step is a migration with the SQL that applies it.
type Step struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	SQL     string `json:"sql"`
}

// steps are all migrations, in order, for the schema graphile_worker.
var steps = sync.OnceValue(func() (steps []Step) {
	names, err := fs.Glob(Files, "*.sql")
	for _, name := range names {
		body, readErr := Files.ReadFile(name)
		number, rest, _ := strings.Cut(strings.TrimSuffix(name, ".sql"), "_")
		version, parseErr := strconv.ParseInt(number, 10, 64)
		err = errors.Join(err, readErr, parseErr)
		steps = append(steps, Step{version, rest, upSection(string(body))})
	}
	if err != nil {
		panic(err) // the files are compiled in
	}
	return steps
})

// upSection returns the comment at the head of a migration file and what the file has
// between its Up and Down marks, without any of Goose's marks.
func upSection(body string) string {
	head, rest, _ := strings.Cut(body, "-- +goose Up\n")
	up, _, _ := strings.Cut(rest, "-- +goose Down\n")
	var sql strings.Builder
	sql.WriteString(strings.TrimSpace(head) + "\n")
	for line := range strings.Lines(up) {
		if !strings.HasPrefix(line, "-- +goose ") {
			sql.WriteString(line)
		}
	}
	return strings.TrimSpace(sql.String()) + "\n"
}

// stepOf returns the migration of that number, or [ErrNoMigration].
func stepOf(version int64) (Step, error) {
	all := steps()
	if i := slices.IndexFunc(all, func(s Step) bool { return s.Version == version }); i >= 0 {
		return all[i], nil
	}
	return Step{}, fmt.Errorf("%w: %d: they are numbered from %d to %d", ErrNoMigration, version, all[0].Version, all[len(all)-1].Version)
}

// Status is the state of a schema's migrations.
type Status struct {
	Schema string `json:"schema"`
	// Revision is the newest revision in Graphile Worker's ledger, and Breaking the
	// newest breaking one; 0 if there is none.
	Revision int `json:"revision"`
	Breaking int `json:"breaking"`
	// Foreign reports that the schema is not Graphile Worker's: see [ErrForeign].
	Foreign bool `json:"foreign,omitempty"`
	// Migrations are all migrations of this package, in order.
	Migrations []Migration `json:"migrations"`
}

// Supported returns the [*RevisionError] or [ErrForeign] with which Up refuses the
// schema. A schema where nothing is installed is supported.
func (s *Status) Supported() error {
	if s.Revision == 0 && !s.Foreign {
		return nil
	}
	return (&graphile.Ledger{Schema: s.Schema, Foreign: s.Foreign, Revision: s.Revision, Breaking: s.Breaking}).Check()
}

// Newer reports whether the schema is at a newer revision than this package knows. Up
// leaves such a schema unchanged.
func (s *Status) Newer() bool { return s.Revision > graphile.NewestRevision }

// Pending returns the migrations that are not applied.
func (s *Status) Pending() []Migration {
	return slices.DeleteFunc(slices.Clone(s.Migrations), func(m Migration) bool { return m.AppliedAt != nil })
}

// Status reads which migrations a database has. It changes nothing, blocks nobody, and
// works on a database where nothing is installed.
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

func (m *Migrator) status(ctx context.Context, tx pgx.Tx) (status *Status, err error) {
	err = rollback(ctx, tx, func(tx pgx.Tx) error {
		ledger, err := graphile.ReadLedger(ctx, tx, m.schema)
		if err != nil {
			return err
		}
		applied := map[int64]*time.Time{}
		if ledger.Has(VersionTable) {
			if applied, err = m.applied(ctx, tx); err != nil {
				return fmt.Errorf("read the versions of schema %q: %w", m.schema, err)
			}
		}
		status = &Status{Schema: m.schema, Revision: ledger.Revision, Breaking: ledger.Breaking, Foreign: ledger.Foreign}
		for _, s := range steps() {
			status.Migrations = append(status.Migrations, Migration{s.Version, s.Name, applied[s.Version]})
		}
		return nil
	})
	return status, err
}

// applied reads Goose's table: when each version was applied.
func (m *Migrator) applied(ctx context.Context, tx pgx.Tx) (map[int64]*time.Time, error) {
	rows, err := tx.Query(ctx, "select version_id, tstamp at time zone 'UTC' from "+m.table(VersionTable)+" where is_applied")
	if err != nil {
		return nil, err
	}
	applied := map[int64]*time.Time{}
	var version int64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&version, &at}, func() error {
		applied[version] = new(at.UTC())
		return nil
	})
	return applied, err
}
