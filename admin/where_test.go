package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// wheres are the changes by filter, each with a function that changes a job; nil deletes it.
var wheres = map[string]struct {
	call func(context.Context, *admin.Client, admin.Filter, *admin.WhereOptions) (*admin.ChangeResult, error)
	does func(*admin.Job)
}{
	"complete": {
		func(ctx context.Context, c *admin.Client, f admin.Filter, o *admin.WhereOptions) (*admin.ChangeResult, error) {
			return c.CompleteWhere(ctx, f, o)
		}, nil,
	},
	"fail": {
		func(ctx context.Context, c *admin.Client, f admin.Filter, o *admin.WhereOptions) (*admin.ChangeResult, error) {
			return c.FailWhere(ctx, f, new("why"), o)
		},
		failed("why"),
	},
	"reschedule": {
		func(ctx context.Context, c *admin.Client, f admin.Filter, o *admin.WhereOptions) (*admin.ChangeResult, error) {
			return c.RescheduleWhere(ctx, f, admin.RescheduleValues{RunAt: admin.Never(), Priority: new(0), MaxAttempts: new(9)}, o)
		},
		func(j *admin.Job) { j.RunAt, j.Priority, j.MaxAttempts, j.UpdatedAt = *admin.Never(), 0, 9, now() },
	},
	"retry": {
		func(ctx context.Context, c *admin.Client, f admin.Filter, o *admin.WhereOptions) (*admin.ChangeResult, error) {
			return c.RetryWhere(ctx, f, o)
		},
		func(j *admin.Job) { j.RunAt, j.Attempts, j.UpdatedAt = admin.RunAt{Time: now()}, 0, now() },
	},
}

// For random jobs, filters and verbs, the call changes exactly the jobs that the model
// changes, no other row changes, and the numbers of the result are consistent.
func TestWhereModel(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, schema, npm string }{
		{"ours", "", ""}, {"quoted", weird, ""}, {"npm 0.18.0", "", "0.18.0"}, {"npm 0.17.3", "", "0.17.3"}, {"npm 0.16.6", "", "0.16.6"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			template := testdb.Ours(tc.schema)
			if tc.npm != "" {
				template = testdb.Upstream(t, tc.npm, "")
			}
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			d := dice{rand.New(rand.NewPCG(seed, 0))}
			mode := of(d, modes...)
			var b *bench
			opt := func(config *pgxpool.Config) { config.ConnConfig.DefaultQueryExecMode = mode }
			if tc.schema != "" {
				b = benchIn(t, template, tc.schema, opt)
			} else {
				b = newBench(t, template, opt)
			}
			b = b.in(b.begin())
			at := rowsOf[time.Time](b, "select now()")[0]
			moments := []time.Time{at}
			for _, edge := range []time.Time{at, at.Add(-admin.StaleAfter), day0} {
				moments = append(moments, edge, edge.Add(time.Microsecond), edge.Add(-time.Microsecond), edge.Add(time.Minute), edge.Add(-time.Minute))
			}
			for i := range 150 {
				b.insert(d.job(i, moments))
			}
			b.exec(`delete from graphile_worker._private_job_queues where queue_name = 'gone'`)
			b.lockQueues()
			model := b.model()
			for range 30 {
				f := d.filter(model, moments)
				if d.IntN(8) == 0 {
					f = admin.Filter{}
				}
				for name, where := range wheres {
					o := admin.WhereOptions{
						All: gocmp.Equal(f, admin.Filter{}), BatchSize: of(d, 0, 1, 7, 50, 150), Limit: of[int64](d, 0, 0, 1, 20),
						Sample: maybe(d, 2, 0, 3, 200),
					}
					before := rowsByID(b)
					dry := o
					dry.DryRun = true
					preview := b.ok(where.call(b.ctx, b.client, f, &dry)).(*admin.ChangeResult)
					b.check("rows after a preview", before, rowsByID(b))

					b.exec("savepoint bulk")
					result := b.ok(where.call(b.ctx, b.client, f, &o)).(*admin.ChangeResult)
					want, changed := whereModel(model, f, o)
					after := rowsByID(b)
					for _, id := range changed {
						row, there := after[id]
						if there == (where.does == nil) || row == before[id] {
							b.Errorf("%s: job %d should have been changed", name, id)
						}
						delete(before, id)
						delete(after, id)
					}
					b.check("the rows of the other jobs", before, after)

					// If the limit ended the call, other jobs may or may not match.
					want.More = result.More
					wantDry := want
					wantDry.DryRun, wantDry.More = true, preview.More
					b.check(name+": preview", wantDry, *preview)
					if where.does != nil {
						// The result has the changed jobs after the change.
						want.Jobs = slices.Clone(want.Jobs)
						for i := range want.Jobs {
							where.does(&want.Jobs[i])
						}
					}
					b.check(name+": result", want, *result)
					if (result.Matched - result.Changed) != result.Skipped[admin.Locked]+result.Skipped[admin.Contended] {
						b.Errorf("it does not add up: %+v", result)
					}
					if o.Limit == 0 && result.More {
						b.Errorf("more, without a limit")
					}
					b.exec("rollback to bulk")
					if b.Failed() {
						text, _ := json.Marshal(f)
						b.Fatalf("%s %s %+v", name, text, o)
					}
				}
			}
		})
	}
}

