package observe_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/migrations"
	"github.com/gwadmin/gwadmin/observe"
)

// weird is a schema name that must be quoted and contains quotes.
const weird = `Weird "Name"`

// A bench is a database of one test.
type bench struct {
	testing.TB
	ctx    context.Context
	pool   *pgxpool.Pool
	schema string
}

func newBench(tb testing.TB, schema string, opts ...func(*pgxpool.Config)) *bench {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	tb.Cleanup(cancel)
	return &bench{tb, ctx, pgtest.Pool(tb, testdb.Ours(schema), opts...), schema}
}

// exec runs a statement that is written for the schema graphile_worker.
func (b *bench) exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.pool.Exec(b.ctx, graphile.Rename(sql, b.schema), args...); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

// observer returns an observer of the bench's schema that is closed at the end of the test.
func (b *bench) observer(options observe.Options) *observe.Observer {
	b.Helper()
	options.Schema = b.schema
	o, err := observe.New(b.pool, &options)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(o.Close)
	return o
}

// snapshot takes a snapshot that must not fail.
func (b *bench) snapshot(o *observe.Observer) *observe.Snapshot {
	b.Helper()
	s, err := o.Snapshot(b.ctx)
	if err == nil {
		err = s.Err()
	}
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// check compares whole values. Times within a minute count as equal if they are in UTC, and
// so do ages.
func (b *bench) check(what string, want, got any, opts ...gocmp.Option) {
	b.Helper()
	sameTime := gocmp.Comparer(func(x, y time.Time) bool {
		return x.Location() == time.UTC && y.Location() == time.UTC && x.Sub(y).Abs() < time.Minute
	})
	ages := gocmp.FilterPath(func(p gocmp.Path) bool { return strings.HasSuffix(p.Last().String(), "Seconds") }, gocmp.Comparer(func(x, y float64) bool {
		return 0 <= x && x < 60 && 0 <= y && y < 60
	}))
	opts = append(opts, sameTime, ages, cmpopts.EquateErrors())
	if diff := gocmp.Diff(want, got, opts...); diff != "" {
		b.Errorf("%s: -want +got\n%s", what, diff)
	}
}

func now() time.Time { return time.Now().UTC() }

func ago(d time.Duration) *time.Time { return new(now().Add(-d)) }

// everything is an observer's options that leave nothing out and read all parts each time.
func everything() observe.Options {
	always := observe.Pace{Interval: time.Nanosecond, Timeout: 30 * time.Second}
	return observe.Options{Fast: always, Counting: always, Slow: always, Queues: true, ErrorShapes: 2, MaxWait: time.Minute}
}

// fixture adds jobs in every state.
func (b *bench) fixture() {
	b.Helper()
	b.exec(testdb.Kinds)
}

// Every part says what there is, in a schema of any name.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{graphile.DefaultSchema, weird} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, schema)
			b.fixture()
			read := observe.Part{AsOf: new(now())}
			want := &observe.Snapshot{
				Schema:  schema,
				TakenAt: now(),
				Due: observe.Due{
					Part: read, OldestReady: ago(20 * time.Minute), NextRunAt: ago(-5 * time.Minute), TimesExact: true, Jobs: 4,
					Crontabs: []admin.Crontab{
						{Identifier: "new", KnownSince: now()},
						{Identifier: "nightly", KnownSince: *ago(30 * 24 * time.Hour), LastExecution: ago(3 * time.Hour)},
					},
				},
				Activity: observe.Activity{
					Part: read, SeesTransactions: true,
					Tables: []observe.Table{
						{Name: "job_queues", Inserted: 4, Live: 4, LastAnalyze: new(now())},
						{Name: "jobs", Inserted: 13, Live: 13, LastAnalyze: new(now())},
						{Name: "known_crontabs", Inserted: 2, Live: 2, LastAnalyze: new(now())},
						{Name: "tasks", Inserted: 2, Live: 2, LastAnalyze: new(now())},
					},
				},
				Counts: observe.Counts{Part: read, Stats: &admin.Stats{
					Jobs: admin.Counts{admin.Ready: 2, admin.Waiting: 1, admin.Scheduled: 2, admin.Retrying: 1, admin.Running: 1, admin.Stale: 1, admin.Permafailed: 4, admin.Paused: 1},
					Tasks: map[string]admin.Counts{
						"send":   {admin.Ready: 2, admin.Running: 1, admin.Stale: 1, admin.Permafailed: 4},
						"resize": {admin.Waiting: 1, admin.Scheduled: 2, admin.Retrying: 1, admin.Paused: 1},
					},
					Queues:      map[string]admin.Counts{"free": {admin.Ready: 1}, "held": {admin.Waiting: 1, admin.Running: 1}, "closed": {admin.Paused: 1}},
					OldestReady: ago(20 * time.Minute), NextRunAt: ago(-5 * time.Minute),
					Attempts: []admin.AttemptCount{{Attempts: 0, Jobs: 6}, {Attempts: 1, Jobs: 2}, {Attempts: 2, Jobs: 1}, {Attempts: 3, Jobs: 4}},
				}},
				Locks:  observe.Locks{Part: read, Holders: 1, StaleHolders: 1, Jobs: 2, Queues: 2, Paused: 1, Stale: 2, Oldest: ago(6 * time.Hour)},
				Health: observe.Health{Part: read, Revision: new(20), Supported: true, SeesAll: true, Drift: []migrations.Difference{}},
				Errors: observe.Errors{Part: read, Other: 1, Shapes: []admin.ErrorShape{
					{Shape: "timeout after * s", Jobs: 2, ExampleID: 9, Example: "timeout after 10 s"},
					{Shape: "gone", Jobs: 1, ExampleID: 12, Example: "gone"},
				}},
			}
			o := b.observer(everything())
			for b.snapshot(o).Activity.Tables[1].Inserted < 13 { // the server's statistics come later
				time.Sleep(20 * time.Millisecond)
			}
			for _, table := range []string{"jobs", "job_queues", "tasks", "known_crontabs"} {
				b.exec("analyze graphile_worker._private_" + table)
			}
			got := b.snapshot(o)
			for slices.ContainsFunc(got.Activity.Tables, func(table observe.Table) bool { return table.LastAnalyze == nil }) {
				time.Sleep(20 * time.Millisecond)
				got = b.snapshot(o)
			}
			if got.Activity.Rates == nil {
				t.Error("no rates after two readings")
			}
			sizes := got.Sizes
			got.Sizes, got.Activity.Rates, got.Activity.OldestTransaction = observe.Sizes{}, nil, nil
			b.check("snapshot", want, got)
			b.checkSizes(sizes)
		})
	}
}

