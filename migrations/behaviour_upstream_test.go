package migrations_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/db"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// TestBehaviourOrder shows what only ours promises: add_jobs inserts and returns
// jobs in the order of their specs. Upstream's has no order to compare with.
func TestBehaviourOrder(t *testing.T) {
	t.Parallel()
	ours, _ := behaviourSides(t)
	url := pgtest.URL(t, ours.template)
	for _, schema := range behaviourSchemas {
		o := observe(t, url, schema)
		o.exec(fixture)
		for call := range 8 { // with custom plans and the generic one
			const specs = 200
			var texts []string
			for i := range specs {
				key := "null"
				if i%40 == 7 {
					key = fmt.Sprintf("'key %d'", i) // inserted by the first call, updated by the others
				}
				texts = append(texts, fmt.Sprintf("('task %d', '%d', 'queue %d', null, null, %s, %d, null)",
					(i*37+call)%11, i, (i*53)%7, key, (i*29)%13))
			}
			var payloads, want []string
			last := 0
			rows := o.query(o.main, strings.Replace(addJobs(texts...), "*", "id, payload, key", 1))[0].Rows
			for i, row := range rows {
				payloads, want = append(payloads, string(row[1])), append(want, fmt.Sprint(i))
				var id int
				if _, err := fmt.Sscan(string(row[0]), &id); err != nil {
					t.Fatal(err)
				}
				if row[2] != nil {
					continue
				}
				if id <= last {
					t.Fatalf("%s: spec %d became job %d, the one before it %d", schema, i, id, last)
				}
				last = id
			}
			if diff := cmp.Diff(want, payloads); diff != "" || len(rows) != specs {
				t.Fatalf("%s: the order of the specs: -want +got\n%s", schema, diff)
			}
		}
	}
}

