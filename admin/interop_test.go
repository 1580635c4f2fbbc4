package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// interopRelease is the release that must accept our schema as its own.
var interopRelease = upstream.Newest

// interop is a database that Go and the real graphile-worker share.
type interop struct {
	testing.TB
	ctx    context.Context
	url    string
	pool   *pgxpool.Pool
	client *admin.Client
}

func newInterop(tb testing.TB, template *pgtest.Template) *interop {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	tb.Cleanup(cancel)
	pool := pgtest.Pool(tb, template)
	return &interop{tb, ctx, pool.Config().ConnString(), pool, admin.New(onPool(pool))}
}

func (b *interop) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *interop) exec(sql string, args ...any) {
	b.Helper()
	_, err := b.pool.Exec(b.ctx, sql, args...)
	b.ok(err)
}

// as is a pool whose sessions have an application_name.
func (b *interop) as(session string) *pgxpool.Pool {
	b.Helper()
	config := pgtest.Config(b, b.url)
	config.ConnConfig.RuntimeParams["application_name"] = session
	pool, err := pgxpool.NewWithConfig(b.ctx, config)
	b.ok(err)
	b.Cleanup(pool.Close)
	return pool
}

func (b *interop) driver(version string) *upstream.Driver {
	b.Helper()
	return upstream.Start(b, version, b.url, "")
}

func (b *interop) worker(d *upstream.Driver, options upstream.WorkerOptions) *upstream.Worker {
	b.Helper()
	w, err := d.StartWorker(b.ctx, options)
	b.ok(err)
	return w
}

func (b *interop) started(w *upstream.Worker) upstream.Job {
	b.Helper()
	job, err := w.Started(b.ctx)
	b.ok(err)
	return job
}

func (b *interop) finished(w *upstream.Worker) upstream.Job {
	b.Helper()
	job, err := w.Finished(b.ctx)
	b.ok(err)
	return job
}

// add adds a job of the task "run" and returns its id.
func (b *interop) add(payload string, options *admin.AddJobOptions) int64 {
	b.Helper()
	job, err := b.client.AddJob(b.ctx, "run", json.RawMessage(payload), options)
	b.ok(err)
	return job.ID
}

// see returns the unlocked jobs as a dry run of Go returns them.
func (b *interop) see(ids ...int64) []admin.Job {
	b.Helper()
	seen, err := b.client.CompleteJobs(b.ctx, ids, &admin.ChangeOptions{DryRun: true})
	b.ok(err)
	if len(seen.SkippedJobs) > 0 {
		b.Fatalf("skipped %v", seen.SkippedJobs)
	}
	return seen.Jobs
}

func interopRows[T any](b *interop, sql string, args ...any) []T {
	b.Helper()
	rows, err := b.pool.Query(b.ctx, sql, args...)
	b.ok(err)
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	b.ok(err)
	return values
}

func interopDiff(tb testing.TB, what string, want, got any, options ...cmp.Option) {
	tb.Helper()
	if diff := cmp.Diff(want, got, append(options, anyAge)...); diff != "" {
		tb.Errorf("%s: -want +got\n%s", what, diff)
	}
}

// schema are the rows that a migration would change: the ledgers, and every object with the
// transaction that last changed it.
func (b *interop) schema() []string {
	b.Helper()
	return interopRows[string](b, `
		select row_to_json(m)::text from graphile_worker.migrations as m
		union all select row_to_json(g)::text from graphile_worker.goose_db_version as g
		union all select pg_catalog.concat_ws(' ', 'relation', relname, xmin) from pg_catalog.pg_class where oid >= 16384
		union all select pg_catalog.concat_ws(' ', 'type', typname, xmin) from pg_catalog.pg_type where oid >= 16384
		union all select pg_catalog.concat_ws(' ', 'function', proname, xmin, prosrc) from pg_catalog.pg_proc where oid >= 16384
		union all select pg_catalog.concat_ws(' ', 'column', attrelid::regclass, attname, xmin) from pg_catalog.pg_attribute where attrelid >= 16384
		order by 1`)
}

// interopSpecs are jobs with all kinds of values, including unusual ones.
func interopSpecs() []admin.JobSpec {
	return []admin.JobSpec{
		{TaskIdentifier: "plain"},
		{TaskIdentifier: "plain", Payload: map[string]any{"to": "naïve 日本 👩‍🚀 \" \\ \u2028 <&>", "n": -1.5e-7}, Priority: new(3)},
		{TaskIdentifier: "plain", Payload: []any{1.0, "two", nil, map[string]any{"three": []any{}}}, QueueName: new("queue")},
		{TaskIdentifier: "other", Payload: []any{}, QueueName: new("queue"), MaxAttempts: new(1)},
		{TaskIdentifier: "other", Payload: "(text,\"in\" {quotes})", Priority: new(-32768), Flags: []string{"gpu"}},
		{TaskIdentifier: "other", Payload: false, Priority: new(32767), MaxAttempts: new(32767)},
		{TaskIdentifier: "заказ/отправить 📦", Payload: map[string]any{}, QueueName: new(`行列 "q" \ 'x'`), JobKey: new(`clé, "🔑"`)},
		{TaskIdentifier: " ", RunAt: admin.At(time.Date(2001, 2, 3, 4, 5, 6, 7000, time.UTC)), Flags: []string{"snow ☃", `a"b\c`, "{}"}},
		{TaskIdentifier: strings.Repeat("t", 128), QueueName: new(strings.Repeat("q", 128)), JobKey: new(strings.Repeat("k", 512))},
	}
}

var interopTasks = []string{"plain", "other", "заказ/отправить 📦", " ", strings.Repeat("t", 128)}

// interopRun is a job as a worker received it.
type interopRun struct {
	Task     string
	Payload  any
	Attempts int
	Error    string
}

func newInteropRun(tb testing.TB, job upstream.Job) interopRun {
	tb.Helper()
	return interopRun{job.Task, interopJSON(tb, job.Payload), job.Attempts, job.Error}
}

func interopJSON(tb testing.TB, text []byte) (value any) {
	tb.Helper()
	if err := json.Unmarshal(text, &value); err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return value
}