// rowsByID returns the rows of the jobs, each with its version.
func rowsByID(b *bench) map[int64]string {
	b.Helper()
	rows := map[int64]string{}
	text := rowsOf[string](b, `select coalesce(json_object_agg(id, xmin::text || jobs::text), '{}')::text from graphile_worker._private_jobs as jobs`)[0]
	b.ok(nil, json.Unmarshal([]byte(text), &rows))
	return rows
}

// whereModel returns the expected preview and the ids of the jobs to change.
func whereModel(model []admin.ListedJob, f admin.Filter, o admin.WhereOptions) (want admin.ChangeResult, changed []int64) {
	sample := 10
	if o.Sample != nil {
		sample = *o.Sample
	}
	want = admin.ChangeResult{Skipped: map[admin.SkipReason]int64{}, States: admin.Counts{}, Jobs: []admin.Job{}, SkippedJobs: []admin.Skip{}}
	for _, j := range model {
		if !matches(f, j) {
			continue
		}
		want.Matched++
		want.States[j.State]++
		if j.State == admin.Running {
			want.Skipped[admin.Locked]++
			if len(want.SkippedJobs) < sample {
				want.SkippedJobs = append(want.SkippedJobs, locked(j.Job))
			}
			continue
		}
		want.Changed++
		changed = append(changed, j.ID)
		if len(want.Jobs) < sample {
			want.Jobs = append(want.Jobs, j.Job)
		}
		if want.Changed == o.Limit {
			break
		}
	}
	return want, changed
}

