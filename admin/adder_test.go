package admin_test

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// An addCall is a call of AddJob.
type addCall struct {
	task    string
	payload any
	options admin.AddJobOptions
}

func (a addCall) by(ctx context.Context, to interface {
	AddJob(context.Context, string, any, *admin.AddJobOptions) (*admin.Job, error)
}) answer {
	job, err := to.AddJob(ctx, a.task, a.payload, &a.options)
	return answer{job, err}
}

type answer struct {
	job *admin.Job
	err error
}

// adder makes an adder that is closed when the test ends. Its batches wait for locks as
// long as the test does.
func (b *bench) adder(options *admin.AdderOptions) *admin.Adder {
	b.Helper()
	a := admin.NewAdder(b.client, options)
	a.SetPatience(time.Hour)
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	return a
}

// hold keeps an adder that makes one commit at a time from making the next, until release is called. The
// job it needs for that is deleted then.
func (b *bench) hold(a *admin.Adder) (release func()) {
	b.Helper()
	tx := b.begin()
	b.in(tx).exec("select from graphile_worker.add_job('hold', job_key => 'hold')")
	held := make(chan answer, 1)
	go func() { held <- addCall{task: "hold", options: admin.AddJobOptions{JobKey: new("hold")}}.by(b.ctx, a) }()
	b.blocked()
	return func() {
		b.Helper()
		b.ok(nil, tx.Rollback(b.ctx))
		got := <-held
		b.ok(nil, got.err)
		b.exec("delete from graphile_worker._private_jobs where key = 'hold'")
	}
}

// enqueue makes the calls, and returns when they wait in the adder's queue in this order.
func (b *bench) enqueue(a *admin.Adder, calls ...addCall) (answers func() []answer) {
	b.Helper()
	got := make([]chan answer, len(calls))
	for i, call := range calls {
		got[i] = make(chan answer, 1)
		before := a.Queued()
		go func() { got[i] <- call.by(b.ctx, a) }()
		for a.Queued() == before {
			if b.ctx.Err() != nil {
				b.Fatal("the call does not come to the queue")
			}
			runtime.Gosched()
		}
	}
	return func() []answer {
		answers := make([]answer, len(calls))
		for i := range calls {
			answers[i] = <-got[i]
		}
		return answers
	}
}

// unblocked waits until no statement in the test's database waits for a lock.
func (b *bench) unblocked() {
	b.Helper()
	for rowsOf[bool](b, "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')")[0] {
		time.Sleep(time.Millisecond)
	}
}

// start makes the calls, in any order.
func (b *bench) start(a *admin.Adder, calls ...addCall) (answers func() []answer) {
	got := make([]answer, len(calls))
	var all sync.WaitGroup
	for i, call := range calls {
		all.Go(func() { got[i] = call.by(b.ctx, a) })
	}
	return func() []answer {
		all.Wait()
		return got
	}
}

// together makes the calls in a way that they share commits.
func (b *bench) together(a *admin.Adder, calls ...addCall) []answer {
	b.Helper()
	release := b.hold(a)
	answers := b.enqueue(a, calls...)
	b.sent.take()
	release()
	return answers()
}

