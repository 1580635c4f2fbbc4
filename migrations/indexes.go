package migrations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrNoIndex says that no index of that name is offered.
	ErrNoIndex = errors.New("no such index")
	// ErrIndexTaken says that something else has the name of an index. It is left
	// as it is.
	ErrIndexTaken = errors.New("something else has the name")
)

// An IndexState says how much of an index is there.
type IndexState string

// The states of indexes.
const (
	IndexAbsent   IndexState = "absent"
	IndexPresent  IndexState = "present"
	IndexInvalid  IndexState = "invalid"  // its build was interrupted: it costs and serves nothing
	IndexBuilding IndexState = "building" // by somebody, now
	IndexTaken    IndexState = "taken"    // the name is something else's
)

// An Index is one that this package offers to build on Graphile Worker's jobs, for
// those who list jobs in a large table. None is there unless it is asked for.
type Index struct {
	Name       string     `json:"name"`
	Serves     string     `json:"serves"`     // which lists it speeds up
	Definition string     `json:"definition"` // as in PostgreSQL's words, from USING on
	State      IndexState `json:"state"`
	Bytes      int64      `json:"bytes"` // its size; 0 while it is absent
}

// offered are the indexes, from the one that costs least. The definitions are in the
// server's words, to be compared with.
var offered = []Index{
	{Name: "gwadmin_jobs_held", Serves: "running and stale jobs, locked_at, workers and unlocking them",
		Definition: "USING btree (id) WHERE ((locked_at IS NOT NULL) OR (locked_by IS NOT NULL))"},
	{Name: "gwadmin_jobs_permafailed", Serves: "permafailed jobs",
		Definition: "USING btree (id) WHERE (attempts >= max_attempts)"},
	{Name: "gwadmin_jobs_queue", Serves: "one queue's jobs, and waiting ones",
		Definition: "USING btree (job_queue_id, id) WHERE (job_queue_id IS NOT NULL)"},
	{Name: "gwadmin_jobs_key", Serves: "key prefixes",
		Definition: "USING btree (key text_pattern_ops) WHERE (key IS NOT NULL)"},
	{Name: "gwadmin_jobs_run_at", Serves: "the order by run_at, and its ranges",
		Definition: "USING btree (run_at, id)"},
	{Name: "gwadmin_jobs_created_at", Serves: "the order by created_at, and its ranges",
		Definition: "USING btree (created_at, id)"},
	{Name: "gwadmin_jobs_priority", Serves: "the order by priority, and rare priorities",
		Definition: "USING btree (priority, id)"},
	{Name: "gwadmin_jobs_attempts", Serves: "the order by attempts, and rare numbers of them",
		Definition: "USING btree (attempts, id)"},
}

// IndexNames returns the names of the indexes that are offered, from the one that
// costs least.
func IndexNames() []string {
	var names []string
	for _, index := range offered {
		names = append(names, index.Name)
	}
	return names
}