func TestInteropWorkerRunsWhatGoAdds(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	b := newInterop(t, testdb.Ours(""))
	before := b.schema()

	specs := append(interopSpecs(), admin.JobSpec{TaskIdentifier: "plain", Payload: json.RawMessage("null")})
	want := map[int64]interopRun{}
	priorities := map[int64]int{}
	expect := func(spec admin.JobSpec, job admin.Job) {
		t.Helper()
		if spec.Payload == nil {
			spec.Payload = map[string]any{}
		}
		text, err := json.Marshal(spec.Payload)
		b.ok(err)
		want[job.ID] = interopRun{Task: spec.TaskIdentifier, Payload: interopJSON(t, text), Attempts: 1}
		if job.QueueName == nil { // a job in a queue may wait for its queue
			priorities[job.ID] = job.Priority
		}
	}
	for i, spec := range specs {
		job, err := b.client.AddJob(b.ctx, spec.TaskIdentifier, spec.Payload, &admin.AddJobOptions{
			QueueName: spec.QueueName, RunAt: spec.RunAt, MaxAttempts: spec.MaxAttempts,
			JobKey: spec.JobKey, Priority: spec.Priority, Flags: spec.Flags,
		})
		b.ok(err)
		expect(spec, *job)
		if spec.JobKey != nil {
			specs[i].JobKey = new("2" + (*spec.JobKey)[1:])
		}
	}
	jobs, err := b.client.AddJobs(b.ctx, specs, nil)
	b.ok(err)
	for i, job := range jobs {
		expect(specs[i], job)
	}

	d := b.driver(interopRelease)
	w := b.worker(d, upstream.WorkerOptions{Tasks: interopTasks})
	got := map[int64]interopRun{}
	for range want {
		job := b.finished(w)
		got[job.ID] = newInteropRun(t, job)
	}
	interopDiff(t, "runs", want, got)
	var order []int
	for range want {
		if priority, ok := priorities[b.started(w).ID]; ok {
			order = append(order, priority)
		}
	}
	if !slices.IsSorted(order) {
		t.Errorf("jobs ran in the order of these priorities: %v", order)
	}
	b.ok(w.Stop(b.ctx))
	if logs := d.Logs(); len(logs) > 0 {
		t.Errorf("the worker logged %v", logs)
	}
	if left := interopRows[string](b, "select j::text from graphile_worker._private_jobs as j"); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	interopDiff(t, "schema", before, b.schema())
}

func TestInteropWorkerObeysGo(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	b := newInterop(t, testdb.Ours(""))
	keyed := func(key string) *admin.AddJobOptions { return &admin.AddJobOptions{JobKey: &key} }

	completed, failed := b.add(`"completed"`, nil), b.add(`"failed"`, nil)
	b.add(`"removed"`, keyed("removed"))
	b.add(`"replaced"`, keyed("replaced"))
	replaced := b.add(`"replacement"`, keyed("replaced"))
	never := b.add(`"never"`, nil)
	_, err := b.client.CompleteJobs(b.ctx, []int64{completed}, nil)
	b.ok(err)
	_, err = b.client.FailJobs(b.ctx, []int64{failed}, nil, nil)
	b.ok(err)
	_, err = b.client.RescheduleJobs(b.ctx, []int64{never}, admin.RescheduleValues{RunAt: admin.Never()}, nil)
	b.ok(err)
	_, err = b.client.RemoveJob(b.ctx, "removed", nil)
	b.ok(err)

	w := b.worker(b.driver(interopRelease), upstream.WorkerOptions{Tasks: []string{"run"}, Concurrency: 4})
	run := func(id int64, payload any, failure string) {
		t.Helper()
		job := b.finished(w)
		interopDiff(t, "id", id, job.ID)
		interopDiff(t, "run", interopRun{"run", payload, 1, failure}, newInteropRun(t, job))
	}
	run(replaced, "replacement", "")

	// A failed job runs again only after some seconds, or not at all, unless it is retried.
	failure := map[string]any{"fail": "no luck"}
	for _, attempts := range []int{1, 25} {
		id := b.add(`{"fail": "no luck"}`, &admin.AddJobOptions{MaxAttempts: &attempts})
		run(id, failure, "no luck")
		seen := b.see(id)[0]
		if seen.LastError == nil || *seen.LastError != "no luck" || seen.Permafailed() != (attempts == 1) {
			t.Errorf("a failure is %+v", seen)
		}
		retried, err := b.client.RetryJobs(b.ctx, []int64{id}, nil)
		b.ok(err)
		interopDiff(t, "attempts of the retried", 0, retried.Jobs[0].Attempts)
		run(id, failure, "no luck")
	}
	_, err = b.client.RetryJobs(b.ctx, []int64{failed}, nil)
	b.ok(err)
	run(failed, "failed", "")

	// The jobs of a queue run one after another. A waiting job can be removed.
	inQueue := &admin.AddJobOptions{QueueName: new("queue")}
	held := b.add(`{"holdUntilReleased": true}`, inQueue)
	for b.started(w).ID != held {
	}
	calledOff, waiting := b.add(`"called off"`, inQueue), b.add(`"waiting"`, inQueue)
	run(b.add(`"beside"`, nil), "beside", "")
	b.see(calledOff, waiting) // unlocked
	result, err := b.client.CompleteJobs(b.ctx, []int64{held, calledOff}, nil)
	b.ok(err)
	if len(result.Jobs) != 1 || result.Jobs[0].ID != calledOff || len(result.SkippedJobs) != 1 || result.SkippedJobs[0].Reason != admin.Locked {
		t.Errorf("completing a held job and a waiting one: %+v", result)
	}
	b.ok(w.Release(b.ctx, held))
	// The event of a finished job comes after its row is deleted, and may come after the event of
	// the next job.
	ran := []int64{b.finished(w).ID, b.finished(w).ID}
	slices.Sort(ran)
	interopDiff(t, "the queue's jobs", []int64{held, waiting}, ran)

	b.ok(w.Stop(b.ctx))
	if job, err := w.Finished(b.ctx); err == nil {
		t.Errorf("ran as well: %+v", job)
	}
}

// interopJSSpec is a spec for the JavaScript client.
func interopJSSpec(spec admin.JobSpec) map[string]any {
	js := map[string]any{"identifier": spec.TaskIdentifier}
	if spec.Payload != nil {
		js["payload"] = spec.Payload
	}
	if spec.RunAt != nil {
		js["runAt"] = spec.RunAt.String()
	}
	if spec.Flags != nil {
		js["flags"] = spec.Flags
	}
	for name, text := range map[string]*string{"queueName": spec.QueueName, "jobKey": spec.JobKey} {
		if text != nil {
			js[name] = *text
		}
	}
	for name, number := range map[string]*int{"maxAttempts": spec.MaxAttempts, "priority": spec.Priority} {
		if number != nil {
			js[name] = *number
		}
	}
	return js
}