func TestWhereInvalid(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.fixture()
	b.ok(nil, b.client.Check(b.ctx))
	b.sent.take()
	some := admin.Filter{Priority: admin.IntRange{From: new(0)}}
	for _, tc := range []struct {
		reason  string
		filter  admin.Filter
		options *admin.WhereOptions
		want    string
	}{
		{"no filter", admin.Filter{}, nil, "filter is empty and selects every job: set All if that is meant"},
		{"a filter with All", some, &admin.WhereOptions{All: true}, "all is only for an empty filter, and the filter is not empty"},
		{"unknown state", admin.Filter{States: []admin.State{"red"}}, nil, `filter states has "red": use one of`},
		{"negative limit", some, &admin.WhereOptions{Limit: -1}, "limit -1 is negative"},
		{"too large a batch", some, &admin.WhereOptions{BatchSize: 10_001}, "batch_size 10001 is outside 1 to 10000"},
		{"negative batch", some, &admin.WhereOptions{BatchSize: -1}, "batch_size -1 is outside"},
		{"negative pause", some, &admin.WhereOptions{Pause: -time.Second}, "pause -1s is negative"},
		{"too large a sample", some, &admin.WhereOptions{Sample: new(10_001)}, "sample 10001 is outside 0 to 10000"},
		{"negative sample", some, &admin.WhereOptions{Sample: new(-1)}, "sample -1 is outside"},
	} {
		for name, where := range wheres {
			result, err := where.call(b.ctx, b.client, tc.filter, tc.options)
			if invalid, ok := errors.AsType[*admin.InvalidError](err); !ok || len(invalid.Faults) != 1 || !strings.HasPrefix(invalid.Faults[0].String(), tc.want) || result != nil {
				t.Errorf("%s: %s: %v, %v", name, tc.reason, result, err)
			}
		}
	}
	_, err := b.client.RescheduleWhere(b.ctx, some, admin.RescheduleValues{}, nil)
	b.check("nothing to set", true, errors.Is(err, admin.ErrInvalid))
	_, err = b.client.FailWhere(b.ctx, some, new("\x00"), nil)
	b.check("a reason that PostgreSQL cannot store", true, errors.Is(err, admin.ErrInvalid))
	b.check("sent", 0, len(b.sent.names()))
	// An empty list is a filter that matches no job.
	none := b.ok(b.client.CompleteWhere(b.ctx, admin.Filter{IDs: []int64{}}, nil)).(*admin.ChangeResult)
	b.check("matched by an empty list", int64(0), none.Matched)
	_, err = b.client.RetryWhere(b.ctx, admin.Filter{PayloadPath: new("$[")}, nil)
	b.check("a path that PostgreSQL refuses", true, errors.Is(err, admin.ErrInvalid))
}

// between is a database that calls a function before each query with a name.
type between struct {
	admin.DB
	name   string
	happen func()
}

func (d between) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := d.DB.Begin(ctx)
	return betweenTx{tx, d}, err
}

func (d between) BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error) {
	tx, err := d.DB.(interface {
		BeginTx(context.Context, pgx.TxOptions) (pgx.Tx, error)
	}).BeginTx(ctx, options)
	return betweenTx{tx, d}, err
}

func (d between) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	d.at(sql)
	return d.DB.Query(ctx, sql, args...)
}

func (d between) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	d.at(sql)
	return d.DB.QueryRow(ctx, sql, args...)
}

func (d between) at(sql string) {
	if strings.Contains(sql, "-- name: "+d.name+" ") {
		d.happen()
	}
}

type betweenTx struct {
	pgx.Tx
	between
}

func (d betweenTx) Begin(ctx context.Context) (pgx.Tx, error) { return d.Tx.Begin(ctx) }
func (d betweenTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return d.Tx.Exec(ctx, sql, args...)
}
func (d betweenTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return d.Tx.QueryRow(ctx, sql, args...)
}
func (d betweenTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if strings.Contains(sql, "-- name: "+d.name+" ") {
		d.happen()
	}
	return d.Tx.Query(ctx, sql, args...)
}