func (b *bench) checkSizes(sizes observe.Sizes) {
	b.Helper()
	names := []string{}
	for _, r := range sizes.Relations {
		names = append(names, r.Table+" "+r.Index)
		var bytes int64
		name, size := r.Index, "pg_relation_size"
		if name == "" {
			name, size = "_private_"+r.Table, "pg_table_size"
		}
		if err := b.pool.QueryRow(b.ctx, "select "+size+"($1::text::regclass)", pgx.Identifier{b.schema, name}.Sanitize()).Scan(&bytes); err != nil {
			b.Fatal(err)
		}
		b.check("bytes of "+name, bytes, r.Bytes)
		if r.Index == "" {
			b.check("rows of "+name, map[string]float64{"jobs": 13, "job_queues": 4, "tasks": 2, "known_crontabs": 2}[r.Table], r.Rows)
		}
	}
	b.check("relations", []string{
		"job_queues ", "job_queues job_queues_pkey1", "job_queues job_queues_queue_name_key",
		"jobs ", "jobs jobs_key_key1", "jobs jobs_main_index", "jobs jobs_no_queue_index", "jobs jobs_pkey1",
		"known_crontabs ", "known_crontabs known_crontabs_pkey",
		"tasks ", "tasks tasks_identifier_key", "tasks tasks_pkey",
	}, names)
}

// A recorder counts the queries by name.
type recorder struct {
	mu   sync.Mutex
	sent map[string]int
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, _, _ := strings.Cut(strings.TrimPrefix(data.SQL, "-- name: "), " ")
	if r.sent == nil {
		r.sent = map[string]int{}
	}
	r.sent[name]++
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take returns the numbers of queries since the last call.
func (r *recorder) take() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.sent = nil }()
	return r.sent
}