// statements are how many were sent of each query since the last time.
func (b *bench) statements() map[string]int {
	counts := map[string]int{}
	for _, name := range b.sent.names() {
		if strings.HasPrefix(name, "Adder") || name == "JobAdd" {
			counts[name]++
		}
	}
	return counts
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// mustAdd is the job of a call that must not fail.
func (b *bench) mustAdd(a answer) *admin.Job {
	b.Helper()
	b.ok(nil, a.err)
	return a.job
}

// rows are the jobs of the table, by id.
func (b *bench) rows() map[int64]admin.Job {
	b.Helper()
	rows := map[int64]admin.Job{}
	for _, job := range b.jobs() {
		rows[job.ID] = job
	}
	return rows
}

var oneCommit = &admin.AdderOptions{Commits: 1}

// An adder adds what the client would have added, and returns the same.
func TestAdderLikeClient(t *testing.T) {
	t.Parallel()
	states := map[string]*admin.Job{ // of the job that has the key already
		"ready":   {Payload: json.RawMessage(`{"old": 1}`), Attempts: 3, LastError: new("boom"), Revision: 4, Flags: []string{"old"}},
		"untried": {Payload: json.RawMessage(`[1, 2]`), QueueName: new("old")},
		"never":   {RunAt: *admin.Never()},
		"locked":  {Attempts: 1, LockedBy: new("pool-a"), LockedAt: ago(time.Minute)},
		"stale":   {Attempts: 1, LockedBy: new("pool-a"), LockedAt: ago(5 * time.Hour)},
		"failed":  {Attempts: 25, LastError: new("")},
		nasty:     {Priority: 9, MaxAttempts: 3},
		"none":    nil,
	}
	var existing []admin.Job
	var calls []addCall
	for i, mode := range []admin.JobKeyMode{"", admin.Replace, admin.PreserveRunAt, admin.UnsafeDedupe} {
		for state, job := range states {
			key := state + " " + string(mode)
			if job != nil {
				job := *job
				job.ID, job.TaskIdentifier, job.Key, job.CreatedAt, job.UpdatedAt = int64(len(existing)+1), "old", &key, day0, day1
				if job.RunAt == (admin.RunAt{}) {
					job.RunAt.Time = day2
				}
				existing = append(existing, added(job))
			}
			options := admin.AddJobOptions{JobKey: &key, JobKeyMode: mode}
			if len(calls)%2 == 0 {
				options.QueueName, options.RunAt, options.MaxAttempts = new(nasty), admin.At(later), new(7)
				options.Priority, options.Flags = new(-3), []string{nasty, "", "b", "b"}
			}
			calls = append(calls, addCall{nasty, json.RawMessage(` [ "` + string(mode) + `" ]`), options})
			// Of those without a key some hold the same, and some nearly.
			options.JobKey = nil
			calls = append(calls, addCall{nasty, nil, options}, addCall{nasty, nil, options}, addCall{"send", nil, options})
			options.RunAt, options.Flags = admin.Never(), []string{}
			calls = append(calls, addCall{nasty, numbered{i, state}, options})
			options.RunAt = admin.In(time.Minute)
			calls = append(calls, addCall{nasty, nil, options}, addCall{nasty, numbered{i, state}, options})
		}
	}
	without := func(jobs []admin.Job) []admin.Job { // ids of new jobs
		for i := range jobs {
			if jobs[i].ID > int64(len(existing)) {
				jobs[i].ID = 0
			}
		}
		return jobs
	}
	sorted := cmpopts.SortSlices(func(x, y admin.Job) bool {
		x.CreatedAt, x.UpdatedAt, y.CreatedAt, y.UpdatedAt = day0, day0, day0, day0
		key := func(j admin.Job) string { return fmt.Sprintf("%d %q", j.ID, deref(j.Key)) }
		x.RunAt, y.RunAt = admin.RunAt{}, admin.RunAt{} // may be now
		return cmp.Or(cmp.Compare(key(x), key(y)), cmp.Compare(string(marshalled(x)), string(marshalled(y)))) < 0
	})
	for _, schema := range []string{graphile.DefaultSchema, weird} {
		for name, template := range map[string]*pgtest.Template{"ours": testdb.Ours(schema), "npm": testdb.Upstream(t, "0.18.0", schema)} {
			for _, mode := range modes {
				t.Run(fmt.Sprintf("%s/%s/%s", name, schema, mode), func(t *testing.T) {
					t.Parallel()
					in := func(config *pgxpool.Config) { config.ConnConfig.DefaultQueryExecMode = mode }
					one, other := benchIn(t, template, schema, in), benchIn(t, template, schema, in)
					one.insert(existing...)
					other.insert(existing...)
					want := make([]admin.Job, len(calls))
					for i, call := range calls {
						want[i] = *one.mustAdd(call.by(one.ctx, one.client))
					}
					answers := other.together(other.adder(oneCommit), calls...)
					other.check("statements", map[string]int{"AdderJobAdd": 2, "AdderJobAddDeduped": 1}, other.statements())
					got := make([]admin.Job, len(calls))
					rows := other.rows()
					for i, answer := range answers {
						got[i] = *other.mustAdd(answer)
						other.check("the job's row", rows[got[i].ID], got[i])
					}
					other.check("jobs", without(want), without(got))
					other.check("table", without(one.jobs()), without(other.jobs()), sorted)
				})
			}
		}
	}
}

// Jobs with one key keep their order, and each finds what the one before has left.
func TestAdderKeepsOrderOfKeys(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		var calls []addCall
		want := map[string][]string{} // payloads, by key
		for i := range 12 {
			key := "key " + strconv.Itoa(i%3)
			var payloads []int
			if before := want[key]; len(before) > 0 {
				_ = json.Unmarshal([]byte(before[len(before)-1]), &payloads)
			}
			want[key] = append(want[key], string(marshalled(append(payloads, i))))
			calls = append(calls, addCall{"send", []int{i}, admin.AddJobOptions{JobKey: &key}})
		}
		got := map[string][]string{}
		for i, answer := range b.together(b.adder(oneCommit), calls...) {
			job := b.mustAdd(answer)
			compact := strings.ReplaceAll(string(job.Payload), " ", "")
			got[*job.Key] = append(got[*job.Key], compact)
			b.check("revision", i/3, job.Revision)
		}
		b.check("payloads", want, got)
		b.check("jobs", 3, len(b.jobs()))
	})
}