// TestBehaviourCleanup has the JavaScript client clean up both schemas, and
// compares with this module's own statements.
func TestBehaviourCleanup(t *testing.T) {
	t.Parallel()
	ours, theirs := behaviourSides(t)
	const reset = `truncate graphile_worker._private_jobs, graphile_worker._private_tasks,
		graphile_worker._private_job_queues restart identity;` + fixture
	cases := []struct {
		name, promise string
		setup         string
		options       map[string]any                                // of the JavaScript client
		own           func(ctx context.Context, conn db.DBTX) error // nil where there is none
		want          []string                                      // of what is changed
		wantOwn       []string                                      // where it is not the same
	}{{
		name:    "permafailed",
		promise: "strictly unlocked jobs that will never be retried; upstream keeps one with attempts over max_attempts",
		options: map[string]any{"tasks": []string{"DELETE_PERMAFAILED_JOBS"}},
		own: func(ctx context.Context, conn db.DBTX) error {
			n, err := db.New().JobDeletePermafailed(ctx, conn, db.JobDeletePermafailedParams{LastID: 100})
			return expect(err, n, 2)
		},
		want:    []string{"-job 6"},
		wantOwn: []string{"-job 6", "-job 7"},
	}, {
		name:    "tasks",
		promise: "tasks that no job refers to",
		options: map[string]any{"tasks": []string{"GC_TASK_IDENTIFIERS"}},
		own: func(ctx context.Context, conn db.DBTX) error {
			n, err := db.New().TaskDeleteUnused(ctx, conn, db.TaskDeleteUnusedParams{Keep: []string{}})
			return expect(err, n, 1)
		},
		want: []string{"-task u"},
	}, {
		name:    "tasks to keep",
		promise: "except a given list of identifiers to keep",
		setup:   "insert into graphile_worker._private_tasks (identifier) values ('v'), ('U')",
		options: map[string]any{"tasks": []string{"GC_TASK_IDENTIFIERS"}, "taskIdentifiersToKeep": []string{"u", "nothing"}},
		own: func(ctx context.Context, conn db.DBTX) error {
			n, err := db.New().TaskDeleteUnused(ctx, conn, db.TaskDeleteUnusedParams{Keep: []string{"u", "nothing"}})
			return expect(err, n, 2)
		},
		want: []string{"-task U", "-task v"},
	}, {
		name:    "queues",
		promise: "strictly unlocked queues that no job refers to",
		setup:   "update graphile_worker._private_jobs set job_queue_id = null where key = 'stale'",
		options: map[string]any{"tasks": []string{"GC_JOB_QUEUES"}},
		own: func(ctx context.Context, conn db.DBTX) error {
			return deleteQueues(ctx, conn, 1)
		},
		want: []string{"-queue idle"},
	}, {
		name:    "all in any order",
		promise: "run in this order, whichever were asked for",
		setup: `update graphile_worker._private_jobs set task_id = 2, job_queue_id = 4 where key = 'failed';
			update graphile_worker._private_jobs set attempts = 3 where key = 'over'`,
		options: map[string]any{"tasks": []string{"GC_JOB_QUEUES", "GC_TASK_IDENTIFIERS", "DELETE_PERMAFAILED_JOBS"}},
		own: func(ctx context.Context, conn db.DBTX) error {
			n, err := db.New().JobDeletePermafailed(ctx, conn, db.JobDeletePermafailedParams{LastID: 100})
			if err := expect(err, n, 1); err != nil {
				return err
			}
			n, err = db.New().TaskDeleteUnused(ctx, conn, db.TaskDeleteUnusedParams{Keep: []string{}})
			if err := expect(err, n, 1); err != nil {
				return err
			}
			return deleteQueues(ctx, conn, 1)
		},
		want: []string{"-task u", "-queue idle", "-job 6"},
	}, {
		name:    "asked for nothing",
		promise: "the library's default is to collect queues and tasks",
		options: map[string]any{},
		want:    []string{"-task u", "-queue idle"},
	}, {
		name:    "asked for none",
		promise: "an empty list is none",
		options: map[string]any{"tasks": []string{}},
	}, {
		name:    "unknown name",
		promise: "accepts unknown names in silence",
		options: map[string]any{"tasks": []string{"GC_EVERYTHING"}},
	}}

	pool := pgtest.Pool(t, ours.template)
	own := observe(t, pool.Config().ConnString(), graphile.DefaultSchema)
	clients := make(map[string]*upstream.Driver)
	observers := make(map[string]*observer)
	for _, s := range []side{ours, theirs} {
		url := pgtest.URL(t, s.template)
		clients[s.name] = upstream.Start(t, upstream.Newest, url, behaviourSchemas[1])
		observers[s.name] = observe(t, url, behaviourSchemas[1])
	}
	for _, c := range cases {
		prepare := func(o *observer) {
			o.exec(reset)
			o.exec(c.setup)
		}
		want := outcome{Changed: c.want}
		for _, s := range []side{ours, theirs} {
			o := observers[s.name]
			prepare(o)
			got := o.around(func(labels) (*pgconn.Result, bool, []error) {
				if err := clients[s.name].Call(o.ctx, "cleanup", []any{c.options}, nil); err != nil {
					return nil, false, []error{err}
				}
				return nil, false, nil
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s: the client on %s: -want +got\n%s", c.name, c.promise, s.name, diff)
			}
		}
		if c.own == nil {
			continue
		}
		prepare(own)
		got := own.around(func(labels) (*pgconn.Result, bool, []error) {
			if err := c.own(own.ctx, pool); err != nil {
				return nil, false, []error{err}
			}
			return nil, false, nil
		})
		if c.wantOwn != nil {
			want.Changed = c.wantOwn
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s: our statement: -want +got\n%s", c.name, c.promise, diff)
		}
	}
	t.Logf("%d cases ran on both schemas", len(cases))
}

// expect is an error unless a statement touched as many rows.
func expect(err error, got, want int64) error {
	if err == nil && got != want {
		err = fmt.Errorf("%d rows, want %d", got, want)
	}
	return err
}

// TestBehaviourLedger installs both, and lets each meet the other's work.
func TestBehaviourLedger(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	type revisions struct{ Notified, Rows []string }
	read := func(o *observer) (r revisions) {
		for _, n := range o.heard() {
			if strings.HasPrefix(n, "worker:migrate") { // upstream's revision 11 moves jobs, and says so
				r.Notified = append(r.Notified, n)
			}
		}
		for _, row := range o.query(o.main, "select id, breaking from graphile_worker.migrations order by id")[0].Rows {
			r.Rows = append(r.Rows, string(row[0])+" "+string(row[1]))
		}
		return r
	}
	want := func(from int) (r revisions) {
		for n := 1; n <= 20; n++ {
			breaking := slices.Contains([]int{1, 3, 11, 13, 14, 16, 19}, n)
			r.Rows = append(r.Rows, fmt.Sprintf("%d %.1s", n, fmt.Sprint(breaking)))
			if n >= from {
				r.Notified = append(r.Notified, fmt.Sprintf(`worker:migrate {"migrationNumber":%d,"breaking":%t}`, n, breaking))
			}
		}
		return r
	}
	up := func(o *observer, url string) {
		o.Helper()
		pool, err := pgxpool.NewWithConfig(o.ctx, pgtest.Config(o, url))
		if err != nil {
			o.Fatal(err)
		}
		defer pool.Close()
		m, err := migrations.New(pool, &migrations.Options{Schema: o.schema})
		if err == nil {
			_, err = m.Up(o.ctx, nil)
		}
		if err != nil {
			o.Fatal(err)
		}
	}
	install := func(o *observer, url string) {
		o.Helper()
		if err := upstream.Install(o.ctx, upstream.Newest, url, o.schema); err != nil {
			o.Fatal(err)
		}
	}
	for _, from := range []string{"", "0.16.6", "0.17.3"} {
		for name, run := range map[string]func(*observer, string){"ours": up, "upstream": install} {
			t.Run(strings.TrimSpace(name+" "+from), func(t *testing.T) {
				t.Parallel()
				url := pgtest.URL(t, nil)
				o := observe(t, url, behaviourSchemas[1])
				first := 1
				if from != "" {
					first = upstream.Revision(from) + 1
					if err := upstream.Install(o.ctx, from, url, o.schema); err != nil {
						t.Fatal(err)
					}
					if newest := o.value(o.main, "select pg_catalog.max(id) from graphile_worker.migrations"); newest != fmt.Sprint(first-1) {
						t.Errorf("release %s is at revision %s, want %d", from, newest, first-1)
					}
					o.heard()
				}
				stopped := func() {}
				if from == "0.16.6" { // before revision 19, which breaks it
					stopped = runningWorker(o, from, url)
				}
				run(o, url)
				stopped()
				if diff := cmp.Diff(want(first), read(o)); diff != "" {
					t.Errorf("installed: -want +got\n%s", diff)
				}
				if from != "" {
					return
				}

				// All revisions are there: nothing is left to do for anybody.
				const rows = "select pg_catalog.string_agg(m::text, ' ' order by id) from graphile_worker.migrations as m"
				before := o.value(o.main, rows)
				install(o, url)
				up(o, url)
				if after := o.value(o.main, rows); before != after {
					t.Errorf("the ledger changed from %s to %s", before, after)
				}
				if heard := o.heard(); heard != nil {
					t.Errorf("installing again sends %v", heard)
				}

				// A newer revision is a warning, unless it breaks.
				o.exec("insert into graphile_worker.migrations (id, breaking) values (21, false)")
				install(o, url)
				o.exec("insert into graphile_worker.migrations (id, breaking) values (22, true)")
				err := upstream.Install(o.ctx, upstream.Newest, url, o.schema)
				if err == nil || !strings.Contains(err.Error(), "breaking migration 22") {
					t.Errorf("a newer breaking revision: got %v, want a refusal", err)
				}
			})
		}
	}
}

// runningWorker starts a worker, and returns a function that waits until it has
// stopped of itself.
func runningWorker(o *observer, release, url string) func() {
	o.Helper()
	w, err := upstream.Start(o, release, url, o.schema).StartWorker(o.ctx, upstream.WorkerOptions{Tasks: []string{"t"}})
	if err != nil {
		o.Fatal(err)
	}
	return func() {
		o.Helper()
		if err := w.Wait(o.ctx); err != nil {
			o.Errorf("the worker of release %s stopped with %v", release, err)
		}
	}
}

// TestBehaviourWorker runs the JavaScript worker on both schemas.
func TestBehaviourWorker(t *testing.T) {
	t.Parallel()
	ours, theirs := behaviourSides(t)
	for _, s := range []side{ours, theirs} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.URL(t, s.template)
			o := observe(t, url, graphile.DefaultSchema)
			testWorker(o, upstream.Start(t, upstream.Newest, url, ""))
		})
	}
}

