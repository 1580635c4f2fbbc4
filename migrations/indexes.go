package migrations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/outcome"
)

var (
	// ErrNoIndex says that there is no index of that name among those of [Indexes].
	ErrNoIndex = errors.New("no such index")
	// ErrIndexTaken says that something else has the name of an index. It is left
	// unchanged.
	ErrIndexTaken = errors.New("something else has the name")
)

// An IndexState says whether an index exists.
type IndexState string

// The states of indexes.
const (
	IndexAbsent   IndexState = "absent"
	IndexPresent  IndexState = "present"
	IndexInvalid  IndexState = "invalid"  // its build was interrupted: PostgreSQL does not use it
	IndexBuilding IndexState = "building" // somebody is building it
	IndexTaken    IndexState = "taken"    // something else has its name
)

// An Index is an optional index on Graphile Worker's table of jobs.
type Index struct {
	Name       string     `json:"name"`
	Serves     string     `json:"serves"`     // which lists it speeds up
	Definition string     `json:"definition"` // in PostgreSQL's words, from USING on
	State      IndexState `json:"state"`
	Bytes      int64      `json:"bytes"` // its size; 0 while it is absent
}

// offered are the indexes, the cheapest first. The server's definitions are compared with
// these.
var offered = []Index{
	{Name: "gwadmin_jobs_held", Serves: "running and stale jobs, locked_at, workers and unlocking them",
		Definition: "USING btree (id) WHERE ((locked_at IS NOT NULL) OR (locked_by IS NOT NULL))"},
	{Name: "gwadmin_jobs_permafailed", Serves: "permafailed jobs",
		Definition: "USING btree (id) WHERE (attempts >= max_attempts)"},
	{Name: "gwadmin_jobs_queue", Serves: "one queue's jobs, and waiting ones",
		Definition: "USING btree (job_queue_id, id) WHERE (job_queue_id IS NOT NULL)"},
	{Name: "gwadmin_jobs_key", Serves: "key prefixes",
		Definition: "USING btree (key text_pattern_ops) WHERE (key IS NOT NULL)"},
	{Name: "gwadmin_jobs_task", Serves: "one task's jobs",
		Definition: "USING btree (task_id, id)"},
	{Name: "gwadmin_jobs_run_at", Serves: "the order by run_at, and its ranges",
		Definition: "USING btree (run_at, id)"},
	{Name: "gwadmin_jobs_created_at", Serves: "the order by created_at, and its ranges",
		Definition: "USING btree (created_at, id)"},
	{Name: "gwadmin_jobs_priority", Serves: "the order by priority, and rare priorities",
		Definition: "USING btree (priority, id)"},
	{Name: "gwadmin_jobs_attempts", Serves: "the order by attempts, and rare numbers of them",
		Definition: "USING btree (attempts, id)"},
}

// IndexNames returns the names of all optional indexes, the cheapest first.
func IndexNames() []string {
	var names []string
	for _, index := range offered {
		names = append(names, index.Name)
	}
	return names
}

// Indexes are optional indexes for those who list jobs in a large table. None exists unless
// it is added, since each costs time whenever a job is added or run. It is safe for
// concurrent use.
type Indexes struct{ m *Migrator }

// Indexes returns the optional indexes of the migrator's schema. It does not connect.
func (m *Migrator) Indexes() *Indexes { return &Indexes{m} }

// An IndexStep is what is done about one index.
type IndexStep struct {
	Index string   `json:"index"`
	SQL   []string `json:"sql"` // statements, each outside of a transaction
}

// IndexOptions are those of [Indexes.Add] and [Indexes.Remove]. The zero value, or nil,
// means the defaults.
type IndexOptions struct {
	DryRun  bool            // return the steps, and change nothing
	Started func(IndexStep) // is called before each step
}