// A job that fails is the error of its own call. The others are added once.
func TestAdderFailsOne(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.exec(`
			create function public.refuse() returns trigger language plpgsql as $$
			begin
				if new.payload::text = '"bad"' then raise exception 'refused' using errcode = 'GWBAD'; end if;
				return null;
			end $$`)
		b.exec("create trigger test_refuse after insert or update on graphile_worker._private_jobs for each row execute function public.refuse()")
		for _, mode := range []admin.JobKeyMode{admin.Replace, admin.UnsafeDedupe} {
			var calls []addCall
			for i := range 50 {
				call := addCall{"send", i, admin.AddJobOptions{JobKeyMode: mode}}
				if i%7 == 3 {
					call.payload = "bad"
				}
				if i%2 == 0 || mode == admin.UnsafeDedupe {
					call.options.JobKey = new(fmt.Sprintf("key %d", i))
				}
				calls = append(calls, call)
			}
			b.exec("delete from graphile_worker._private_jobs")
			var want, got []string
			var codes, wantCodes []string
			for i, answer := range b.together(b.adder(oneCommit), calls...) {
				wantCode := ""
				if i%7 == 3 {
					wantCode = "GWBAD"
				} else {
					want = append(want, strconv.Itoa(i))
					b.check("payload", strconv.Itoa(i), string(b.mustAdd(answer).Payload))
				}
				codes, wantCodes = append(codes, code(answer.err)), append(wantCodes, wantCode)
				if errors.Is(answer.err, admin.ErrOutcomeUnknown) {
					b.Errorf("call %d: %v", i, answer.err)
				}
			}
			b.check("codes", wantCodes, codes)
			for _, job := range b.jobs() {
				got = append(got, string(job.Payload))
			}
			b.check("table", want, got, cmpopts.SortSlices(cmp.Less[string]))
		}
	})
}

// A trigger that changes jobs takes from them what they could be told apart by.
func TestAdderTellsRewrittenJobsApart(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.exec("create sequence public.mark")
		b.exec(`
			create function public.rewrite() returns trigger language plpgsql as $$
			begin
				new.payload := json_build_object('was', new.payload, 'mark', nextval('public.mark'));
				return new;
			end $$`)
		install := func() {
			b.exec("create trigger test_rewrite before insert on graphile_worker._private_jobs for each row execute function public.rewrite()")
		}
		var calls []addCall
		for i := range 20 {
			calls = append(calls, addCall{"send", i, admin.AddJobOptions{Priority: new(i / 5)}})
		}
		was := func(answers []answer) (payloads []string) {
			for _, answer := range answers {
				var payload struct{ Was json.RawMessage }
				if err := json.Unmarshal(b.mustAdd(answer).Payload, &payload); err != nil {
					b.Fatal(err)
				}
				payloads = append(payloads, string(payload.Was))
			}
			return payloads
		}
		var want []string
		for i := range calls {
			want = append(want, strconv.Itoa(i))
		}

		late := b.adder(oneCommit)
		b.ok(late.AddJob(b.ctx, "send", nil, nil))
		install()
		first := was(b.together(late, calls...))
		if b.npm { // which promises no order: the first batch may be mixed up
			slices.Sort(first)
			slices.Sort(want)
		}
		b.check("the trigger came later", want, first)
		slices.SortFunc(want, func(x, y string) int { return cmp.Or(len(x)-len(y), cmp.Compare(x, y)) })
		b.check("and then", want, was(b.together(late, calls...)))
		b.check("statements", map[string]int{"JobAdd": len(calls)}, b.statements())
		b.check("the trigger was there", want, was(b.together(b.adder(oneCommit), calls...)))
		b.check("statements", map[string]int{"JobAdd": len(calls)}, b.statements())
	})
}