// Many callers cause one reading. A part is read again only after its interval.
func TestSnapshotOnce(t *testing.T) {
	t.Parallel()
	sent := &recorder{}
	b := newBench(t, graphile.DefaultSchema, func(config *pgxpool.Config) { config.ConnConfig.Tracer = sent })
	b.fixture()
	sent.take()
	long := observe.Pace{Interval: time.Hour, Timeout: 30 * time.Second}
	o := b.observer(observe.Options{Fast: long, Counting: long, Slow: long})
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			if _, err := o.Snapshot(b.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	b.snapshot(o)
	want := map[string]int{
		"ReadingBegin": 6, "begin": 7, "commit": 7, // one of them is that of the comparison of the schema
		"CrontabList": 1, "JobTimes": 1, "DueCount": 1, "TableActivityList": 1, "ServerActivityGet": 1,
		"JobSpan": 1, "JobCount": 1, "WorkerList": 1, "PausedQueueCount": 1, "TableSizeList": 1, "RevisionGetNewest": 1,
	}
	got := sent.take()
	for name := range got {
		if _, ok := want[name]; !ok {
			delete(got, name) // the client's own checks, and the comparison of the schema
		}
	}
	b.check("queries", want, got, cmpopts.IgnoreMapEntries(func(name string, _ int) bool { return name == "begin" || name == "commit" }))
}

// locked locks the table of jobs until the transaction or the test ends.
func (b *bench) locked() pgx.Tx {
	b.Helper()
	lock, err := b.pool.Begin(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = lock.Rollback(context.WithoutCancel(b.ctx)) })
	if _, err := lock.Exec(b.ctx, "lock table graphile_worker._private_jobs in access exclusive mode"); err != nil {
		b.Fatal(err)
	}
	return lock
}

// A part that cannot be read in time keeps what was read before, and no caller waits for it.
func TestSnapshotTimeout(t *testing.T) {
	t.Parallel()
	b := newBench(t, graphile.DefaultSchema)
	b.fixture()
	short := observe.Pace{Interval: time.Nanosecond, Timeout: 300 * time.Millisecond}
	patient := observe.Pace{Interval: time.Nanosecond, Timeout: 30 * time.Second}
	o := b.observer(observe.Options{Fast: patient, Counting: short, Slow: patient, MaxWait: time.Nanosecond})
	before := b.snapshot(o)

	lock := b.locked()
	var after *observe.Snapshot
	var err error
	for {
		if after, err = o.Snapshot(b.ctx); err != nil {
			t.Fatal(err)
		}
		if after.Counts.Err != nil && after.Locks.Err != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for name, err := range map[string]error{"counts": after.Counts.Err, "locks": after.Locks.Err, "all": after.Err()} {
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "57014" {
			t.Errorf("%s: %v, want a statement timeout", name, err)
		}
	}
	b.check("counts", before.Counts.Stats, after.Counts.Stats)
	b.check("as of", before.Counts.AsOf.Equal(*after.Counts.AsOf), true)
	b.check("its error", after.Counts.Err.Error(), after.Counts.Error)

	if err := lock.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(45 * time.Second); after.Counts.Err != nil; time.Sleep(10 * time.Millisecond) {
		if after, err = o.Snapshot(b.ctx); err != nil || time.Now().After(deadline) {
			t.Fatalf("not read again: %v, %v", err, after.Counts.Err)
		}
	}
}

// The first snapshot waits for what has never been read, as long as its context lasts.
func TestSnapshotFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t, graphile.DefaultSchema)
	b.locked()
	o := b.observer(everything())
	ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
	defer cancel()
	if s, err := o.Snapshot(ctx); s != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it returned %v, %v", s, err)
	}
	o.Close() // ends the readings, which would wait for the lock
	if s, err := o.Snapshot(b.ctx); s != nil || err == nil || err.Error() != "observe: the observer is closed" {
		t.Errorf("after Close it returned %v, %v", s, err)
	}
}

// Rates are the differences of the server's counters, and a transaction that is rolled back
// counts.
func TestRates(t *testing.T) {
	t.Parallel()
	b := newBench(t, graphile.DefaultSchema)
	b.fixture()
	o := b.observer(everything())
	jobs := func(s *observe.Snapshot) observe.Table { return s.Activity.Tables[1] }
	until := func(what string, done func(*observe.Snapshot) bool) *observe.Snapshot {
		t.Helper()
		for deadline := time.Now().Add(45 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if s := b.snapshot(o); done(s) {
				return s
			} else if time.Now().After(deadline) {
				t.Fatalf("%s: not seen, but %+v", what, s.Activity)
			}
		}
	}
	first := b.snapshot(b.observer(everything()))
	b.check("rates of the first reading", (*observe.Rates)(nil), first.Activity.Rates)
	before := until("the fixture", func(s *observe.Snapshot) bool { return jobs(s).Inserted == 13 })

	b.exec("insert into graphile_worker._private_jobs (task_id) select 1 from generate_series(1, 100)")
	b.exec("delete from graphile_worker._private_jobs where id between 11 and 50")
	err := pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(b.ctx, "insert into graphile_worker._private_jobs (task_id) select 1 from generate_series(1, 50)"); err != nil {
			return err
		}
		return errUndone
	})
	b.check("the transaction", errUndone, err)
	var inserted, deleted float64
	after := until("the changes", func(s *observe.Snapshot) bool {
		if rates := s.Activity.Rates; rates != nil {
			inserted += rates.Inserted * rates.Seconds
			deleted += rates.Deleted * rates.Seconds
		}
		return jobs(s).Inserted == 163 && jobs(s).Deleted == 40
	})
	b.check("inserted by the rates", float64(jobs(after).Inserted-jobs(before).Inserted), inserted, cmpopts.EquateApprox(1e-6, 0))
	b.check("deleted by the rates", float64(jobs(after).Deleted-jobs(before).Deleted), deleted, cmpopts.EquateApprox(1e-6, 0))
}