// List returns the optional indexes with their states, the cheapest first. It changes
// nothing and blocks nobody. Its errors are those of [Indexes.Add].
func (x *Indexes) List(ctx context.Context) (indexes []Index, err error) {
	err = x.m.read(ctx, pgx.ReadCommitted, func(tx pgx.Tx) error {
		indexes, err = x.list(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("indexes: %w", err)
	}
	return indexes, nil
}

// Add builds those of the named indexes that are absent, one after the other, and returns
// what it did. It drops one that an interrupted build left invalid, and builds it anew.
//
// It uses create index concurrently and drop index concurrently, each outside of a
// transaction, so that producers and workers go on. First each waits for whoever alters,
// vacuums or indexes the table, up to LockTimeout. Then it waits, blocking nobody, for
// transactions that are older than itself, as long as the context or StatementTimeout
// lasts. It changes no setting of the session, so that it works through a transaction-mode
// pooler; a statement_timeout of the server or the role therefore ends it. A build that
// ends early leaves the index invalid, until Add or [Indexes.Remove] is called again.
//
// Before anything is done, an unknown name is refused with [ErrNoIndex], and a name that
// something else has with [ErrIndexTaken]. An index that somebody is building is
// [ErrLocked]. A schema where nothing is installed is [ErrNotInstalled], one that is not
// Graphile Worker's [ErrForeign], and an unsupported revision a [*RevisionError]. The role
// must own the table of jobs. An error comes with the steps that were done before it.
func (x *Indexes) Add(ctx context.Context, names []string, options *IndexOptions) ([]IndexStep, error) {
	return x.change(ctx, "add indexes", names, x.addSQL, options)
}

// Remove drops those of the named indexes that exist, in whatever state. It works like
// [Indexes.Add], and its errors are the same.
func (x *Indexes) Remove(ctx context.Context, names []string, options *IndexOptions) ([]IndexStep, error) {
	return x.change(ctx, "remove indexes", names, x.removeSQL, options)
}

func (x *Indexes) addSQL(index Index) []string {
	create := fmt.Sprintf("create index concurrently %s on %s %s", index.Name, x.m.table("_private_jobs"), index.Definition)
	switch index.State {
	case IndexPresent:
		return nil
	case IndexInvalid:
		return append(x.removeSQL(index), create)
	}
	return []string{create}
}

func (x *Indexes) removeSQL(index Index) []string {
	if index.State == IndexAbsent {
		return nil
	}
	return []string{"drop index concurrently if exists " + x.m.table(index.Name)}
}

func (x *Indexes) change(ctx context.Context, title string, names []string, sql func(Index) []string, options *IndexOptions) ([]IndexStep, error) {
	if options == nil {
		options = &IndexOptions{}
	}
	var steps []IndexStep
	err := checkIndexes(names)
	if err == nil {
		err = x.m.read(ctx, pgx.ReadCommitted, func(tx pgx.Tx) (err error) {
			steps, err = x.plan(ctx, tx, names, sql)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	if options.DryRun {
		return steps, nil
	}
	done := []IndexStep{}
	for _, step := range steps {
		if options.Started != nil {
			options.Started(step)
		}
		step, err := x.changeOne(ctx, step.Index, sql)
		if len(step.SQL) > 0 {
			done = append(done, step)
		}
		if err != nil {
			return done, fmt.Errorf("%s: %s: %w", title, step.Index, err)
		}
	}
	return done, nil
}

// plan returns what the named indexes need.
func (x *Indexes) plan(ctx context.Context, tx pgx.Tx, names []string, sql func(Index) []string) ([]IndexStep, error) {
	indexes, err := x.list(ctx, tx)
	if err != nil {
		return nil, err
	}
	steps := []IndexStep{}
	for _, index := range indexes {
		switch sql := sql(index); {
		case !slices.Contains(names, index.Name):
		case index.State == IndexTaken:
			return nil, fmt.Errorf("%w %s", ErrIndexTaken, index.Name)
		case index.State == IndexBuilding:
			return nil, fmt.Errorf("%w: it is building %s", ErrLocked, index.Name)
		case len(sql) > 0:
			steps = append(steps, IndexStep{index.Name, sql})
		}
	}
	return steps, nil
}

// changeOne does what one index needs now, and tries again after a conflict. With an error
// it returns the statements that succeeded.
func (x *Indexes) changeOne(ctx context.Context, name string, sql func(Index) []string) (IndexStep, error) {
	step := IndexStep{Index: name}
	for try := 1; ; try++ {
		var steps []IndexStep
		err := x.m.write(ctx, func(s *session) (err error) {
			lock := "lock table " + x.m.table("_private_jobs") + " in share update exclusive mode"
			if _, err := s.tx.Exec(ctx, lock); err != nil {
				return err
			}
			if steps, err = x.plan(ctx, s.tx, []string{name}, sql); err != nil {
				return err
			}
			return errPlanned
		})
		if !errors.Is(err, errPlanned) {
			return step, err
		}
		err = nil
		for _, todo := range steps {
			for _, statement := range todo.SQL {
				if err = x.exec(ctx, statement); err != nil {
					break
				}
				step.SQL = append(step.SQL, statement)
			}
		}
		if try == tries || !slices.Contains(conflicts, sqlState(err)) || errors.Is(err, ErrOutcomeUnknown) {
			return step, err
		}
	}
}

// exec runs a statement outside of a transaction.
func (x *Indexes) exec(ctx context.Context, statement string) error {
	if x.m.options.StatementTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.m.options.StatementTimeout)
		defer cancel()
	}
	return x.m.onConn(ctx, func(conn *stdlib.Conn) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := conn.Conn().Exec(ctx, statement)
		if err == nil || outcome.Settled(err) {
			return err
		}
		return fmt.Errorf("%w: look at the state of the index, and repeat the call, it does what is left to do: %w", ErrOutcomeUnknown, err)
	})
}

// errPlanned ends a transaction that has only looked.
var errPlanned = errors.New("planned")

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

// list reads the states of the indexes in a supported schema.
func (x *Indexes) list(ctx context.Context, tx pgx.Tx) ([]Index, error) {
	ledger, err := graphile.ReadLedger(ctx, tx, x.m.schema)
	if err != nil {
		return nil, err
	}
	if err := ledger.Check(); err != nil {
		return nil, err
	}
	if err := set(ctx, tx, "quote_all_identifiers", "off"); err != nil {
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
		where n.nspname = $1 and c.relname like 'gwadmin\_jobs\_%'`, x.m.schema)
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