// A worker takes a job while one with its key is being added: add_jobs then leaves
// that one out, and it is added by itself.
func TestAdderWhileWorkerTakes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		held := added(admin.Job{ID: 1, TaskIdentifier: "old", Key: new("key 1"), RunAt: *admin.At(day2), CreatedAt: day0, UpdatedAt: day1})
		b.insert(held)
		a := b.adder(oneCommit)
		release := b.hold(a)
		var calls []addCall
		for i := range 3 {
			calls = append(calls, addCall{"new", i, admin.AddJobOptions{JobKey: new("key " + strconv.Itoa(i))}})
		}
		answers := b.enqueue(a, calls...)
		worker := b.begin()
		b.in(worker).exec(takes, []int64{1}, "pool-a", day2)
		b.sent.take()
		release()
		got := b.during(worker, worker.Commit, func() any { return answers() }).([]answer)
		want := []admin.Job{held}
		want[0].Attempts, want[0].LockedBy, want[0].LockedAt, want[0].Key, want[0].UpdatedAt = 25, new("pool-a"), &day2, nil, now()
		for i, answer := range got {
			fresh := added(admin.Job{ID: answer.job.ID, TaskIdentifier: "new", Payload: marshalled(i), Key: calls[i].options.JobKey})
			b.check("job", &fresh, b.mustAdd(answer))
			want = append(want, fresh)
		}
		b.check("table", sortJobs(want), b.jobs())
		b.check("statements", map[string]int{"AdderJobAdd": 1, "JobAdd": 1}, b.statements())
	})
}

// Somebody's transaction that a job has to wait for holds up no other job.
func TestAdderWaitsForLockAlone(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		for _, mode := range []admin.JobKeyMode{admin.Replace, admin.UnsafeDedupe} {
			for _, shared := range []bool{false, true} {
				b.exec("delete from graphile_worker._private_jobs")
				a := b.adder(oneCommit)
				var held []addCall
				other := b.begin()
				for i := range 3 {
					key := "held " + strconv.Itoa(i)
					b.in(other).exec("select from graphile_worker.add_job('old', job_key => $1)", key)
					held = append(held, addCall{"held", i, admin.AddJobOptions{JobKey: &key, JobKeyMode: mode}})
				}
				var free []addCall
				for i := range 20 {
					free = append(free, addCall{"free", i, admin.AddJobOptions{}})
					if i%2 == 0 {
						free[i].options.JobKey, free[i].options.JobKeyMode = new("free "+strconv.Itoa(i)), mode
					}
				}
				var waiting, going func() []answer
				if shared {
					release := b.hold(a)
					waiting, going = b.enqueue(a, held...), b.enqueue(a, free...)
					a.SetPatience(time.Millisecond)
					release()
				} else {
					a.SetPatience(time.Millisecond)
					waiting = b.start(a, held...)
					b.blocked()
					going = b.start(a, free...)
				}
				for i, answer := range going() {
					b.check("a free one", strconv.Itoa(i), string(b.mustAdd(answer).Payload))
				}
				b.ok(nil, other.Rollback(b.ctx))
				for i, answer := range waiting() {
					b.check("a held one", strconv.Itoa(i), string(b.mustAdd(answer).Payload))
				}
				b.check("jobs", len(held)+len(free), len(b.jobs()))
			}
		}
	})
}