// A call skips a job that another session takes, changes, deletes or has locked after it
// matched, with every default isolation level.
func TestWhereLeavesWhatHasChanged(t *testing.T) {
	t.Parallel()
	at := ago(time.Hour)
	for _, isolation := range []string{"read committed", "repeatable read", "serializable"} {
		for _, tc := range []struct {
			reason  string
			sql     string
			args    []any
			open    bool // the other transaction commits only after the call ends
			reason2 admin.SkipReason
		}{
			{"taken", takes, []any{[]int64{2}, "pool-c", at}, false, admin.Locked},
			{"taken by an open transaction", takes, []any{[]int64{2}, "pool-c", at}, true, admin.Contended},
			{"retried", "update graphile_worker._private_jobs set attempts = 0, run_at = now() where id = 2", nil, false, admin.Contended},
			{"updated without a change", "update graphile_worker._private_jobs set attempts = attempts where id = 2", nil, false, admin.Contended},
			{"deleted", "delete from graphile_worker._private_jobs where id = 2", nil, false, admin.Contended},
			{"deleted by an open transaction", "delete from graphile_worker._private_jobs where id = 2", nil, true, admin.Contended},
		} {
			for name, where := range wheres {
				t.Run(fmt.Sprintf("%s/%s/%s", isolation, tc.reason, name), func(t *testing.T) {
					t.Parallel()
					b := newBench(t, testdb.Ours(""), func(config *pgxpool.Config) {
						config.ConnConfig.RuntimeParams["default_transaction_isolation"] = isolation
					})
					b.fixture()
					b.ok(nil, b.client.Check(b.ctx))
					var meant map[int64]string
					var tx pgx.Tx
					client := admin.New(between{b.on, "JobLock", func() {
						tx = b.begin()
						b.in(tx).exec(tc.sql, tc.args...)
						meant = rowsByID(b.in(tx))
						if !tc.open {
							b.ok(nil, tx.Commit(b.ctx))
						}
					}})
					result := b.ok(where.call(b.ctx, client, admin.Filter{IDs: []int64{1, 2, 3}}, nil)).(*admin.ChangeResult)
					if tc.open {
						b.ok(nil, tx.Commit(b.ctx))
					}
					skip := admin.Skip{ID: 2, Reason: tc.reason2}
					if tc.reason2 == admin.Locked {
						skip.LockedBy, skip.LockedAt = new("pool-c"), at
					}
					b.check("changed", []int64{1}, jobIDs(result.Jobs))
					b.check("skipped", []any{skip, admin.SkipReason(admin.Locked)}, []any{result.SkippedJobs[0], result.SkippedJobs[1].Reason})
					wantSkipped := map[admin.SkipReason]int64{admin.Locked: 1}
					wantSkipped[tc.reason2]++
					b.check("numbers", []any{int64(3), int64(1), wantSkipped}, []any{result.Matched, result.Changed, result.Skipped})
					after := rowsByID(b)
					delete(meant, 1)
					delete(after, 1)
					b.check("the rows of the other jobs", meant, after)
				})
			}
		}
	}
}

// A row that changes after the snapshot of the locking statement was taken is skipped.
func TestLockSeesTheNewestVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.many(3)
	text := b.ok(os.ReadFile("../queries/match.sql")).([]byte)
	_, lock, _ := strings.Cut(string(text), "-- name: JobLock :many\n")
	lock, _, _ = strings.Cut(lock, "-- name:")
	// Before the second row the statement waits for an advisory lock.
	const pause = "unnest(@versions::bigint[]) as version"
	if !strings.Contains(lock, pause) {
		t.Fatal("the query has changed")
	}
	lock = strings.Replace(lock, "jobs.xmin::text::bigint = matched.version", "jobs.xmin::text::bigint = matched.version and (jobs.id <> 2 or pg_advisory_xact_lock(7)::text = '')", 1)
	lock = strings.NewReplacer("@ids", "$1", "@versions", "$2").Replace(lock)
	versions := rowsOf[int64](b, "select xmin::text::bigint from graphile_worker._private_jobs order by id")

	holder := b.begin()
	b.in(holder).exec("select pg_advisory_xact_lock(7)")
	locker := b.begin()
	got := b.during(holder, func(ctx context.Context) error {
		b.exec("update graphile_worker._private_jobs set priority = 1 where id in (2, 3)")
		return holder.Commit(ctx)
	}, func() any { return rowsOf[int64](b.in(locker), lock, []int64{1, 2, 3}, versions) })
	b.check("locked", []int64{1}, got)
}

// many inserts jobs with the ids 1 to n without the client.
func (b *bench) many(n int) {
	b.Helper()
	b.exec(`insert into graphile_worker._private_tasks (identifier) values ('run')`)
	b.exec(`insert into graphile_worker._private_jobs (task_id, run_at) select tasks.id, '2024-01-01'
		from graphile_worker._private_tasks as tasks, generate_series(1, $1)`, n)
	b.exec(`analyze graphile_worker._private_jobs`)
}

const bulkDone = "select count(*)::int from graphile_worker._private_jobs where priority = 3"

