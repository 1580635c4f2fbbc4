package admin_test

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// weird is a schema name that must be quoted and contains quotes.
const weird = `Weird "Name"`

// A bench is a database of one test with a client.
type bench struct {
	testing.TB
	ctx    context.Context
	pool   *pgxpool.Pool
	on     admin.DB // the database of the client and of the test's statements
	client *admin.Client
	sent   *recorder // the queries that were sent through the pool
	npm    bool      // the npm package installed the schema
}

// newBench returns a bench on the schema graphile_worker of a copy of the template.
func newBench(tb testing.TB, template *pgtest.Template, opts ...func(*pgxpool.Config)) *bench {
	tb.Helper()
	return benchIn(tb, template, graphile.DefaultSchema, opts...)
}

func benchIn(tb testing.TB, template *pgtest.Template, schema string, opts ...func(*pgxpool.Config)) *bench {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	tb.Cleanup(cancel)
	sent := &recorder{}
	opts = append(opts, func(config *pgxpool.Config) { config.ConnConfig.Tracer = sent })
	pool := pgtest.Pool(tb, template, opts...)
	on := onPool(pool)
	return &bench{TB: tb, ctx: ctx, pool: pool, on: on, client: admin.New(on, admin.WithSchema(schema)), sent: sent}
}

// onPool is what a test's client works on: the pool, or if GWADMIN_TEST_SQL is set a
// *sql.DB on it.
func onPool(pool *pgxpool.Pool) admin.DB {
	if os.Getenv("GWADMIN_TEST_SQL") == "" {
		return pool
	}
	return admin.SQL(stdlib.OpenDBFromPool(pool))
}

// sqlDB is the bench's database for database/sql.
func (b *bench) sqlDB() *sql.DB {
	db := stdlib.OpenDBFromPool(b.pool)
	b.Cleanup(func() { _ = db.Close() })
	return db
}

// onBoth runs a test on the schema of the migrations and on that of the npm release 0.18.0.
func onBoth(t *testing.T, test func(*bench)) {
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		test(newBench(t, testdb.Ours("")))
	})
	t.Run("npm", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, testdb.Upstream(t, "0.18.0", ""))
		b.npm = true
		test(b)
	})
}

func (b *bench) sql(text string) string { return graphile.Rename(text, b.client.Schema()) }

// exec runs a statement. It replaces the schema graphile_worker by that of the bench.
func (b *bench) exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.on.Exec(b.ctx, b.sql(sql), args...); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

// rowsOf returns the rows of a query with one column. It replaces the schema as exec does.
func rowsOf[T any](b *bench, sql string, args ...any) []T {
	b.Helper()
	rows, err := b.on.Query(b.ctx, b.sql(sql), args...)
	if err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return values
}