// A batch waits for locks as long as its patience lasts, but not when it commits: there
// it waits for its turn.
func TestAdderLockTimeout(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.exec("create table public.seen (mode text, at text, lock_timeout text)")
		b.exec(`
			create function public.see() returns trigger language plpgsql as $$
			begin
				insert into public.seen values (new.payload ->> 0, tg_argv[0], current_setting('lock_timeout'));
				return null;
			end $$`)
		b.exec("create trigger test_see after insert on graphile_worker._private_jobs for each row execute function public.see('insert')")
		b.exec(`create constraint trigger test_see_commit after insert on graphile_worker._private_jobs
			deferrable initially deferred for each row execute function public.see('commit')`)
		var calls []addCall
		for i := range 4 {
			for _, mode := range []admin.JobKeyMode{admin.Replace, admin.PreserveRunAt, admin.UnsafeDedupe} {
				calls = append(calls, addCall{"send", []any{mode}, admin.AddJobOptions{JobKey: new(fmt.Sprint(mode, i)), JobKeyMode: mode}})
			}
		}
		for _, answer := range b.together(b.adder(oneCommit), calls...) {
			b.mustAdd(answer)
		}
		b.check("lock_timeout", []string{
			"preserve_run_at commit 0", "preserve_run_at insert 1h", "replace commit 0", "replace insert 1h", "unsafe_dedupe commit 0", "unsafe_dedupe insert 1h",
		}, rowsOf[string](b, "select distinct concat_ws(' ', mode, at, lock_timeout) as seen from public.seen where mode is not null order by seen"))
		b.check("a lone one's", []string{"0"}, func() []string {
			b.exec("delete from public.seen")
			b.ok(b.adder(nil).AddJob(b.ctx, "send", nil, &admin.AddJobOptions{JobKey: new("lone"), JobKeyMode: admin.UnsafeDedupe}))
			return rowsOf[string](b, "select distinct lock_timeout from public.seen")
		}())
	})
}

// A call alone is sent at once, by the query of the client.
func TestAdderRoundTrips(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		a := b.adder(nil)
		b.ok(a.AddJob(b.ctx, "send", nil, nil))
		b.sent.take()
		b.ok(a.AddJob(b.ctx, "send", nil, nil))
		b.check("one call", []string{"JobAdd"}, b.sent.names())
		b.ok(a.AddJob(b.ctx, "send", nil, &admin.AddJobOptions{JobKey: new("key"), JobKeyMode: admin.UnsafeDedupe}))
		b.check("one call, deduped", []string{"JobAdd"}, b.sent.names())
		b.together(b.adder(oneCommit), addCall{task: "send"}, addCall{task: "send"})
		b.check("two calls", map[string]int{"AdderJobAdd": 1}, b.statements())
	})
}

// A batch ends with as many jobs as are asked for, and before it is too long for one
// statement.
func TestAdderBatches(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	for _, tc := range []struct {
		reason string
		most   int
		size   int // of each payload
		want   map[string]int
	}{
		{"by default", 0, 10, map[string]int{"AdderJobAdd": 1}},
		{"four at a time", 4, 10, map[string]int{"AdderJobAdd": 2, "JobAdd": 1}},
		{"one at a time", 1, 10, map[string]int{"JobAdd": 9}},
		{"two that are nearly half a megabyte", 0, 400_000, map[string]int{"AdderJobAdd": 4, "JobAdd": 1}},
		{"one that is longer than a batch", 0, 2_000_000, map[string]int{"JobAdd": 9}},
	} {
		var calls []addCall
		for range 9 {
			calls = append(calls, addCall{task: "send", payload: strings.Repeat("x", tc.size)})
		}
		for _, answer := range b.together(b.adder(&admin.AdderOptions{Commits: 1, MaxBatch: tc.most}), calls...) {
			b.mustAdd(answer)
		}
		b.check(tc.reason, tc.want, b.statements())
	}
}

