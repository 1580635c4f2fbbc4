package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// manyJobs adds $1 jobs of 100 tasks in all states, of which one in ten is in one of 1000 queues.
const manyJobs = `
	insert into graphile_worker._private_tasks (identifier) select 'task ' || n from generate_series(0, 99) as n;
	insert into graphile_worker._private_job_queues (queue_name) select 'queue ' || n from generate_series(0, 999) as n;
	insert into graphile_worker._private_jobs
		(task_id, job_queue_id, payload, priority, run_at, attempts, max_attempts, last_error, key, locked_at, locked_by, flags, created_at, updated_at, revision)
	select
		(select min(id) from graphile_worker._private_tasks where identifier like 'task %') + n % 100,
		case when n % 10 = 0 then (select min(id) from graphile_worker._private_job_queues where queue_name like 'queue %') + n / 10 % 1000 end,
		json_build_object('n', n, 'text', repeat(md5(n::text), 5)),
		n % 7 - 3,
		now() + (n % 2000 - 1000) * interval '1 minute',
		case n % 20 when 3 then 25 else n % 3 end,
		25,
		case when n % 5 = 3 then 'error ' || n end,
		case when n % 4 = 1 then 'key ' || n end,
		case when n % 50 = 7 then now() end,
		case when n % 50 = 7 then 'worker ' || n % 30 end,
		case when n % 100 = 11 then '{"gpu": true}'::jsonb end,
		now() - interval '1 hour', now() - n * interval '1 millisecond', n % 9
	from generate_series(1, $1) as n;
	analyze`

// A checksum is of a table or sequence: its rows, and the sum of their hashes.
type checksum struct {
	Relation string
	Rows     int64
	Sum      string
}

// checksums are those of the tables and sequences in which migrations write nothing.
func checksums(t *testing.T, pool *pgxpool.Pool) []checksum {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		select format('select %L, count(*), coalesce(sum(hashtextextended(row_to_json(r)::text, 0)::numeric), 0)::text from (select %s from graphile_worker.%I) as r',
			relname, case relkind when 'S' then 'last_value, is_called' else '*' end, relname)
		from pg_class
		where relnamespace = 'graphile_worker'::regnamespace and relkind in ('r', 'S') and relname <> 'migrations' and relname not like $1
		order by relname`, migrations.VersionTable+"%")
	if err != nil {
		t.Fatal(err)
	}
	queries, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	sums := make([]checksum, len(queries))
	for i, query := range queries {
		if err := pool.QueryRow(t.Context(), query).Scan(&sums[i].Relation, &sums[i].Rows, &sums[i].Sum); err != nil {
			t.Fatal(err)
		}
	}
	return sums
}

// A lockWatch traces the sessions of a migrator. After each of their statements it looks at
// the locks that they hold: a transaction keeps them until its end, so that it misses none.
type lockWatch struct {
	look *pgxpool.Pool

	mu         sync.Mutex
	statements int
	held       map[string]time.Time // those that work waits for, since when
	longest    string               // the one that was held longest, and for how long
	most       time.Duration
	err        error
}

func (w *lockWatch) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, w, time.Now())
}

func (w *lockWatch) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, _ pgx.TraceQueryEndData) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.statements++
	rows, _ := w.look.Query(ctx, `select l.mode || ' on ' || c.relname from pg_locks as l join pg_class as c on c.oid = l.relation
		where l.pid = $1 and l.granted and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
		and c.relnamespace = 'graphile_worker'::regnamespace and c.relkind in ('r', 'v') and not c.relname like 'goose%'`, conn.PgConn().PID())
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	w.err = errors.Join(w.err, err)
	begin, now := ctx.Value(w).(time.Time), time.Now()
	for _, name := range names {
		if _, ok := w.held[name]; !ok {
			w.held[name] = begin
		}
	}
	for name, since := range w.held {
		if held := now.Sub(since); held > w.most {
			w.longest, w.most = name, held
		}
		if !slices.Contains(names, name) {
			delete(w.held, name)
		}
	}
}

// The schemas of npm's releases, full of jobs, are upgraded while workers take jobs.
func TestUpgrade(t *testing.T) {
	upstream.Ensure(t)
	jobs := form(10_000, 1_000_000)
	s := server(t, map[string]string{"max_wal_size": "4GB"})
	for i, release := range upstream.Versions {
		t.Run(release, func(t *testing.T) {
			url := newDatabase(t, s, fmt.Sprint("upgrade_", i), release)
			look := open(t, url)
			exec(t, look, manyJobs, pgx.QueryExecModeSimpleProtocol, jobs)
			before := checksums(t, look)
			n := slices.IndexFunc(before, func(c checksum) bool { return c.Relation == "_private_jobs" })
			if before[n].Rows < int64(jobs) {
				t.Fatalf("there are only %d jobs", before[n].Rows)
			}

			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var running sync.WaitGroup
			var times timing
			undo := errors.New("undo")
			running.Go(func() {
				for ctx.Err() == nil {
					start := time.Now()
					err := pgx.BeginFunc(ctx, look, func(tx pgx.Tx) error {
						var id int64
						if err := tx.QueryRow(ctx, takeJob, "worker").Scan(&id); err != nil {
							return err
						}
						return undo
					})
					if !errors.Is(err, undo) && ctx.Err() == nil {
						t.Errorf("a worker beside the upgrade: %v", err)
						return
					}
					times.add(time.Since(start))
				}
			})
			wait(t, "a worker works", func(context.Context) bool {
				times.mu.Lock()
				defer times.mu.Unlock()
				return times.count > 10
			})
			without, _ := times.take()
			start := time.Now()
			watch := &lockWatch{look: look, held: map[string]time.Time{}}
			pool := open(t, url, named("migrator"), func(config *pgxpool.Config) { config.ConnConfig.Tracer = watch })
			if err := up(t.Context(), migrator(t, pool, nil)); err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			stop()
			running.Wait()
			meanwhile, _ := times.take()

			checkMigrated(t, look)
			if diff := cmp.Diff(before, checksums(t, look)); diff != "" {
				t.Errorf("rows: -before +after\n%s", diff)
			}
			lock := "none that work waits for"
			if watch.longest != "" {
				lock = fmt.Sprintf("%s, %s", watch.longest, watch.most.Round(time.Millisecond))
				t.Errorf("the upgrade held a lock that work waits for: %s", lock)
			}
			if watch.err != nil || watch.statements < 20 {
				t.Errorf("the locks after %d statements were seen: %v", watch.statements, watch.err)
			}
			row(t, "%d jobs: all rows kept; upgraded in %s; longest lock: %s; a worker took a job in at most %s, %s before",
				before[n].Rows, took.Round(time.Millisecond), lock, meanwhile.Round(time.Millisecond), without.Round(time.Millisecond))
		})
	}
}