func testWorker(o *observer, d *upstream.Driver) {
	add := func(name, args string) {
		o.exec("select graphile_worker.add_job('t', '\"" + name + "\"', " + args + ")")
	}
	// The fetch goes by priority, then run_at, and not by id.
	add("third", "run_at => pg_catalog.now() - interval '1 hour'")
	add("second", "run_at => pg_catalog.now() - interval '2 hours', queue_name => 'free'")
	add("fourth", "priority => 5, run_at => pg_catalog.now() - interval '3 hours'")
	add("first", "priority => -1")
	add("later", "run_at => pg_catalog.now() + interval '1 hour'")
	add("never", "run_at => 'infinity'")
	add("queued", "queue_name => 'busy', priority => -9")
	add("failed", "job_key => 'failed', priority => -9")
	add("locked", "job_key => 'locked', priority => -9")
	o.exec(`select graphile_worker.add_job('other', '"unknown task"', priority => -9);
		update graphile_worker._private_job_queues set locked_at = pg_catalog.now(), locked_by = 'w' where queue_name = 'busy';
		update graphile_worker._private_jobs set attempts = max_attempts where key = 'failed';
		update graphile_worker._private_jobs set locked_at = pg_catalog.now() where key = 'locked'`)
	w, err := d.StartWorker(o.ctx, upstream.WorkerOptions{Tasks: []string{"t"}})
	if err != nil {
		o.Fatal(err)
	}
	var names []string
	for range 4 {
		job, err := w.Started(o.ctx)
		if err != nil {
			o.Fatal(err)
		}
		if _, err := w.Finished(o.ctx); err != nil {
			o.Fatal(err)
		}
		var name string
		if err := json.Unmarshal(job.Payload, &name); err != nil {
			o.Fatal(err)
		}
		names = append(names, name)
	}
	if diff := cmp.Diff([]string{"first", "second", "third", "fourth"}, names); diff != "" {
		o.Errorf("jobs in the order they ran: -want +got\n%s", diff)
	}
	const left = `select pg_catalog.string_agg(payload #>> '{}', ', ' order by id) from graphile_worker._private_jobs`
	if got, want := o.value(o.main, left), "later, never, queued, failed, locked, unknown task"; got != want {
		o.Errorf("left are %s, want %s", got, want)
	}

	// A job's own row and its queue's are locked by the pool; success undoes both.
	const held = `select attempts, locked_by = queue_locked_by, locked_at = queue_locked_at, locked_by
		from (select jobs.*, queues.locked_by as queue_locked_by, queues.locked_at as queue_locked_at
			from graphile_worker._private_jobs as jobs
			join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
			where queue_name = 'work') as held`
	const free = "select locked_by is null and locked_at is null from graphile_worker._private_job_queues where queue_name = 'work'"
	o.exec(`select graphile_worker.add_job('t', '{"holdUntilReleased": true}', queue_name => 'work')`)
	job, err := w.Started(o.ctx)
	if err != nil {
		o.Fatal(err)
	}
	var got []string
	for _, column := range o.query(o.main, held)[0].Rows[0] {
		got = append(got, string(column))
	}
	if diff := cmp.Diff([]string{"1", "t", "t", job.LockedBy}, got); diff != "" {
		o.Errorf("a running job: -want +got\n%s", diff)
	}
	if err := w.Release(o.ctx, job.ID); err != nil {
		o.Fatal(err)
	}
	if _, err := w.Finished(o.ctx); err != nil {
		o.Fatal(err)
	}
	if n := len(o.query(o.main, held)[0].Rows); n != 0 || o.value(o.main, free) != "t" {
		o.Errorf("after success %d jobs are in the queue, want none, and its lock gone", n)
	}

	// A failure unlocks both, too, and puts the job off.
	for _, attempts := range []int{0, 14} {
		begin := time.Now()
		o.exec(fmt.Sprintf(`begin;
			select graphile_worker.add_job('t', '{"fail": "no luck"}', queue_name => 'work', job_key => 'fails');
			update graphile_worker._private_jobs set attempts = %d where key = 'fails';
			commit`, attempts))
		job, err := w.Finished(o.ctx)
		if err != nil || job.Error != "no luck" {
			o.Fatalf("finished: %+v and %v, want a failure", job, err)
		}
		row := o.query(o.main, `select attempts, last_error, locked_at is null and locked_by is null and is_available,
				extract(epoch from run_at - updated_at)
			from graphile_worker._private_jobs where key = 'fails'`)[0].Rows[0]
		wantRow := []string{fmt.Sprint(attempts + 1), "no luck", "t"}
		if diff := cmp.Diff(wantRow, []string{string(row[0]), string(row[1]), string(row[2])}); diff != "" {
			o.Errorf("a job that failed: -want +got\n%s", diff)
		}
		var delay float64
		if _, err := fmt.Sscan(string(row[3]), &delay); err != nil {
			o.Fatal(err)
		}
		least := math.Exp(float64(min(attempts+1, 10)))
		if delay < least || delay > least+time.Since(begin).Seconds() {
			o.Errorf("a job that failed %d times is put off by %v s, want %v", attempts+1, delay, least)
		}
		if o.value(o.main, free) != "t" {
			o.Error("the queue of a job that failed is locked")
		}
		o.exec("select graphile_worker.remove_job('fails')")
	}
	if err := w.Stop(o.ctx); err != nil {
		o.Error(err)
	}
}

// deleteQueues deletes the unused queues, of which there are n.
func deleteQueues(ctx context.Context, conn db.DBTX, n int64) error {
	unused, err := db.New().QueueUnusedIDs(ctx, conn)
	if err != nil {
		return err
	}
	var ids []int32
	for _, queue := range unused {
		ids = append(ids, queue.ID)
	}
	deleted, err := db.New().QueueDelete(ctx, conn, db.QueueDeleteParams{Ids: ids, AfterID: 100})
	return expect(err, int64(len(deleted)), n)
}