// A context that ends while the job waits for its turn: the job is not added.
func TestAdderCanceledInQueue(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		a := b.adder(&admin.AdderOptions{Commits: 1, MaxPending: 4})
		release := b.hold(a)
		ctx, cancel := context.WithCancel(b.ctx)
		canceled := *b
		canceled.ctx = ctx
		keyed := admin.AddJobOptions{JobKey: new("key")}
		first := canceled.enqueue(a, addCall{"canceled", 1, keyed})
		second := b.enqueue(a, addCall{"send", 2, keyed})
		third := canceled.enqueue(a, addCall{"canceled", 3, keyed})
		waiting := canceled.start(a, addCall{"canceled", 4, admin.AddJobOptions{}}) // for room
		cancel()
		for _, answer := range slices.Concat(first(), third(), waiting()) {
			b.check("error", "add job: not added: context canceled", fmt.Sprint(answer.err))
			b.check("it is the context's", true, errors.Is(answer.err, context.Canceled))
			b.check("its outcome is known", false, errors.Is(answer.err, admin.ErrOutcomeUnknown))
		}
		_, err := a.AddJob(ctx, "canceled", 5, nil)
		b.check("error of a context that has ended", "add job: not added: context canceled", fmt.Sprint(err))
		release()
		job := added(admin.Job{TaskIdentifier: "send", Payload: json.RawMessage("2"), Key: new("key")})
		got := b.mustAdd(second()[0])
		job.ID = got.ID
		b.check("job", &job, got)
		b.check("table", []admin.Job{job}, b.jobs())
	})
}

// A context that ends when the job has been sent: nobody knows, and the call says so at
// once. The others of its batch are added. A statement nobody waits for is canceled.
func TestAdderCanceledWhenSent(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		a := b.adder(oneCommit)
		release := b.hold(a)
		other := b.begin()
		b.in(other).exec("select from graphile_worker.add_job('old', job_key => 'locked')")
		ctx, cancel := context.WithCancel(b.ctx)
		canceled := *b
		canceled.ctx = ctx
		first := canceled.enqueue(a, addCall{"canceled", 1, admin.AddJobOptions{JobKey: new("locked")}}, addCall{"canceled", 2, admin.AddJobOptions{}})
		second := b.enqueue(a, addCall{"send", 3, admin.AddJobOptions{}})
		release()
		b.blocked()
		cancel()
		unknown := func(answers []answer) {
			b.Helper()
			for _, answer := range answers {
				b.check("error", "add job: outcome unknown: sent 1 job: look before you repeat the call: context canceled", fmt.Sprint(answer.err))
				b.check("it is the context's", true, errors.Is(answer.err, context.Canceled))
				b.check("its outcome is unknown", true, errors.Is(answer.err, admin.ErrOutcomeUnknown))
			}
		}
		unknown(first())
		b.ok(nil, other.Rollback(b.ctx))
		b.mustAdd(second()[0])
		b.check("jobs", 3, len(b.jobs())) // of which two were unknown

		b.exec("delete from graphile_worker._private_jobs")
		other = b.begin()
		b.in(other).exec("select from graphile_worker.add_job('old', job_key => 'locked')")
		ctx, cancel = context.WithCancel(b.ctx)
		canceled.ctx = ctx
		first = canceled.start(a, addCall{"canceled", 1, admin.AddJobOptions{JobKey: new("locked")}})
		b.blocked()
		cancel()
		unknown(first())
		b.unblocked()
		b.ok(nil, other.Rollback(b.ctx))
		b.check("jobs", 0, len(b.jobs()))
	})
}

// A dyingConn is a connection to the server that is lost after it has sent a certain text,
// or instead.
type dyingConn struct {
	net.Conn
	when   *atomic.Pointer[death]
	doomed atomic.Bool
}

type death struct {
	text string // in what is sent
	late bool   // once that has arrived, and the server has done it
}