// Indexes returns the indexes that are offered, each with its state, from the one
// that costs least. It changes nothing and holds up nobody. Its errors are those of
// [Migrator.AddIndexes].
func (m *Migrator) Indexes(ctx context.Context) (indexes []Index, err error) {
	err = m.read(ctx, pgx.ReadCommitted, func(tx pgx.Tx) error {
		indexes, err = m.indexes(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("indexes: %w", err)
	}
	return indexes, nil
}

// An IndexStep is what is done about one index.
type IndexStep struct {
	Index string   `json:"index"`
	SQL   []string `json:"sql"` // each statement outside a transaction
}

// AddIndexes builds those of the named indexes that are not there, one after the
// other, and returns what it did. One that an interrupted build has left invalid it
// drops and builds anew. The function started, unless nil, is told of each before
// it begins.
//
// Writers go on meanwhile: the statements are create index concurrently and drop
// index concurrently, each outside a transaction. LockTimeout bounds how long each
// waits for who is altering, vacuuming or indexing the table; then it waits, holding
// up nobody, for transactions that are older than itself, as long as the context or
// StatementTimeout lasts. It changes no setting of the session, so that a
// transaction-mode pooler is no obstacle; a statement_timeout of the server or the
// role ends it. What ends a build leaves the index invalid, until AddIndexes or
// [Migrator.RemoveIndexes] is called again.
//
// An unknown name is [ErrNoIndex], and one that something else has [ErrIndexTaken],
// before anything is done. An index that somebody else is building is [ErrLocked],
// [ErrNotInstalled] says that there is no schema, [ErrForeign] that it is not Graphile
// Worker's, and a [*RevisionError] that its revision is not supported. The role must
// own the table of jobs. With an error come the steps that were done before it.
func (m *Migrator) AddIndexes(ctx context.Context, names []string, started func(IndexStep)) ([]IndexStep, error) {
	return m.changeIndexes(ctx, "add indexes", names, m.addIndex, started)
}

// RemoveIndexes drops those of the named indexes that are there, in whatever state,
// as [Migrator.AddIndexes] builds them, and with its errors.
func (m *Migrator) RemoveIndexes(ctx context.Context, names []string, started func(IndexStep)) ([]IndexStep, error) {
	return m.changeIndexes(ctx, "remove indexes", names, m.removeIndex, started)
}

// PlanAddIndexes returns what [Migrator.AddIndexes] would do, and changes nothing.
func (m *Migrator) PlanAddIndexes(ctx context.Context, names []string) ([]IndexStep, error) {
	return m.planIndexes(ctx, "plan to add indexes", names, m.addIndex)
}

// PlanRemoveIndexes returns what [Migrator.RemoveIndexes] would do, and changes nothing.
func (m *Migrator) PlanRemoveIndexes(ctx context.Context, names []string) ([]IndexStep, error) {
	return m.planIndexes(ctx, "plan to remove indexes", names, m.removeIndex)
}

func (m *Migrator) addIndex(index Index) []string {
	create := fmt.Sprintf("create index concurrently %s on %s %s", index.Name, m.jobsTable(), index.Definition)
	switch index.State {
	case IndexPresent:
		return nil
	case IndexInvalid:
		return append(m.removeIndex(index), create)
	}
	return []string{create}
}

func (m *Migrator) removeIndex(index Index) []string {
	if index.State == IndexAbsent {
		return nil
	}
	return []string{"drop index concurrently if exists " + pgx.Identifier{m.schema, index.Name}.Sanitize()}
}

func (m *Migrator) planIndexes(ctx context.Context, title string, names []string, sql func(Index) []string) ([]IndexStep, error) {
	if err := checkIndexes(names); err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	steps := []IndexStep{}
	err := m.read(ctx, pgx.ReadCommitted, func(tx pgx.Tx) error {
		steps = steps[:0]
		indexes, err := m.indexes(ctx, tx)
		if err != nil {
			return err
		}
		for _, index := range indexes {
			if !slices.Contains(names, index.Name) {
				continue
			}
			if err := index.fault(); err != nil {
				return err
			}
			if sql := sql(index); len(sql) > 0 {
				steps = append(steps, IndexStep{index.Name, sql})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	return steps, nil
}

func (m *Migrator) changeIndexes(ctx context.Context, title string, names []string, sql func(Index) []string, started func(IndexStep)) ([]IndexStep, error) {
	steps, err := m.planIndexes(ctx, title, names, sql)
	if err != nil {
		return nil, err
	}
	done := []IndexStep{}
	for _, step := range steps {
		if started != nil {
			started(step)
		}
		step, err := m.changeIndex(ctx, step.Index, sql)
		if err != nil {
			return done, fmt.Errorf("%s: %s: %w", title, step.Index, err)
		}
		if len(step.SQL) > 0 {
			done = append(done, step)
		}
	}
	return done, nil
}

// changeIndex does what one index needs now, anew when somebody else did the same.
func (m *Migrator) changeIndex(ctx context.Context, name string, sql func(Index) []string) (IndexStep, error) {
	step := IndexStep{Index: name}
	for try := 1; ; try++ {
		var todo []string
		err := m.change(ctx, func(s *session) error {
			if _, err := s.tx.Exec(ctx, "lock table "+m.jobsTable()+" in share update exclusive mode"); err != nil {
				return err
			}
			indexes, err := m.indexes(ctx, s.tx)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(indexes, func(index Index) bool { return index.Name == name })
			todo = sql(indexes[i])
			return indexes[i].fault()
		})
		if err != nil {
			return step, err
		}
		for _, statement := range todo {
			if err = m.alone(ctx, statement); err != nil {
				break
			}
			step.SQL = append(step.SQL, statement)
		}
		var pgErr *pgconn.PgError
		if try == tries || !errors.As(err, &pgErr) || !slices.Contains(clashes, pgErr.Code) {
			return step, err
		}
	}
}

// alone runs a statement that may not be in a transaction.
func (m *Migrator) alone(ctx context.Context, statement string) error {
	if m.options.StatementTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.options.StatementTimeout)
		defer cancel()
	}
	_, err := m.pool.Exec(ctx, statement)
	return err
}

func checkIndexes(names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("%w: none is named: there are %s", ErrNoIndex, strings.Join(IndexNames(), ", "))
	}
	for _, name := range names {
		if !slices.Contains(IndexNames(), name) {
			return fmt.Errorf("%w: %q: there are %s", ErrNoIndex, name, strings.Join(IndexNames(), ", "))
		}
	}
	return nil
}

// fault says why an index can be neither built nor dropped.
func (index Index) fault() error {
	switch index.State {
	case IndexTaken:
		return fmt.Errorf("%w %s", ErrIndexTaken, index.Name)
	case IndexBuilding:
		return fmt.Errorf("%w: it is building %s", ErrLocked, index.Name)
	}
	return nil
}

// indexes reads the states of the indexes in a supported schema.
func (m *Migrator) indexes(ctx context.Context, tx pgx.Tx) ([]Index, error) {
	status, err := m.status(ctx, tx)
	if err != nil {
		return nil, err
	}
	if err := status.Supported(); err != nil {
		return nil, err
	}
	if status.Revision == 0 {
		return nil, fmt.Errorf("%w: schema %q", ErrNotInstalled, m.schema)
	}
	if _, err := tx.Exec(ctx, "select pg_catalog.set_config('quote_all_identifiers', 'off', true)"); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		select
			c.relname,
			coalesce(pg_catalog.pg_get_indexdef(i.indexrelid), ''),
			coalesce(i.indisvalid, false),
			coalesce(jobs.relname = '_private_jobs', false),
			exists (select from pg_catalog.pg_stat_progress_create_index as p where p.index_relid = c.oid),
			pg_catalog.pg_relation_size(c.oid)
		from pg_catalog.pg_class as c
		join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
		left join pg_catalog.pg_index as i on i.indexrelid = c.oid
		left join pg_catalog.pg_class as jobs on jobs.oid = i.indrelid
		where n.nspname = $1 and c.relname like 'gwadmin\_jobs\_%'`, m.schema)
	if err != nil {
		return nil, fmt.Errorf("look for indexes: %w", err)
	}
	indexes := slices.Clone(offered)
	for i := range indexes {
		indexes[i].State = IndexAbsent
	}
	var name, definition string
	var valid, onJobs, building bool
	var bytes int64
	_, err = pgx.ForEachRow(rows, []any{&name, &definition, &valid, &onJobs, &building, &bytes}, func() error {
		i := slices.IndexFunc(indexes, func(index Index) bool { return index.Name == name })
		if i < 0 {
			return nil
		}
		index := &indexes[i]
		index.Bytes = bytes
		same := onJobs && strings.HasPrefix(definition, "CREATE INDEX ") && strings.HasSuffix(definition, " "+index.Definition)
		switch {
		case !same:
			index.State = IndexTaken
		case valid:
			index.State = IndexPresent
		case building:
			index.State = IndexBuilding
		default:
			index.State = IndexInvalid
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for indexes: %w", err)
	}
	return indexes, nil
}