// begin begins a transaction. It is rolled back at the end of the test unless it has ended.
func (b *bench) begin() pgx.Tx {
	b.Helper()
	tx, err := b.on.Begin(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// in returns a bench on a transaction or a connection.
func (b *bench) in(on admin.DB) *bench {
	inside := *b
	inside.on = on
	if tx, ok := on.(pgx.Tx); ok {
		inside.client = b.client.WithTx(tx)
	} else {
		inside.client = admin.New(on, admin.WithSchema(b.client.Schema()))
	}
	return &inside
}

// ok returns the result of a call that must not fail.
func (b *bench) ok(result any, err error) any {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	return result
}

// add adds a job and fails the test if it cannot.
func (b *bench) add(task string, payload any, options *admin.AddJobOptions) *admin.Job {
	b.Helper()
	return b.ok(b.client.AddJob(b.ctx, task, payload, options)).(*admin.Job)
}

// check compares whole values. Times must be in UTC and equal. Two times within
// five minutes of now count as equal.
func (b *bench) check(what string, want, got any, opts ...gocmp.Option) {
	b.Helper()
	if diff := gocmp.Diff(want, got, append(opts, sameTime, asText, anyAge)...); diff != "" {
		b.Errorf("%s: -want +got\n%s", what, diff)
	}
}

var sameTime = gocmp.Comparer(func(x, y time.Time) bool {
	recent := func(t time.Time) bool { return time.Since(t).Abs() < 15*time.Minute }
	return x.Location() == time.UTC && y.Location() == time.UTC && (x.Equal(y) || recent(x) && recent(y))
})

// anyAge ignores the ages of locks, which TestLockAges tests.
var anyAge = gocmp.FilterPath(func(p gocmp.Path) bool { return p.Last().String() == ".NewestAge" }, gocmp.Ignore())

// asText compares payloads as texts, so that a difference is readable.
var asText = gocmp.Transformer("text", func(payload json.RawMessage) string { return string(payload) })

// now is the current time, which check treats as equal to every recent time.
func now() time.Time { return time.Now().UTC() }

func ago(d time.Duration) *time.Time { return new(now().Add(-d).Truncate(time.Microsecond)) }

var (
	day0 = time.Date(2024, 2, 29, 12, 0, 0, 123456000, time.UTC)
	day1 = day0.AddDate(0, 0, 1)
	day2 = day0.AddDate(0, 0, 2)
	// later is a time in a time zone other than UTC.
	later = time.Date(2100, 1, 2, 3, 4, 5, 678901000, time.FixedZone("", -7*3600))
)

// added returns the job that AddJob returns: it sets the defaults in the zero fields.
func added(j admin.Job) admin.Job {
	if j.Payload == nil {
		j.Payload = json.RawMessage("{}")
	}
	if j.RunAt == (admin.RunAt{}) {
		j.RunAt.Time = now()
	}
	j.MaxAttempts = cmp.Or(j.MaxAttempts, 25)
	j.CreatedAt = cmp.Or(j.CreatedAt, now())
	j.UpdatedAt = cmp.Or(j.UpdatedAt, now())
	return j
}

// insert inserts jobs into the table without the client. The table assigns their ids.
func (b *bench) insert(jobs ...admin.Job) {
	b.Helper()
	for _, j := range jobs {
		var flags *string
		if j.Flags != nil {
			set := map[string]bool{}
			for _, flag := range j.Flags {
				set[flag] = true
			}
			text, err := json.Marshal(set)
			if err != nil {
				b.Fatal(err)
			}
			flags = new(string(text))
		}
		b.exec(`insert into graphile_worker._private_tasks (identifier) values ($1) on conflict do nothing`, j.TaskIdentifier)
		if j.QueueName != nil {
			b.exec(`insert into graphile_worker._private_job_queues (queue_name) values ($1) on conflict do nothing`, *j.QueueName)
		}
		b.exec(`
			insert into graphile_worker._private_jobs (
				task_id, job_queue_id, payload, priority, run_at, attempts, max_attempts, last_error,
				created_at, updated_at, key, locked_at, locked_by, revision, flags
			)
			select
				tasks.id, queues.id, $3::text::json, $4, $5::text::timestamptz, $6, $7, $8,
				$9, $10, $11, $12, $13, $14, $15::text::jsonb
			from graphile_worker._private_tasks as tasks
			left join graphile_worker._private_job_queues as queues on queues.queue_name = $2::text
			where tasks.identifier = $1`,
			j.TaskIdentifier, j.QueueName, string(j.Payload), j.Priority, j.RunAt.String(), j.Attempts, j.MaxAttempts, j.LastError,
			j.CreatedAt, j.UpdatedAt, j.Key, j.LockedAt, j.LockedBy, j.Revision, flags)
	}
}

// jobs reads all jobs in the order of their ids.
func (b *bench) jobs() []admin.Job {
	b.Helper()
	rows, err := b.on.Query(b.ctx, b.sql(`
		select
			jobs.id, tasks.identifier, queues.queue_name, jobs.payload::text, jobs.priority, jobs.run_at,
			jobs.attempts, jobs.max_attempts, jobs.last_error, jobs.created_at, jobs.updated_at, jobs.key,
			jobs.locked_at, jobs.locked_by, jobs.revision,
			(select array_agg(flag order by flag collate "C") from jsonb_object_keys(jobs.flags) as flag)
		from graphile_worker._private_jobs as jobs
		join graphile_worker._private_tasks as tasks on tasks.id = jobs.task_id
		left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
		order by jobs.id`))
	if err != nil {
		b.Fatal(err)
	}
	jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (j admin.Job, err error) {
		var payload string
		var runAt pgtype.Timestamptz
		err = row.Scan(&j.ID, &j.TaskIdentifier, &j.QueueName, &payload, &j.Priority, &runAt,
			&j.Attempts, &j.MaxAttempts, &j.LastError, &j.CreatedAt, &j.UpdatedAt, &j.Key,
			&j.LockedAt, &j.LockedBy, &j.Revision, &j.Flags)
		j.Payload = json.RawMessage(payload)
		j.RunAt = admin.RunAt{Time: runAt.Time, Infinity: runAt.InfinityModifier}
		for _, t := range []*time.Time{&j.RunAt.Time, &j.CreatedAt, &j.UpdatedAt, j.LockedAt} {
			if t != nil {
				*t = t.UTC()
			}
		}
		return j, err
	})
	if err != nil {
		b.Fatal(err)
	}
	return jobs
}

// fixture inserts a job of each kind and returns the jobs.
func (b *bench) fixture() []admin.Job {
	b.Helper()
	fill := func(j admin.Job) admin.Job {
		j.TaskIdentifier = "send"
		j.CreatedAt, j.UpdatedAt = day0, day1
		if j.RunAt == (admin.RunAt{}) {
			j.RunAt.Time = day2
		}
		return added(j)
	}
	jobs := []admin.Job{
		fill(admin.Job{ID: 1}),
		fill(admin.Job{
			ID: 2, QueueName: new(`q "1"`), Payload: json.RawMessage(`{ "a":[1,  2] }`), Priority: -7, Attempts: 3, MaxAttempts: 9,
			LastError: new("boom"), Key: new("key 2"), Revision: 4, Flags: []string{"a,b", `c"d\`},
		}),
		fill(admin.Job{ID: 3, Attempts: 1, Key: new("key 3"), LockedBy: new("pool-a"), LockedAt: ago(10 * time.Minute)}),
		fill(admin.Job{ID: 4, Attempts: 1, Key: new("key 4"), LockedBy: new("pool-b"), LockedAt: ago(5 * time.Hour)}),
		fill(admin.Job{ID: 5, Attempts: 25, LastError: new("")}),
		fill(admin.Job{ID: 6, Key: new("key 6"), RunAt: *admin.Never()}),
		fill(admin.Job{ID: 7, QueueName: new("q 7"), RunAt: admin.RunAt{Infinity: pgtype.NegativeInfinity}, Attempts: 2, LockedBy: new("pool-a"), LockedAt: ago(3 * time.Hour)}),
	}
	b.insert(jobs...)
	return jobs
}

// locked returns the skip of a locked job.
func locked(j admin.Job) admin.Skip {
	return admin.Skip{ID: j.ID, Reason: admin.Locked, LockedBy: j.LockedBy, LockedAt: j.LockedAt}
}

func missing(id int64) admin.Skip { return admin.Skip{ID: id, Reason: admin.NotFound} }

// seed fills the schema with jobs in every state and returns their ids.
func (b *bench) seed() []int64 {
	b.Helper()
	err := b.pool.AcquireFunc(b.ctx, func(conn *pgxpool.Conn) error {
		return upstream.SeedStates(b.ctx, conn.Conn(), b.client.Schema())
	})
	if err != nil {
		b.Fatal(err)
	}
	return rowsOf[int64](b, "select id from graphile_worker._private_jobs order by id")
}

// tables returns all rows and sequences of the schema.
func (b *bench) tables() (rows map[string][]string) {
	b.Helper()
	err := b.pool.AcquireFunc(b.ctx, func(conn *pgxpool.Conn) (err error) {
		rows, err = upstream.Snapshot(b.ctx, conn.Conn(), b.client.Schema())
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return rows
}

// blocked waits until a statement in the test's database waits for a lock.
func (b *bench) blocked() {
	b.Helper()
	const waiting = `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
	for {
		var n int
		if err := b.pool.QueryRow(b.ctx, waiting).Scan(&n); err != nil {
			b.Fatal(err)
		}
		if n > 0 {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// A recorder is a tracer that records the names of the queries, or their first words.
type recorder struct {
	mu   sync.Mutex
	sent []query
}

type query struct {
	Name string
	SQL  string
	Args []any
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := data.SQL
	if rest, ok := strings.CutPrefix(name, "-- name: "); ok {
		name = rest
	}
	name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
	r.sent = append(r.sent, query{name, data.SQL, data.Args})
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take returns the queries that were sent since the last call.
func (r *recorder) take() []query {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.sent = nil }()
	return r.sent
}

// names returns the names of the queries that were sent since the last call.
func (r *recorder) names() []string {
	var names []string
	for _, q := range r.take() {
		names = append(names, q.Name)
	}
	return names
}

// code returns the SQLSTATE of an error, or the empty string.
func code(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	return ""
}

// sortJobs returns the jobs in the order of their ids.
func sortJobs(jobs []admin.Job) []admin.Job {
	return slices.SortedFunc(slices.Values(jobs), func(x, y admin.Job) int { return cmp.Compare(x.ID, y.ID) })
}

// database returns a database with the schema and no jobs, for an example. The example calls
// done at its end.
func database() (pool *pgxpool.Pool, done func()) {
	tb, done := pgtest.Example()
	return pgtest.Pool(tb, testdb.Ours("")), done
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// changedAll returns the result of a call that changed and skipped these jobs.
func changedAll(jobs []admin.Job, skipped []admin.Skip) *admin.ChangeResult {
	result := &admin.ChangeResult{
		Matched: int64(len(jobs) + len(skipped)), Changed: int64(len(jobs)), Skipped: map[admin.SkipReason]int64{},
		Jobs: jobs, SkippedJobs: append([]admin.Skip{}, skipped...),
	}
	for _, skip := range skipped {
		result.Skipped[skip.Reason]++
	}
	return result
}