func (c *dyingConn) Write(data []byte) (int, error) {
	d := c.when.Load()
	if d == nil || !bytes.Contains(data, []byte(d.text)) {
		return c.Conn.Write(data)
	}
	if !d.late {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	c.doomed.Store(true)
	return c.Conn.Write(data)
}

func (c *dyingConn) Read(data []byte) (int, error) {
	n, err := c.Conn.Read(data)
	if c.doomed.Load() { // the answer is there, and is lost
		c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// A connection that is lost leaves the outcome open for all jobs of the batch. None is
// sent again: each is there once or not at all.
func TestAdderLosesConnection(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		for _, late := range []bool{true, false} {
			for _, size := range []int{1, 5} {
				t.Run(fmt.Sprintf("%s/late=%t/%d jobs", mode, late, size), func(t *testing.T) {
					t.Parallel()
					var when atomic.Pointer[death]
					b := newBench(t, testdb.Ours(""), func(config *pgxpool.Config) {
						config.ConnConfig.DefaultQueryExecMode = mode
						dial := config.ConnConfig.DialFunc
						config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
							conn, err := dial(ctx, network, address)
							return &dyingConn{Conn: conn, when: &when}, err
						}
					})
					a := b.adder(oneCommit)
					b.ok(a.AddJob(b.ctx, "before", nil, nil))
					b.exec("delete from graphile_worker._private_jobs")
					calls := make([]addCall, size)
					for i := range calls {
						calls[i] = addCall{task: "doomed", payload: i}
					}
					release := b.hold(a)
					answers := b.enqueue(a, calls...)
					when.Store(&death{text: "doomed", late: late})
					release()
					for _, answer := range answers() {
						if !errors.Is(answer.err, admin.ErrOutcomeUnknown) || answer.job != nil {
							t.Errorf("got %v and %v", answer.job, answer.err)
						}
					}
					when.Store(nil)
					b.mustAdd(addCall{task: "after"}.by(b.ctx, a))
					want := map[string]int{"after": 1}
					if late {
						want["doomed"] = size
					}
					got := map[string]int{}
					for _, job := range b.jobs() {
						got[job.TaskIdentifier]++
					}
					b.check("jobs", want, got)
				})
			}
		}
	}
}

// A server that ends the session says so in an error, which does not tell the outcome
// either.
func TestAdderSessionEnds(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		a := b.adder(oneCommit)
		release := b.hold(a)
		other := b.begin()
		b.in(other).exec("select from graphile_worker.add_job('old', job_key => 'locked')")
		answers := b.enqueue(a, addCall{"doomed", 1, admin.AddJobOptions{JobKey: new("locked")}}, addCall{task: "doomed"})
		release()
		b.blocked()
		b.exec("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
		for _, answer := range answers() {
			b.check("SQLSTATE", "57P01", code(answer.err))
			b.check("its outcome is unknown", true, errors.Is(answer.err, admin.ErrOutcomeUnknown))
		}
		b.ok(nil, other.Rollback(b.ctx))
		b.check("jobs", []admin.Job{}, b.jobs())
	})
}

// A server that cannot be reached has not been sent anything.
func TestAdderCannotConnect(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	a := b.adder(nil)
	b.ok(a.AddJob(b.ctx, "send", nil, nil))
	b.pool.Close()
	_, err := a.AddJob(b.ctx, "send", nil, nil)
	b.check("it fails", true, err != nil)
	b.check("its outcome is unknown", false, errors.Is(err, admin.ErrOutcomeUnknown))
}

// Close waits for what was accepted, and refuses the rest.
func TestAdderClose(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		a := b.adder(&admin.AdderOptions{Commits: 1, MaxPending: 3})
		release := b.hold(a)
		answers := b.enqueue(a, addCall{task: "send"}, addCall{task: "send"})
		waiting := b.start(a, addCall{task: "late"}) // for room
		ctx, cancel := context.WithCancel(b.ctx)
		cancel()
		err := a.Close(ctx)
		b.check("error", "close adder: 3 jobs are still being added: context canceled", fmt.Sprint(err))
		b.check("it is the context's", true, errors.Is(err, context.Canceled))
		_, err = a.AddJob(b.ctx, "late", nil, nil)
		for _, err := range []error{err, waiting()[0].err} {
			b.check("error after", "add job: adder is closed", fmt.Sprint(err))
			b.check("it is known", true, errors.Is(err, admin.ErrAdderClosed))
		}
		release()
		b.ok(nil, a.Close(b.ctx))
		for _, answer := range answers() {
			b.mustAdd(answer)
		}
		b.ok(nil, a.Close(b.ctx))
		b.check("jobs", 2, len(b.jobs()))
	})
	b := newBench(t, testdb.Ours(""))
	b.ok(nil, b.adder(nil).Close(b.ctx))
}

// An adder refuses what the client refuses, in the same words, and before it sends
// anything.
func TestAdderInvalid(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil) // not even the schema is there
	a := b.adder(nil)
	for _, call := range []addCall{
		{"caf\xe9", json.RawMessage("{"), admin.AddJobOptions{QueueName: new("a\x00b"), MaxAttempts: new(0), JobKey: new("")}},
		{strings.Repeat("x", 129), []byte("{}"), admin.AddJobOptions{JobKeyMode: "Replace", Priority: new(1 << 15), Flags: []string{"\xff"}}},
		{"send", unserializable{}, admin.AddJobOptions{RunAt: admin.At(time.Date(294276, 1, 1, 0, 0, 0, 0, time.UTC))}},
	} {
		want, got := call.by(b.ctx, b.client), call.by(b.ctx, a)
		b.check("error", want.err, got.err)
		b.check("it is invalid", true, errors.Is(got.err, admin.ErrInvalid))
	}
	b.check("queries", []query(nil), b.sent.take())
	_, err := a.AddJob(b.ctx, "send", nil, nil)
	b.check("without a schema", true, errors.Is(err, admin.ErrNotInstalled))
}