// TestWhereBatches tests batches, progress, limit, pause and cancellation on many jobs.
func TestWhereBatches(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	const n = 25_000
	b.many(n)
	set := admin.RescheduleValues{Priority: new(3)}
	undone := admin.Filter{Priority: admin.IntRange{To: new(2)}}
	reset := func() { b.exec("update graphile_worker._private_jobs set priority = 0") }

	b.Run(t, "progress", func(b *bench) {
		defer reset()
		var seen []admin.ChangeResult
		all := admin.WhereOptions{All: true, BatchSize: 1000, Progress: func(r admin.ChangeResult) {
			b.check("committed", int64(rowsOf[int](b, bulkDone)[0]), r.Changed)
			seen = append(seen, r)
		}}
		var ids []int64
		all.Changed = func(changed []int64) { ids = append(ids, changed...) }
		result := b.ok(b.client.RescheduleWhere(b.ctx, admin.Filter{}, set, &all)).(*admin.ChangeResult)
		b.check("ids", rowsOf[int64](b, "select id from graphile_worker._private_jobs order by id"), ids)
		b.check("done", n, rowsOf[int](b, bulkDone)[0])
		b.check("changed", int64(n), result.Changed)
		b.check("batches", n/1000, len(seen))
		for i, r := range seen {
			b.check("progress", int64(i+1)*1000, r.States.Total()) // each call has its own copy
		}
	})
	b.Run(t, "every third, by ids out of order", func(b *bench) {
		defer reset()
		var ids []int64
		for id := int64(n); id > 0; id -= 3 {
			ids = append(ids, id, id)
		}
		result := b.ok(b.client.RescheduleWhere(b.ctx, admin.Filter{IDs: append(ids, 1<<40, -1)}, set, &admin.WhereOptions{BatchSize: 100})).(*admin.ChangeResult)
		b.check("changed", int64(len(ids)/2), result.Changed)
		b.check("done", len(ids)/2, rowsOf[int](b, bulkDone)[0])
	})
	b.Run(t, "limit", func(b *bench) {
		defer reset()
		limited := &admin.WhereOptions{Limit: 2500, BatchSize: 1000}
		preview := *limited
		preview.DryRun = true
		for want := range int64(10) {
			dry := b.ok(b.client.RescheduleWhere(b.ctx, undone, set, &preview)).(*admin.ChangeResult)
			result := b.ok(b.client.RescheduleWhere(b.ctx, undone, set, limited)).(*admin.ChangeResult)
			b.check("changed", []any{int64(2500), int64(2500), want < 9}, []any{dry.Changed, result.Changed, result.More})
		}
		result := b.ok(b.client.RescheduleWhere(b.ctx, undone, set, limited)).(*admin.ChangeResult)
		b.check("changed, of no jobs", int64(0), result.Changed)
	})
	b.Run(t, "cancelled in the middle of a batch", func(b *bench) {
		defer reset()
		ctx, cancel := context.WithCancel(b.ctx)
		calls := 0
		client := admin.New(between{b.on, "JobRescheduleIDs", func() {
			if calls++; calls == 5 {
				cancel()
			}
		}})
		result, err := client.RescheduleWhere(ctx, undone, set, &admin.WhereOptions{BatchSize: 700})
		b.check("error", true, errors.Is(err, context.Canceled))
		b.check("changed", int64(2800), result.Changed)
		b.check("done", []int{2800, 2800}, []int{rowsOf[int](b, bulkDone)[0], rowsOf[int](b, "select max(id)::int from graphile_worker._private_jobs where priority = 3")[0]})
	})
	b.Run(t, "cancelled in a pause", func(b *bench) {
		defer reset()
		ctx, cancel := context.WithCancel(b.ctx)
		result, err := b.client.RescheduleWhere(ctx, undone, set, &admin.WhereOptions{BatchSize: 500, Pause: time.Hour, Progress: func(admin.ChangeResult) {
			time.AfterFunc(10*time.Millisecond, cancel)
		}})
		b.check("error", true, errors.Is(err, context.Canceled))
		b.check("changed, and done", []int64{500, 500}, []int64{result.Changed, int64(rowsOf[int](b, bulkDone)[0])})
	})
	b.Run(t, "failed in the middle", func(b *bench) {
		defer reset()
		client := admin.New(failing{b.on, "JobRescheduleIDs", 3, new(int)})
		var ids []int64
		result, err := client.RescheduleWhere(b.ctx, undone, set, &admin.WhereOptions{BatchSize: 900, Changed: func(changed []int64) { ids = append(ids, changed...) }})
		b.check("error", true, errors.Is(err, errLost))
		b.check("ids", rowsOf[int64](b, "select id from graphile_worker._private_jobs where priority = 3 order by id"), ids)
		b.check("changed, and done", []int64{1800, 1800}, []int64{result.Changed, int64(rowsOf[int](b, bulkDone)[0])})
	})
	b.Run(t, "failed after the change", func(b *bench) {
		defer b.exec("update graphile_worker._private_jobs set locked_at = null, locked_by = null")
		b.exec(takes, []int64{3}, "pool-a", ago(time.Hour))
		client := admin.New(failing{b.on, "JobLocks", 1, new(int)}) // the query that reads why a job was skipped
		result, err := client.RescheduleWhere(b.ctx, undone, set, nil)
		b.check("error", true, errors.Is(err, errLost))
		b.check("changed, and done", []int64{0, 0}, []int64{result.Changed, int64(rowsOf[int](b, bulkDone)[0])})
	})
	b.Run(t, "in a transaction that is rolled back", func(b *bench) {
		tx := b.begin()
		result := b.ok(b.client.WithTx(tx).RescheduleWhere(b.ctx, undone, set, nil)).(*admin.ChangeResult)
		b.check("changed", int64(n), result.Changed)
		b.check("inside", n, rowsOf[int](b.in(tx), bulkDone)[0])
		b.ok(nil, tx.Rollback(b.ctx))
		b.check("after it", 0, rowsOf[int](b, bulkDone)[0])
	})
	b.Run(t, "in a transaction begun by hand", func(b *bench) {
		conn := b.ok(b.pool.Acquire(b.ctx)).(*pgxpool.Conn)
		defer conn.Release()
		inside := b.in(conn.Conn())
		inside.exec("begin")
		b.ok(inside.client.RescheduleWhere(b.ctx, undone, set, &admin.WhereOptions{Limit: 10}))
		inside.exec("rollback")
		b.check("after it", 0, rowsOf[int](b, bulkDone)[0])
	})
	b.Run(t, "while jobs are added", func(b *bench) {
		defer reset()
		defer b.exec("delete from graphile_worker._private_jobs where id > $1", n)
		result := b.ok(b.client.RescheduleWhere(b.ctx, undone, set, &admin.WhereOptions{BatchSize: 5000, Progress: func(admin.ChangeResult) {
			b.exec("insert into graphile_worker._private_jobs (task_id) select task_id from graphile_worker._private_jobs limit 5000")
		}})).(*admin.ChangeResult)
		b.check("changed", int64(n), result.Changed)
	})
}