var errUndone = errors.New("undone")

// The oldest transaction is that of another session, with what it is.
func TestOldestTransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t, graphile.DefaultSchema)
	config := b.pool.Config().ConnConfig.Copy()
	config.RuntimeParams["application_name"] = "nightly report"
	conn, err := pgx.ConnectConfig(b.ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.ctx))
	tx, err := conn.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var since time.Time
	if err := tx.QueryRow(b.ctx, "select now()").Scan(&since); err != nil {
		t.Fatal(err)
	}
	got := b.snapshot(b.observer(everything())).Activity
	want := &observe.Transaction{Since: since.UTC(), PID: int(conn.PgConn().PID()), State: "idle in transaction", Name: "nightly report"}
	b.check("transaction", want, got.OldestTransaction)
	if age := got.OldestTransactionAge(); age <= 0 || age > time.Minute {
		t.Errorf("its age is %s", age)
	}
}

// Health says what keeps gwadmin from working on the schema, and how the schema differs.
func TestHealth(t *testing.T) {
	t.Parallel()
	health := func(b *bench, pool *pgxpool.Pool) observe.Health {
		b.Helper()
		options := everything()
		options.Schema = b.schema
		o, err := observe.New(pool, &options)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(o.Close)
		s, err := o.Snapshot(b.ctx)
		if err != nil {
			b.Fatal(err)
		}
		return s.Health
	}
	read := observe.Part{AsOf: new(now())}
	t.Run("drift", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, graphile.DefaultSchema)
		b.exec("drop index graphile_worker.jobs_main_index")
		got := health(b, b.pool)
		if len(got.Drift) != 1 || got.Drift[0].Object != "index jobs_main_index" {
			t.Errorf("drift: %v", got.Drift)
		}
		got.Drift = nil
		b.check("the rest", observe.Health{Part: read, Revision: new(20), Supported: true, SeesAll: true}, got)
	})
	t.Run("not installed", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, graphile.DefaultSchema)
		b.schema = "nothing"
		b.check("health", observe.Health{Part: read, Problem: `check: schema of Graphile Worker is not installed: schema "nothing": ` +
			`install it with gwadmin migrate up --schema nothing or graphile-worker --schema-only --schema nothing`}, health(b, b.pool))
	})
	t.Run("too new", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, graphile.DefaultSchema)
		b.exec("insert into graphile_worker.migrations (id, breaking) values (99, true)")
		b.check("health", observe.Health{Part: read, Revision: new(99), SeesAll: true, Problem: `check: revision too new: schema "graphile_worker" is at ` +
			`Graphile Worker revision 99 (breaking since 99) and this gwadmin knows revisions up to 20: use a gwadmin that knows it`}, health(b, b.pool))
	})
	t.Run("row security", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, graphile.DefaultSchema)
		role := fmt.Sprintf("blind_%d", time.Now().UnixNano())
		b.exec("create role " + role + " login")
		t.Cleanup(func() {
			_, _ = b.pool.Exec(context.Background(), "drop owned by "+role)
			_, _ = b.pool.Exec(context.Background(), "drop role "+role)
		})
		b.exec("grant usage on schema graphile_worker to " + role)
		b.exec("grant select on all tables in schema graphile_worker to " + role)
		config := b.pool.Config()
		config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "set role "+role)
			return err
		}
		pool := pgtest.OpenPool(t, config)
		b.check("health", observe.Health{Part: read, Revision: new(20), Supported: true, Problem: `check: row security keeps jobs from this role: ` +
			`use the owner of the tables in schema "graphile_worker", or give the role its rights by gwadmin migrate grants producer|admin|reader ROLE`}, health(b, pool))
	})
}