// An adder needs a pool.
func TestAdderRefusesClients(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	tx := b.begin()
	conn := b.ok(b.pool.Acquire(b.ctx)).(*pgxpool.Conn)
	defer conn.Release()
	sqlConn := b.ok(b.sqlDB().Conn(b.ctx)).(*sql.Conn)
	defer sqlConn.Close()
	sqlTx := b.ok(b.sqlDB().BeginTx(b.ctx, nil)).(*sql.Tx)
	defer func() { _ = sqlTx.Rollback() }()
	const single = "adder: the client is on a transaction or on one connection: use a client on a pool, or AddJob of the client"
	for _, tc := range []struct {
		reason  string
		client  *admin.Client
		options *admin.AdderOptions
		want    string
	}{
		{"no client", nil, nil, "adder: the client is nil"},
		{"no database", admin.New(nil), nil, "admin client: the database is nil"},
		{"a transaction", b.client.WithTx(tx), nil, single},
		{"a connection", admin.New(conn.Conn()), nil, single},
		{"a connection of the pool", admin.New(conn), nil, single},
		{"a *sql.Conn", admin.New(admin.SQL(sqlConn)), nil, single},
		{"a *sql.Tx", admin.New(admin.SQL(sqlTx)), nil, single},
		{"options", b.client, &admin.AdderOptions{Commits: -1, MaxBatch: -2, MaxPending: -3},
			"adder: invalid input: commits -1 is negative; max_batch -2 is negative; max_pending -3 is negative"},
	} {
		a := admin.NewAdder(tc.client, tc.options)
		_, err := a.AddJob(b.ctx, "send", nil, nil)
		b.check(tc.reason, tc.want, fmt.Sprint(err))
		b.ok(nil, a.Close(b.ctx))
	}
	b.check("jobs", []admin.Job{}, b.jobs())
}

// It also works on a database that is not a pool of pgx.
func TestAdderOnWrappedPool(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.client = admin.New(struct{ admin.DB }{b.pool})
		for _, answer := range b.together(b.adder(oneCommit), addCall{task: "send"}, addCall{task: "send"}) {
			b.mustAdd(answer)
		}
		b.check("statements", map[string]int{"AdderJobAdd": 1}, b.statements())
		b.check("jobs", 2, len(b.jobs()))
	})
}

// Not parallel, so that no other test has goroutines of an adder.
func TestAdderLeaksNoGoroutines(t *testing.T) {
	b := newBench(t, testdb.Ours(""))
	goroutines := func() int {
		stacks := make([]byte, 1<<22)
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "admin.(*Adder).")
	}
	a := admin.NewAdder(b.client, nil)
	b.ok(a.AddJob(b.ctx, "send", nil, nil))
	ctx, cancel := context.WithCancel(b.ctx)
	canceled := *b
	canceled.ctx = ctx
	other := b.begin()
	b.in(other).exec("select from graphile_worker.add_job('old', job_key => 'locked')")
	answers := canceled.start(a, addCall{"send", 1, admin.AddJobOptions{JobKey: new("locked")}})
	b.blocked()
	var calls []addCall
	for i := range 100 {
		calls = append(calls, addCall{task: "send", payload: i})
	}
	for _, answer := range b.start(a, calls...)() {
		b.mustAdd(answer)
	}
	b.check("there are some", true, goroutines() > 0)
	cancel()
	answers()
	// Without Close, too.
	for deadline := time.Now().Add(10 * time.Second); goroutines() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("goroutines are left")
		}
	}
	b.unblocked()
	b.ok(nil, other.Rollback(b.ctx))
	b.ok(nil, a.Close(b.ctx))
	b.check("jobs", 101, len(b.jobs()))
}