// interopJSJob is a row that the JavaScript client returns.
type interopJSJob struct {
	ID       int64           `json:"id,string"`
	Task     string          `json:"task_identifier"`
	Payload  json.RawMessage `json:"payload"`
	Revision int             `json:"revision"`
}

func TestInteropGoSeesWhatJavaScriptAdds(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	b := newInterop(t, testdb.Ours(""))
	d := b.driver(interopRelease)

	var want []admin.Job
	var alone, batch []interopJSJob
	var specs []any
	var tasks []string
	for i, spec := range interopSpecs() {
		js := interopJSSpec(spec)
		var job interopJSJob
		b.ok(d.Call(b.ctx, "addJob", []any{spec.TaskIdentifier, spec.Payload, js}, &job))
		alone = append(alone, job)
		if spec.JobKey != nil {
			js["jobKey"] = fmt.Sprint("key ", i)
		}
		specs = append(specs, js)
		tasks = append(tasks, spec.TaskIdentifier)
	}
	b.ok(d.Call(b.ctx, "addJobs", []any{specs}, &batch))

	// Go adds equal jobs for the same specs. Only their keys differ.
	for i, spec := range interopSpecs() {
		if spec.JobKey != nil {
			spec.JobKey = new(fmt.Sprint("another key ", i))
		}
		jobs, err := b.client.AddJobs(b.ctx, []admin.JobSpec{spec}, nil)
		b.ok(err)
		want = append(want, jobs...)
	}
	same := cmp.Options{
		cmpopts.IgnoreFields(admin.Job{}, "ID", "CreatedAt", "UpdatedAt", "Key"),
		cmp.Comparer(func(a, b admin.RunAt) bool { return a == b || a.Time.Sub(b.Time).Abs() < time.Minute }),
		cmp.Comparer(func(x, y json.RawMessage) bool { return cmp.Equal(interopJSON(t, x), interopJSON(t, y)) }),
	}
	for name, added := range map[string][]interopJSJob{"addJob": alone, "addJobs": batch} {
		var got []admin.Job
		var labels []string
		for _, job := range added {
			got = append(got, b.see(job.ID)...)
			labels = append(labels, job.Task)
		}
		interopDiff(t, name, want, got, same)
		// The JavaScript client assigns the names to the jobs by their position.
		interopDiff(t, "labels of "+name, tasks, labels)
	}
	if logs := d.Logs(); len(logs) > 0 {
		t.Errorf("the client logged %v", logs)
	}
}