// While another session changes the same jobs, a call never changes a job that does not match
// the filter at that time.
func TestWhereBesideOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	const n = 4000
	b.many(n)
	b.exec(`create function public.watch() returns trigger language plpgsql as $$
		begin
			raise exception 'job % is changed, with priority %', old.id, old.priority;
		end $$`)
	b.exec(`create trigger watch before update on graphile_worker._private_jobs
		for each row when (old.max_attempts <> new.max_attempts and old.priority <> 0) execute function public.watch()`)
	ctx, stop := context.WithCancel(b.ctx)
	var others sync.WaitGroup
	for worker := range 3 {
		others.Go(func() {
			d := rand.New(rand.NewPCG(uint64(worker), 0))
			for ctx.Err() == nil {
				_, err := b.pool.Exec(b.ctx, "update graphile_worker._private_jobs set priority = 1 - priority where id between $1::int and $1::int + 20", d.IntN(n))
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var changed, contended int64
	for range 12 {
		for most := range 2 {
			result, err := b.client.RescheduleWhere(b.ctx, admin.Filter{Priority: admin.IntRange{From: new(0), To: new(0)}}, admin.RescheduleValues{MaxAttempts: new(7 + most)}, &admin.WhereOptions{BatchSize: 2000})
			if err != nil {
				t.Error(err)
				break
			}
			changed, contended = changed+result.Changed, contended+result.Skipped[admin.Contended]
		}
	}
	stop()
	others.Wait()
	t.Logf("%d changed, %d contended", changed, contended)
	if changed == 0 {
		t.Error("nothing was changed")
	}
}

// Negative and very large ids, which were inserted by hand, match like any others.
func TestWhereReachesEveryID(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	ids := []int64{math.MinInt64 + 1, -5, 0, 1, 1 << 62, math.MaxInt64}
	b.exec(`insert into graphile_worker._private_tasks (identifier) values ('send')`)
	b.exec(`insert into graphile_worker._private_jobs (id, task_id) overriding system value
		select ids, tasks.id from graphile_worker._private_tasks as tasks, unnest($1::bigint[]) as ids`, ids)
	for _, f := range []admin.Filter{{}, {IDs: ids}, {TaskIdentifiers: []string{"send"}}} {
		for _, size := range []int{1, 2, 0} {
			o := &admin.WhereOptions{All: f.IDs == nil && f.TaskIdentifiers == nil, BatchSize: size, DryRun: true}
			b.check("ids that would be changed", ids, jobIDs(b.ok(b.client.CompleteWhere(b.ctx, f, o)).(*admin.ChangeResult).Jobs))
			o.DryRun = false
			result := b.ok(b.client.RescheduleWhere(b.ctx, f, admin.RescheduleValues{Priority: new(size)}, o)).(*admin.ChangeResult)
			b.check("ids that were changed", ids, jobIDs(result.Jobs))
		}
	}
}

// A call that needs many passes does not read all jobs in each, not even if the planner takes
// the jobs that match for few. It is not parallel, since it sets the size of a pass for all.
func TestWherePassesReadOnce(t *testing.T) {
	defer admin.SetMatchSize(admin.SetMatchSize(100))
	b := newBench(t, testdb.Ours(""))
	const n = 5000
	b.many(n)
	b.ok(b.client.HoldWhere(b.ctx, admin.Filter{}, &admin.WhereOptions{All: true})) // the planner knows of no job on hold
	tx := b.ok(b.pool.Begin(b.ctx)).(pgx.Tx)
	defer func() { _ = tx.Rollback(b.ctx) }()
	read := func() (rows int) {
		b.ok(nil, tx.QueryRow(b.ctx, `select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = '_private_jobs' and schemaname = 'graphile_worker'`).Scan(&rows))
		return rows
	}
	before := read()
	result := b.ok(b.client.WithTx(tx).ReleaseWhere(b.ctx, admin.Filter{}, &admin.WhereOptions{All: true, Sample: new(0)})).(*admin.ChangeResult)
	b.check("released", int64(n), result.Changed)
	if each := (read() - before) / n; each > 12 {
		b.Errorf("each job was read %d times", each)
	}
}

// The dry run reads from the reader. The change uses the primary.
func TestWhereReader(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.fixture()
	empty := pgtest.Pool(t, testdb.Ours(""))
	client := admin.New(b.on, admin.WithReader(onPool(empty)))
	all := admin.WhereOptions{All: true, DryRun: true}
	b.check("seen by the preview", int64(0), b.ok(client.RetryWhere(b.ctx, admin.Filter{}, &all)).(*admin.ChangeResult).Matched)
	all.DryRun = false
	b.check("changed", int64(5), b.ok(client.RetryWhere(b.ctx, admin.Filter{}, &all)).(*admin.ChangeResult).Changed)
}

// Every call returns ErrRowSecurity if the role may not see or change every job.
func TestWhereRights(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.fixture()
	before := b.tables()
	const reads, updates, deletes = "for select to role using (true)", "for update to role using (true)", "for delete to role using (true)"
	for reason, tc := range map[string]struct {
		policies []string
		may      []string
	}{
		"none":    {nil, nil},
		"reads":   {[]string{reads}, []string{"preview"}},
		"deletes": {[]string{reads, deletes}, []string{"preview"}},
		"updates": {[]string{reads, updates}, []string{"fail", "preview", "reschedule", "retry"}},
	} {
		t.Run(reason, func(t *testing.T) {
			b := newBench(t, testdb.Ours(""))
			b.fixture()
			role := b.as(tc.policies...)
			var may []string
			for name, where := range wheres {
				_, err := where.call(b.ctx, role.client, admin.Filter{IDs: []int64{1}}, nil)
				if err == nil {
					may = append(may, name)
				} else if !errors.Is(err, admin.ErrRowSecurity) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if _, err := role.client.RetryWhere(b.ctx, admin.Filter{IDs: []int64{1}}, &admin.WhereOptions{DryRun: true}); err == nil {
				may = append(may, "preview")
			}
			slices.Sort(may)
			b.check("may", tc.may, may)
		})
	}
	role := b.as(reads, updates, deletes)
	b.exec("revoke update on graphile_worker._private_jobs from " + rowsOf[string](role, "select current_user::text")[0])
	for name, where := range wheres {
		if _, err := where.call(b.ctx, role.client, admin.Filter{IDs: []int64{1}}, nil); code(err) != "42501" {
			t.Errorf("%s without the privilege: %v", name, err)
		}
	}
	b.check("tables", withoutSequences(before), withoutSequences(b.tables()))
}

// A batch that is the victim of a deadlock runs again.
func TestWhereDeadlock(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.many(50)
	b.exec("create sequence public.times")
	b.exec(`create function public.deadlock() returns trigger language plpgsql as $$
		begin
			if nextval('public.times') = 7 then raise exception using errcode = '40P01'; end if;
			return new;
		end $$`)
	b.exec(`create trigger deadlock before update on graphile_worker._private_jobs for each row execute function public.deadlock()`)
	result := b.ok(b.client.RescheduleWhere(b.ctx, admin.Filter{Priority: admin.IntRange{To: new(2)}}, admin.RescheduleValues{Priority: new(3)}, &admin.WhereOptions{BatchSize: 5})).(*admin.ChangeResult)
	b.check("changed, and done", []int64{50, 50, 10}, []int64{result.Changed, int64(rowsOf[int](b, bulkDone)[0]), int64(len(result.Jobs))})
}

// While real workers run jobs, no job is lost, run twice, or changed while it runs.
func TestWhereBesideWorkers(t *testing.T) {
	t.Parallel()
	for _, version := range upstream.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Upstream(t, version, ""))
			const n = 1500
			b.many(n)
			driver := upstream.Start(t, version, b.pool.Config().ConnString(), "")
			worker := b.ok(driver.StartWorker(b.ctx, upstream.WorkerOptions{Tasks: []string{"run"}, Concurrency: 8})).(*upstream.Worker)
			b.ok(worker.Started(b.ctx))
			ran := map[int64]int{}
			done := make(chan error, 1)
			go func() {
				for len(ran) < n {
					job, err := worker.Finished(b.ctx)
					if err != nil {
						done <- err
						return
					}
					ran[job.ID]++
				}
				done <- nil
			}()
			var changed, locked int64
			for priority := 1; len(done) == 0; priority = priority%30 + 1 {
				set := admin.RescheduleValues{Priority: &priority, RunAt: admin.At(day0)}
				result, err := b.client.RescheduleWhere(b.ctx, admin.Filter{}, set, &admin.WhereOptions{All: true, BatchSize: 100})
				if err != nil {
					t.Fatal(err)
				}
				changed, locked = changed+result.Changed, locked+result.Skipped[admin.Locked]+result.Skipped[admin.Contended]
			}
			b.ok(nil, <-done)
			b.ok(nil, worker.Stop(b.ctx))
			t.Logf("%d changed, %d left alone", changed, locked)
			for id, times := range ran {
				if times != 1 {
					t.Errorf("job %d ran %d times", id, times)
				}
			}
			b.check("jobs that ran, and jobs that remain", []int{n, 0}, []int{len(ran), len(b.jobs())})
			if changed == 0 {
				t.Error("the workers were done before anything was changed")
			}
		})
	}
}