// Everything that reads Graphile Worker's tables can be read on a replica, and is as good there.
func TestReader(t *testing.T) {
	t.Parallel()
	primaryURL, standbyURL := pgtest.Replicated(t, testdb.Ours(""))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	open := func(url string) (*pgxpool.Pool, *recorder) {
		sent := &recorder{}
		config := pgtest.Config(t, url)
		config.ConnConfig.Tracer = sent
		return pgtest.OpenPool(t, config), sent
	}
	primary, onPrimary := open(primaryURL)
	standby, onStandby := open(standbyURL)
	b := &bench{t, ctx, primary, graphile.DefaultSchema}
	b.fixture()
	pgtest.CatchUp(t, primaryURL, standbyURL)
	want := b.snapshot(b.observer(everything()))
	onPrimary.take()
	options := everything()
	options.Reader = standby
	got := b.snapshot(b.observer(options))
	want.Activity, got.Activity = observe.Activity{}, observe.Activity{}
	want.Sizes, got.Sizes = observe.Sizes{}, observe.Sizes{}
	b.check("snapshot", want, got)
	has := func(sent map[string]int, names ...string) (found []string) {
		for _, name := range names {
			if sent[name] > 0 {
				found = append(found, name)
			}
		}
		return found
	}
	tables := []string{"CrontabList", "DueCount", "JobCount", "JobTimes", "PausedQueueCount", "WorkerList"}
	statistics := []string{"ServerActivityGet", "TableActivityList", "TableSizeList"}
	primarySent, standbySent := onPrimary.take(), onStandby.take()
	b.check("tables on the replica", tables, has(standbySent, tables...))
	b.check("statistics on the primary", statistics, has(primarySent, statistics...))
	b.check("tables on the primary", []string(nil), has(primarySent, tables...))
	b.check("statistics on the replica", []string(nil), has(standbySent, statistics...))
}

// Input that cannot work is refused before anything is sent.
func TestNew(t *testing.T) {
	t.Parallel()
	b := newBench(t, graphile.DefaultSchema)
	conn, err := b.pool.Acquire(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, tc := range []struct {
		on      admin.DB
		options observe.Options
		want    string
	}{
		{nil, observe.Options{}, "observe: the database is nil: give a pool"},
		{(*pgxpool.Pool)(nil), observe.Options{}, "observe: the database is nil: give a pool"},
		{b.pool, observe.Options{Reader: (*pgxpool.Pool)(nil)}, "observe: the database is nil: give a pool"},
		{conn.Conn(), observe.Options{}, "observe: several readings cannot use a *pgx.Conn at the same time: give a pool"},
		{b.pool, observe.Options{Schema: "pg_x"}, `observe: schema name "pg_x" starts with pg_, which PostgreSQL keeps for itself`},
		{b.pool, observe.Options{Fast: observe.Pace{Timeout: -1}}, "observe: option Fast has a negative duration"},
		{b.pool, observe.Options{MaxWait: -1}, "observe: option MaxWait is negative"},
		{b.pool, observe.Options{Count: "roughly"}, `observe: option Count is "roughly": use one of ["" "exact" "estimate"]`},
		{b.pool, observe.Options{ErrorShapes: 1001}, "observe: option ErrorShapes 1001 is outside 0 to 1000"},
	} {
		o, err := observe.New(tc.on, &tc.options)
		if o != nil || err == nil || err.Error() != tc.want {
			t.Errorf("%+v: %v, want %s", tc.options, err, tc.want)
		}
	}
}

// A partial snapshot does not wait for what has never been read, and has it later.
func TestSnapshotPartial(t *testing.T) {
	t.Parallel()
	b := newBench(t, graphile.DefaultSchema)
	lock := b.locked()
	options := everything()
	options.Partial, options.MaxWait = true, 10*time.Millisecond
	options.Counting.Timeout, options.Fast.Timeout, options.Slow.Timeout = time.Minute, time.Minute, time.Minute
	o := b.observer(options)
	s, err := o.Snapshot(b.ctx)
	if err != nil || s.Counts.AsOf != nil || s.Err() != nil {
		t.Fatalf("while the jobs are locked: %v %v", s, err)
	}
	if err := lock.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	for s.Counts.AsOf == nil || s.Due.AsOf == nil {
		if s, err = o.Snapshot(b.ctx); err != nil || s.Err() != nil {
			t.Fatalf("%v %v", err, s.Err())
		}
	}
}