// TestInteropJavaScriptClient makes the same calls of the JavaScript client on our schema
// and on its own, with the same jobs. The results must be equal.
func TestInteropJavaScriptClient(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	var records [2][]any
	var wg sync.WaitGroup
	for i, template := range []*pgtest.Template{testdb.Upstream(t, interopRelease, ""), testdb.Ours("")} {
		b := newInterop(t, template)
		d := b.driver(interopRelease)
		wg.Go(func() { records[i] = interopRecord(b, d) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	interopDiff(t, "on ours", records[0], records[1])
}

// interopRecord makes every call of the JavaScript client on the jobs of
// [upstream.SeedStates], and returns the result of each and the tables after it.
func interopRecord(b *interop, d *upstream.Driver) (record []any) {
	err := b.pool.AcquireFunc(b.ctx, func(conn *pgxpool.Conn) error { return upstream.SeedStates(b.ctx, conn.Conn(), "") })
	if err != nil {
		b.Error(err)
		return nil
	}
	of := func(states ...string) (ids []string) {
		for _, state := range states {
			ids = append(ids, strconv.FormatInt(b.state(state), 10))
		}
		return append(ids, "123456789")
	}
	for _, call := range []struct {
		method string
		args   []any
	}{
		{"addJob", []any{"new task", map[string]any{"state": "new"}, map[string]any{"queueName": "new queue", "runAt": "infinity", "flags": []string{"gpu"}}}},
		{"addJob", []any{"seed", map[string]any{"state": "keyed again"}, map[string]any{"jobKey": "keyed", "jobKeyMode": "preserve_run_at"}}},
		{"addJob", []any{"seed", map[string]any{"state": "keyed-running again"}, map[string]any{"jobKey": "keyed-running"}}},
		{"addJob", []any{"seed", map[string]any{"state": "dropped"}, map[string]any{"jobKey": "keyed-permafailed", "jobKeyMode": "unsafe_dedupe"}}},
		{"addJob", []any{"seed", nil, map[string]any{"jobKey": "k", "jobKeyMode": "nonsense"}}},
		{"addJob", []any{"seed", nil, map[string]any{"priority": 40000}}},
		{"addJobs", []any{[]any{
			map[string]any{"identifier": "seed", "payload": map[string]any{"state": "many"}, "queueName": "free", "priority": -3},
			map[string]any{"identifier": "seed", "payload": map[string]any{"state": "bulk-keyed again"}, "jobKey": "bulk-keyed"},
			map[string]any{"identifier": "seed", "payload": []any{3}, "jobKey": "joined"},
		}, true}},
		{"addJobs", []any{[]any{}}},
		{"completeJobs", []any{of("ready", "stale", "running", "exhausted")}},
		{"permanentlyFailJobs", []any{of("urgent", "running", "queue-stale"), "enough"}},
		{"permanentlyFailJobs", []any{of("always")}},
		{"rescheduleJobs", []any{of("permafailed", "retrying", "queue-running"), map[string]any{"runAt": "2001-02-03T04:05:06Z", "priority": 7, "attempts": 2, "maxAttempts": 9}}},
		{"rescheduleJobs", []any{of("scheduled"), map[string]any{"runAt": "infinity"}}},
		{"forceUnlockWorkers", []any{[]string{"worker-busy", "worker-lost", "nobody"}}},
		{"cleanup", []any{map[string]any{"tasks": []string{"DELETE_PERMAFAILED_JOBS", "GC_TASK_IDENTIFIERS", "GC_JOB_QUEUES"}}}},
		{"migrate", nil},
	} {
		var answer any
		if err := d.Call(b.ctx, call.method, call.args, &answer); err != nil {
			answer = err.Error()
		}
		record = append(record, call.method, interopAnswer(answer), b.tables())
	}
	return record
}

// interopAnswer removes the values that differ between databases.
func interopAnswer(answer any) any {
	switch answer := answer.(type) {
	case []any:
		for _, item := range answer {
			interopAnswer(item)
		}
		slices.SortFunc(answer, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	case map[string]any:
		for key, value := range answer {
			if slices.Contains([]string{"id", "task_id", "job_queue_id", "run_at", "created_at", "updated_at", "locked_at"}, key) && value != nil {
				answer[key] = "some"
			}
		}
	}
	return answer
}

// tables are the rows of all tables without ids and recent times.
func (b *interop) tables() []string {
	return interopRows[string](b, `
		select row_to_json(r)::text collate "C" from (
			select t.identifier, q.queue_name, j.payload, j.priority, j.attempts, j.max_attempts, j.last_error, j.key, j.revision, j.flags,
				case when j.run_at = j.created_at then 'at once' when j.run_at > now() - interval '1 hour' and j.run_at <= now() then 'now' else j.run_at::text end as run_at,
				j.locked_by, j.locked_at < now() - interval '4 hours' as stale, j.updated_at > j.created_at as updated, j.is_available
			from graphile_worker._private_jobs as j
			left join graphile_worker._private_tasks as t on t.id = j.task_id
			left join graphile_worker._private_job_queues as q on q.id = j.job_queue_id
		) as r
		union all select identifier from graphile_worker._private_tasks
		union all select concat_ws(' ', queue_name, locked_by, locked_at < now() - interval '4 hours', is_available) from graphile_worker._private_job_queues
		order by 1`)
}

// state returns the id of a job of [upstream.SeedStates], or 0 if it does not exist.
func (b *interop) state(name string) int64 {
	ids := interopRows[int64](b, "select id from graphile_worker._private_jobs where payload ->> 'state' = $1", name)
	return append(ids, 0)[0]
}

// TestInteropGoAdministersTheirs makes every call of the facade on the schema of a release,
// with jobs in every state. The worker of the release then runs the jobs.
func TestInteropGoAdministersTheirs(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	test := func(name, version string, template func(testing.TB) *pgtest.Template) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newInterop(t, template(t))
			b.ok(b.pool.AcquireFunc(b.ctx, func(conn *pgxpool.Conn) error { return upstream.SeedStates(b.ctx, conn.Conn(), "") }))
			interopAdminister(t, b, version)
		})
	}
	for _, version := range upstream.Versions {
		test(version, version, func(tb testing.TB) *pgtest.Template { return testdb.Upstream(tb, version, "") })
	}
	test("ours", interopRelease, func(testing.TB) *pgtest.Template { return testdb.Ours("") })
}

func interopAdminister(t *testing.T, b *interop, version string) {
	const absent = 123456789
	states := map[int64]string{absent: "absent"}
	ids := func(names ...string) (ids []int64) {
		for _, name := range names {
			id := b.state(name)
			states[id] = name
			ids = append(ids, id)
		}
		return ids
	}
	// outcome is a result, with the names of the jobs' states for their ids.
	type outcome struct {
		Changed []string
		Skipped map[string]string
	}
	check := func(call string, want outcome, result *admin.ChangeResult, err error) {
		t.Helper()
		b.ok(err)
		var got outcome
		for _, job := range result.Jobs {
			got.Changed = append(got.Changed, states[job.ID])
		}
		for _, skip := range result.SkippedJobs {
			if got.Skipped == nil {
				got.Skipped = map[string]string{}
			}
			by := ""
			if skip.LockedBy != nil {
				by = " by " + *skip.LockedBy
			}
			got.Skipped[states[skip.ID]] = string(skip.Reason) + by
		}
		interopDiff(t, call, want, got)
	}
	b.ok(b.client.Check(b.ctx))

	result, err := b.client.CompleteJobs(b.ctx, append(ids("ready", "running", "stale"), absent), nil)
	check("complete", outcome{[]string{"ready", "stale"}, map[string]string{"running": "locked by worker-busy", "absent": "not found"}}, result, err)

	result, err = b.client.FailJobs(b.ctx, ids("urgent", "keyed-running"), new(""), nil)
	check("fail", outcome{[]string{"urgent"}, map[string]string{"keyed-running": "locked by worker-other"}}, result, err)
	if job := result.Jobs[0]; !job.Permafailed() || job.LastError == nil || *job.LastError != "" {
		t.Errorf("failed for good: %+v", job)
	}

	past := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	result, err = b.client.RescheduleJobs(b.ctx, ids("unhurried", "scheduled", "never", "queue-running", "retrying"),
		admin.RescheduleValues{RunAt: admin.At(past), Priority: new(0), Attempts: new(0), MaxAttempts: new(2)}, nil)
	check("reschedule", outcome{[]string{"unhurried", "scheduled", "never", "retrying"}, map[string]string{"queue-running": "locked by worker-busy"}}, result, err)
	for _, job := range result.Jobs {
		interopDiff(t, "rescheduled", []any{admin.RunAt{Time: past}, 0, 0, 2}, []any{job.RunAt, job.Priority, job.Attempts, job.MaxAttempts})
	}

	result, err = b.client.RetryJobs(b.ctx, ids("running-last-attempt", "permafailed", "exhausted", "beyond-max-attempts", "keyed-permafailed"), nil)
	check("retry", outcome{[]string{"permafailed", "exhausted", "beyond-max-attempts", "keyed-permafailed"}, map[string]string{"running-last-attempt": "locked by worker-busy"}}, result, err)

	for _, tc := range []struct {
		key     string
		options *admin.RemoveOptions
		want    admin.RemoveOutcome
	}{
		{"keyed", nil, admin.Removed},
		{"keyed", nil, admin.NoSuch},
		{"keyed-running", nil, admin.Left},
		{"keyed-running", &admin.RemoveOptions{DetachLocked: true}, admin.Detached},
	} {
		removed, err := b.client.RemoveJob(b.ctx, tc.key, tc.options)
		b.ok(err)
		interopDiff(t, "remove "+tc.key, tc.want, removed.Outcome)
	}

	again := ids("bulk-keyed")[0]
	job, err := b.client.AddJob(b.ctx, "seed", map[string]any{"state": "again"}, &admin.AddJobOptions{JobKey: new("bulk-keyed")})
	b.ok(err)
	interopDiff(t, "added again", []any{again, 1}, []any{job.ID, job.Revision})
	jobs, err := b.client.AddJobs(b.ctx, []admin.JobSpec{
		{TaskIdentifier: "added", Payload: []any{3.0}, QueueName: new("added")},
		{TaskIdentifier: "payloads", Payload: []any{3.0}, JobKey: new("joined")},
	}, nil)
	b.ok(err)
	payloads := map[string]any{}
	for _, job := range jobs {
		payloads[job.TaskIdentifier] = interopJSON(t, job.Payload)
	}
	interopDiff(t, "added", map[string]any{"added": []any{3.0}, "payloads": []any{1.0, 2.0, 3.0}}, payloads)

	unlocked, err := b.client.ForceUnlockWorkers(b.ctx, []string{"worker-lost", "worker-busy", "nobody", "worker-other"}, nil)
	b.ok(err)
	interopDiff(t, "unlocked", &admin.UnlockResult{
		Unlocked: []admin.WorkerLocks{
			{WorkerID: "worker-lost", Jobs: 2, Queues: 2},
			{WorkerID: "worker-busy", Jobs: 3, Queues: 2},
			{WorkerID: "worker-other", Jobs: 1},
		},
		Idle: []string{"nobody"},
	}, unlocked, cmpopts.IgnoreTypes(&time.Time{}))

	cleaned, err := b.client.Cleanup(b.ctx, admin.CleanupOptions{
		Tasks:     []admin.CleanupTask{admin.GCJobQueues, admin.GCTaskIdentifiers, admin.DeletePermafailedJobs},
		KeepTasks: []string{"unknown"},
	})
	b.ok(err)
	interopDiff(t, "cleaned up", map[admin.CleanupTask]int64{
		admin.DeletePermafailedJobs: 4, // urgent, running-last-attempt, stale-last-attempt, keyed-running
		admin.GCTaskIdentifiers:     1, // unused task
		admin.GCJobQueues:           3, // unused queue, unused busy queue, unused lost queue
	}, cleaned.Deleted)

	want := interopRows[int64](b, "select id from graphile_worker._private_jobs order by id")
	interopDiff(t, "jobs left", 39-2-1+1-4, len(want))
	d := b.driver(version)
	w := b.worker(d, upstream.WorkerOptions{Concurrency: 4, Tasks: []string{"seed", "payloads", "added", "заказ/отправить 📦", "", " ", strings.Repeat("t", 128)}})
	var got []int64
	for range want {
		job := b.finished(w)
		got = append(got, job.ID)
		if job.Error != "" {
			t.Errorf("job %d failed: %s", job.ID, job.Error)
		}
	}
	slices.Sort(got)
	interopDiff(t, "jobs run", want, got)
	b.ok(w.Stop(b.ctx))
	if logs := d.Logs(); len(logs) > 0 {
		t.Errorf("the worker logged %v", logs)
	}
}

func TestInteropForceUnlock(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	b := newInterop(t, testdb.Ours(""))
	inQueue := &admin.AddJobOptions{QueueName: new("queue")}
	want := map[int64]int{} // how often each job is started in total
	var held []int64
	for _, options := range []*admin.AddJobOptions{nil, nil, inQueue} {
		held = append(held, b.add(`{"holdUntilReleased": true}`, options))
		want[held[len(held)-1]] = 2
	}
	crashing := b.driver(interopRelease)
	dead := b.worker(crashing, upstream.WorkerOptions{Tasks: []string{"run"}, Concurrency: 4})
	for range held {
		b.started(dead)
	}
	waiting := b.add(`"waiting"`, inQueue)
	want[waiting] = 1
	crashing.Close()

	// A live worker does not take the jobs and queues that a dead worker holds.
	w := b.worker(b.driver(interopRelease), upstream.WorkerOptions{Tasks: []string{"run"}, Concurrency: 4})
	sign := b.add(`"sign of life"`, nil)
	interopDiff(t, "started", sign, b.started(w).ID)

	result, err := b.client.RetryJobs(b.ctx, held, nil)
	b.ok(err)
	interopDiff(t, "skipped", len(held), len(result.SkippedJobs))
	oldest, newest := result.SkippedJobs[0], result.SkippedJobs[0]
	for _, skip := range result.SkippedJobs {
		if skip.LockedAt.Before(*oldest.LockedAt) {
			oldest = skip
		}
		if skip.LockedAt.After(*newest.LockedAt) {
			newest = skip
		}
	}
	pool := *oldest.LockedBy
	unlocked := &admin.UnlockResult{
		Unlocked: []admin.WorkerLocks{{WorkerID: pool, Jobs: 3, Queues: 1, Oldest: oldest.LockedAt, Newest: newest.LockedAt}},
		Idle:     []string{"nobody"},
	}
	for _, dry := range []bool{true, false} {
		got, err := b.client.ForceUnlockWorkers(b.ctx, []string{pool, "nobody", pool}, &admin.UnlockOptions{DryRun: dry})
		b.ok(err)
		interopDiff(t, fmt.Sprintf("unlocked, dry %t", dry), unlocked, got)
	}
	got, err := b.client.ForceUnlockWorkers(b.ctx, []string{pool}, nil)
	b.ok(err)
	interopDiff(t, "unlocked twice", &admin.UnlockResult{Unlocked: []admin.WorkerLocks{}, Idle: []string{pool}}, got)

	attempts := map[int64]int{}
	for range want {
		job := b.started(w)
		attempts[job.ID] = job.Attempts
		if job.ID != waiting {
			b.ok(w.Release(b.ctx, job.ID))
		}
	}
	interopDiff(t, "attempts", want, attempts)
	for range 1 + len(want) {
		b.finished(w)
	}
	b.ok(w.Stop(b.ctx))
	if left := interopRows[int64](b, "select id from graphile_worker._private_jobs"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestInteropSameKeys adds jobs with the same keys from JavaScript and Go at the same time.
// Each call is one revision, and the newest remains.
func TestInteropSameKeys(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	b := newInterop(t, testdb.Ours(""))
	d := b.driver(interopRelease)
	const keys, writes = 3, 40
	type write struct {
		Key, Revision int
	}
	var mu sync.Mutex
	payloads := map[write]any{}
	keep := func(key int, job interopJSJob) {
		mu.Lock()
		defer mu.Unlock()
		w := write{key, job.Revision}
		if other, twice := payloads[w]; twice {
			t.Errorf("%+v was returned twice: for %s and %v", w, job.Payload, other)
		}
		payloads[w] = interopJSON(t, job.Payload)
	}
	var wg sync.WaitGroup
	for writer := range 12 {
		wg.Go(func() {
			for i := range writes {
				key := (writer + i) % keys
				text, payload := fmt.Sprint("key ", key), map[string]any{"writer": writer, "write": i}
				// The tasks and queues do not exist before the first calls.
				task, queue := fmt.Sprint("task ", i), fmt.Sprint("queue ", i)
				var added interopJSJob
				var err error
				if writer < 8 {
					spec := map[string]any{"jobKey": text, "queueName": queue}
					err = d.Call(b.ctx, "addJob", []any{task, payload, spec}, &added)
				} else {
					var job *admin.Job
					job, err = b.client.AddJob(b.ctx, task, payload, &admin.AddJobOptions{JobKey: &text, QueueName: &queue})
					if err == nil {
						added = interopJSJob{job.ID, job.TaskIdentifier, job.Payload, job.Revision}
					}
				}
				if err != nil {
					t.Errorf("writer %d: %v", writer, err)
					return
				}
				if added.Task != task {
					t.Errorf("writer %d added %q and got %q", writer, task, added.Task)
				}
				keep(key, added)
			}
		})
	}
	wg.Wait()

	newest := map[string]any{}
	for key := range keys {
		newest[fmt.Sprint("key ", key)] = payloads[write{key, 12*writes/keys - 1}]
	}
	got := map[string]any{}
	for _, job := range b.see(interopRows[int64](b, "select id from graphile_worker._private_jobs")...) {
		got[*job.Key] = interopJSON(t, job.Payload)
	}
	interopDiff(t, "payloads that stayed", newest, got)
	interopDiff(t, "writes", 12*writes, len(payloads))
	if logs := d.Logs(); len(logs) > 0 {
		t.Errorf("the client logged %v", logs)
	}
}

// TestInteropLastWriteIsRun updates keys while workers take their jobs. The last payload of
// each key must run.
func TestInteropLastWriteIsRun(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	b := newInterop(t, testdb.Ours(""))
	w := b.worker(b.driver(interopRelease), upstream.WorkerOptions{Tasks: []string{"run"}, Concurrency: 4, PollInterval: 10 * time.Millisecond})
	const keys, writes = 4, 75
	var wg sync.WaitGroup
	for key := range keys {
		wg.Go(func() {
			for i := range writes {
				options, payload := &admin.AddJobOptions{JobKey: new(fmt.Sprint(key))}, []int{key, i}
				var err error
				if key%2 == 0 {
					_, err = b.client.AddJob(b.ctx, "run", map[string]any{"write": payload}, options)
				} else {
					spec := admin.JobSpec{TaskIdentifier: "run", Payload: map[string]any{"write": payload}, JobKey: options.JobKey}
					_, err = b.client.AddJobs(b.ctx, []admin.JobSpec{spec}, nil)
				}
				if err != nil {
					t.Errorf("write %v: %v", payload, err)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}

	runs, last := 0, [keys]int{}
	for last != [keys]int{writes - 1, writes - 1, writes - 1, writes - 1} {
		job := b.finished(w)
		var payload struct{ Write [2]int }
		b.ok(json.Unmarshal(job.Payload, &payload))
		last[payload.Write[0]] = max(last[payload.Write[0]], payload.Write[1])
		runs++
	}
	b.ok(w.Stop(b.ctx))
	t.Logf("%d writes, %d runs", keys*writes, runs)
}

// TestInteropBulkCallsDoNotDeadlock makes two calls on the same jobs at the same time. One is
// planned as a scan of the table. It would read the jobs in another order than the one that
// uses the primary key.
func TestInteropBulkCallsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	b := newInterop(t, testdb.Ours(""))
	jobs, err := b.client.AddJobs(b.ctx, slices.Repeat([]admin.JobSpec{{TaskIdentifier: "run"}}, 3000), nil)
	b.ok(err)
	all := interopIDs(jobs)
	_, err = b.client.RetryJobs(b.ctx, all[:1], nil) // its row is now the last of the table
	b.ok(err)
	b.exec("analyze graphile_worker._private_jobs")

	tx, err := b.pool.Begin(b.ctx)
	b.ok(err)
	_, err = tx.Exec(b.ctx, "select from graphile_worker._private_jobs where id = $1 for update", all[1])
	b.ok(err)
	var wg sync.WaitGroup
	for i, ids := range [][]int64{all, all[:2]} {
		wg.Go(func() {
			if _, err := b.client.RetryJobs(b.ctx, ids, nil); err != nil {
				t.Errorf("retry of %d jobs: %v", len(ids), err)
			}
		})
		for interopRows[int](b, `select count(*)::int from pg_catalog.pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock'`)[0] <= i {
			time.Sleep(10 * time.Millisecond)
		}
	}
	b.ok(tx.Rollback(b.ctx))
	wg.Wait()
}

// verdicts counts the changes of held rows by Go's sessions.
func (b *interop) verdicts() map[string]int {
	b.Helper()
	counts := map[string]int{}
	for _, event := range interopRows[string](b, "select event from watch.log where event in ('violation', 'detached', 'deduped')") {
		counts[event]++
	}
	return counts
}

// TestInteropWatch checks that [testdb.Watch] records violations. It replaces the SQL functions
// by ones that ignore locks.
func TestInteropWatch(t *testing.T) {
	t.Parallel()
	b := newInterop(t, testdb.Ours(""))
	b.exec(testdb.Watch)
	office, producer := b.as("admin office"), b.as("admin producer")
	client, producing := admin.New(onPool(office)), admin.New(onPool(producer))

	hold := func() (id int64) {
		t.Helper()
		id = b.add("{}", &admin.AddJobOptions{JobKey: new("key"), QueueName: new("queue")})
		b.exec("update graphile_worker._private_jobs set locked_at = now(), locked_by = 'worker', attempts = 1 where id = $1", id)
		b.exec("update graphile_worker._private_job_queues set locked_at = now(), locked_by = 'worker' where queue_name = 'queue'")
		return id
	}
	calls := func(client *admin.Client, id int64) {
		t.Helper()
		_, err := client.RetryJobs(b.ctx, []int64{id}, nil)
		b.ok(err)
		_, err = client.RescheduleJobs(b.ctx, []int64{id}, admin.RescheduleValues{Priority: new(1)}, nil)
		b.ok(err)
		_, err = client.FailJobs(b.ctx, []int64{id}, nil, nil)
		b.ok(err)
		_, err = client.Cleanup(b.ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.GCJobQueues, admin.DeletePermafailedJobs}})
		b.ok(err)
		_, err = client.CompleteJobs(b.ctx, []int64{id}, nil)
		b.ok(err)
	}
	verdicts := func(reason string, want map[string]int) {
		t.Helper()
		interopDiff(t, reason, want, b.verdicts())
		b.exec("truncate watch.log")
		b.exec("delete from graphile_worker._private_jobs")
	}

	calls(client, hold())
	verdicts("no call touches a held job", map[string]int{})

	hold()
	_, err := producing.AddJob(b.ctx, "run", nil, &admin.AddJobOptions{JobKey: new("key"), JobKeyMode: admin.UnsafeDedupe})
	b.ok(err)
	_, err = producing.AddJob(b.ctx, "run", nil, &admin.AddJobOptions{JobKey: new("key")})
	b.ok(err)
	hold()
	_, err = producing.RemoveJob(b.ctx, "key", &admin.RemoveOptions{DetachLocked: true})
	b.ok(err)
	verdicts("what the contract lets producers do", map[string]int{"deduped": 1, "detached": 2})

	hold()
	_, err = client.AddJob(b.ctx, "run", nil, &admin.AddJobOptions{JobKey: new("key")})
	b.ok(err)
	verdicts("nobody else may do that", map[string]int{"violation": 1})

	id := hold()
	for _, sql := range []string{
		"update graphile_worker._private_jobs set key = null, attempts = max_attempts, priority = 1 where id = $1",
		"update graphile_worker._private_jobs set attempts = max_attempts, updated_at = now() where id = $1",
		"update graphile_worker._private_jobs set revision = revision + 2 where id = $1",
		"delete from graphile_worker._private_jobs where id = $1",
	} {
		_, err := producer.Exec(b.ctx, sql, id)
		b.ok(err)
	}
	_, err = producer.Exec(b.ctx, "delete from graphile_worker._private_job_queues where queue_name = 'queue'")
	b.ok(err)
	verdicts("what producers may not do", map[string]int{"violation": 5})

	id = hold()
	b.exec("update graphile_worker._private_jobs set locked_at = now() - interval '5 hours' where id = $1", id)
	calls(client, id)
	verdicts("a stale lock is none", map[string]int{})

	// The same functions, ignoring locks.
	for _, definition := range interopRows[string](b, `
		select replace(pg_get_functiondef(oid), '(jobs.locked_at is null or jobs.locked_at < pg_catalog.now() - interval ''4 hours'')', 'true')
		from pg_catalog.pg_proc
		where pronamespace = 'graphile_worker'::regnamespace and proname in ('complete_jobs', 'permanently_fail_jobs', 'reschedule_jobs')`) {
		b.exec(definition)
	}
	calls(client, hold())
	verdicts("functions that do not look at locks", map[string]int{"violation": 4})
}

// interopTally counts what happened to every job, according to one source.
type interopTally struct {
	Added     []int64
	Taken     map[int64]int // how often a worker started the job
	Run       []int64       // deleted by a worker after it ran
	Completed []int64
	Removed   []int64
	Cleaned   int // permafailed and deleted
}

// TestInteropHeldJobsAreLeftAlone makes many calls of the facade while workers run.
// [testdb.Watch] records every change of a held job. The events of the workers, the results
// of the facade and the log of the database must agree about each job.
func TestInteropHeldJobsAreLeftAlone(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	b := newInterop(t, testdb.Ours(""))
	b.exec(testdb.Watch)
	const (
		duration = 6 * time.Second // and until there are enough events
		hands    = 6
		backlog  = 300 // the number of jobs to keep ready for the workers
		queues   = 4   // each has a job that never runs, so that the queue is never deleted
	)
	office := admin.New(onPool(b.as("admin office")))
	producer := admin.New(onPool(b.as("admin producer")))
	cleaner := admin.New(onPool(b.as("admin cleaner")))

	var (
		mu      sync.Mutex
		told    = interopTally{Taken: map[int64]int{}} // from results and events
		ended   = map[int64]int{}
		calls   = map[string]int{}
		skips   = map[string]int{}
		known   []int64
		recent  [16]int64 // the last started jobs, which are probably held
		starts  int
		pending atomic.Int64 // the approximate number of ready jobs
	)
	locked := func(fn func()) {
		mu.Lock()
		defer mu.Unlock()
		fn()
	}
	added := func(jobs ...admin.Job) {
		locked(func() {
			for _, job := range jobs {
				known = append(known, job.ID)
			}
		})
	}
	// pick returns ids. About half of the jobs are held or were held recently.
	pick := func() (ids []int64) {
		locked(func() {
			for range 1 + rand.N(6) {
				if rand.N(2) == 0 {
					ids = append(ids, recent[rand.N(len(recent))])
				} else {
					ids = append(ids, known[len(known)-1-rand.N(min(len(known), 2*backlog))])
				}
			}
		})
		return ids
	}
	payload := func() any {
		payload := map[string]any{"sleepMs": rand.N(6)}
		if rand.N(20) == 0 {
			payload["fail"] = "no luck"
		}
		return payload
	}
	queue := func() *string {
		switch rand.N(8) {
		case 0:
			return new(fmt.Sprint("queue ", rand.N(queues)))
		case 1:
			return new(fmt.Sprint("once ", rand.Int64())) // cleanup deletes it soon
		}
		return nil
	}
	key := func() *string { return new(fmt.Sprint("key ", rand.N(60))) }
	// A failed job has used all its attempts. Only the facade makes it ready again.
	once := func() *int { return new(1) }

	var parked []admin.JobSpec
	for i := range queues {
		parked = append(parked, admin.JobSpec{TaskIdentifier: "run", QueueName: new(fmt.Sprint("queue ", i)), RunAt: admin.Never()})
	}
	jobs, err := producer.AddJobs(b.ctx, parked, nil)
	b.ok(err)
	told.Added = append(told.Added, interopIDs(jobs)...)
	refill := func(n int) error {
		specs := make([]admin.JobSpec, n)
		for i := range specs {
			specs[i] = admin.JobSpec{TaskIdentifier: "run", Payload: payload(), QueueName: queue(), MaxAttempts: once()}
			if rand.N(4) == 0 {
				specs[i].JobKey = new(fmt.Sprint("batch ", rand.Int64()))
			}
		}
		jobs, err := producer.AddJobs(b.ctx, specs, nil)
		added(jobs...)
		pending.Add(int64(len(jobs)))
		return err
	}
	b.ok(refill(backlog))

	// The workers and their events.
	var workers []*upstream.Worker
	var listening sync.WaitGroup
	for range 2 {
		w := b.worker(b.driver(interopRelease), upstream.WorkerOptions{Tasks: []string{"run"}, Concurrency: 4, PollInterval: 20 * time.Millisecond})
		workers = append(workers, w)
		listening.Go(func() {
			for job, err := w.Started(b.ctx); err == nil; job, err = w.Started(b.ctx) {
				locked(func() {
					told.Taken[job.ID]++
					recent[starts%len(recent)] = job.ID
					starts++
				})
			}
		})
		listening.Go(func() {
			for job, err := w.Finished(b.ctx); err == nil; job, err = w.Finished(b.ctx) {
				pending.Add(-1)
				locked(func() {
					ended[job.ID]++
					if job.Error == "" {
						told.Run = append(told.Run, job.ID)
					}
				})
			}
		})
	}

	// The calls of the facade, from many goroutines.
	hammer := map[string]func() (*admin.ChangeResult, error){
		"complete": func() (*admin.ChangeResult, error) {
			result, err := office.CompleteJobs(b.ctx, pick(), nil)
			if err == nil {
				pending.Add(-int64(len(result.Jobs)))
				locked(func() { told.Completed = append(told.Completed, interopIDs(result.Jobs)...) })
			}
			return result, err
		},
		"fail": func() (*admin.ChangeResult, error) {
			return office.FailJobs(b.ctx, pick(), new("by hand"), nil)
		},
		"reschedule": func() (*admin.ChangeResult, error) {
			return office.RescheduleJobs(b.ctx, pick(), admin.RescheduleValues{
				RunAt:       admin.At(time.Now().Add(rand.N(200 * time.Millisecond))),
				Priority:    new(rand.N(5)),
				Attempts:    new(0),
				MaxAttempts: once(),
			}, nil)
		},
		"prioritise": func() (*admin.ChangeResult, error) {
			return office.RescheduleJobs(b.ctx, pick(), admin.RescheduleValues{Priority: new(-rand.N(5))}, nil)
		},
		"retry": func() (*admin.ChangeResult, error) { return office.RetryJobs(b.ctx, pick(), nil) },
		"remove": func() (*admin.ChangeResult, error) {
			removed, err := producer.RemoveJob(b.ctx, *key(), &admin.RemoveOptions{DetachLocked: rand.N(2) == 0})
			if err == nil {
				locked(func() {
					skips["remove: "+string(removed.Outcome)]++
					if removed.Outcome == admin.Removed {
						told.Removed = append(told.Removed, removed.Job.ID)
					}
				})
			}
			return nil, err
		},
		"add": func() (*admin.ChangeResult, error) {
			job, err := producer.AddJob(b.ctx, "run", payload(), &admin.AddJobOptions{
				JobKey:      key(),
				JobKeyMode:  []admin.JobKeyMode{"", admin.PreserveRunAt, admin.UnsafeDedupe}[rand.N(3)],
				QueueName:   queue(),
				MaxAttempts: once(),
				Priority:    new(-rand.N(3)),
			})
			if err == nil {
				added(*job)
			}
			return nil, err
		},
		"clean": func() (*admin.ChangeResult, error) {
			cleaned, err := cleaner.Cleanup(b.ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.GCJobQueues, admin.DeletePermafailedJobs}})
			if err == nil {
				locked(func() {
					told.Cleaned += int(cleaned.Deleted[admin.DeletePermafailedJobs])
					skips["queues cleaned up"] += int(cleaned.Deleted[admin.GCJobQueues])
				})
			}
			return nil, err
		},
		"refill": func() (*admin.ChangeResult, error) {
			if pending.Load() > backlog {
				return nil, nil
			}
			return nil, refill(40)
		},
	}
	names := slices.Sorted(maps.Keys(hammer))
	begin := time.Now()
	enough := func() (enough bool) {
		locked(func() { enough = len(told.Run) >= 2000 && skips[string(admin.Locked)] >= 200 })
		return enough && time.Since(begin) > duration || b.ctx.Err() != nil
	}
	var hammering sync.WaitGroup
	for range hands {
		hammering.Go(func() {
			for !enough() {
				name := names[rand.N(len(names))]
				result, err := hammer[name]()
				locked(func() {
					calls[name]++
					if result != nil {
						for _, skip := range result.SkippedJobs {
							skips[string(skip.Reason)]++
						}
					}
				})
				if err != nil {
					var pgErr *pgconn.PgError
					if errors.As(err, &pgErr) {
						t.Errorf("%s: %v\n%s\n%s", name, err, pgErr.Detail, pgErr.Where)
					} else {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
		})
	}
	hammering.Wait()
	for _, line := range interopRows[string](b, "select concat_ws(E'\n\t', session, row, became) from watch.log where event = 'violation'") {
		t.Errorf("a held row was changed by %s", line)
	}
	if t.Failed() { // the worker might wait forever for a queue without its job
		return
	}

	// The workers run the jobs that can run. The others remain.
	for interopRows[bool](b, `select exists (select from graphile_worker._private_jobs
		where locked_at is not null or is_available and run_at < 'infinity')`)[0] {
		time.Sleep(20 * time.Millisecond)
	}
	for _, w := range workers {
		b.ok(w.Stop(b.ctx))
	}
	listening.Wait()

	seen := interopTally{Taken: map[int64]int{}}
	rows, err := b.pool.Query(b.ctx, "select event, session, job from watch.log where event in ('added', 'taken', 'gone') order by place")
	b.ok(err)
	var event, session string
	var job int64
	_, err = pgx.ForEachRow(rows, []any{&event, &session, &job}, func() error {
		switch event + " " + session {
		case "added admin producer":
			seen.Added = append(seen.Added, job)
		case "taken ":
			seen.Taken[job]++
		case "gone ":
			seen.Run = append(seen.Run, job)
		case "gone admin office":
			seen.Completed = append(seen.Completed, job)
		case "gone admin producer":
			seen.Removed = append(seen.Removed, job)
		case "gone admin cleaner":
			seen.Cleaned++
		default:
			t.Errorf("job %d was %s by %q", job, event, session)
		}
		return nil
	})
	b.ok(err)
	// Adding a job with a key again returns the same job.
	told.Added = slices.Compact(slices.Sorted(slices.Values(append(told.Added, known...))))
	sorted := cmpopts.SortSlices(func(a, b int64) bool { return a < b })
	interopDiff(t, "what the database saw, and what was told", seen, told, sorted)
	interopDiff(t, "starts, and ends", told.Taken, ended)
	left := interopRows[int64](b, "select id from graphile_worker._private_jobs")
	if gone := len(told.Run) + len(told.Completed) + len(told.Removed) + told.Cleaned; len(told.Added) != gone+len(left) {
		t.Errorf("%d jobs added, %d gone, %d left", len(told.Added), gone, len(left))
	}
	for _, id := range told.Completed {
		if slices.Contains(told.Run, id) {
			t.Errorf("job %d was completed by Go and run by a worker", id)
		}
	}
	t.Logf("calls %v\n%d added = %d run + %d completed + %d removed + %d cleaned up + %d left; %d starts\nskips %v\nheld rows touched: %v",
		calls, len(told.Added), len(told.Run), len(told.Completed), len(told.Removed), told.Cleaned, len(left), starts, skips, b.verdicts())
}

func interopIDs(jobs []admin.Job) []int64 {
	ids := make([]int64, len(jobs))
	for i, job := range jobs {
		ids[i] = job.ID
	}
	return ids
}
