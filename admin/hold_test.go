package admin_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// No worker takes a job that is on hold, and no call of the JavaScript client ends a hold but
// those that set run_at. A job that is added again is the new job. A release gives each of
// the others the run_at that it had.
func TestInteropHold(t *testing.T) {
	onWorkers(t, func(b *interop, d *upstream.Driver, options upstream.WorkerOptions) {
		past, future := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond), time.Date(2100, 1, 1, 0, 0, 0, 123456000, time.UTC)
		ids := map[string]int64{}
		add := func(name, columns string, options admin.AddJobOptions) {
			b.Helper()
			if options.RunAt == nil {
				options.RunAt = admin.At(past)
			}
			payload, err := json.Marshal(name)
			b.ok(err)
			ids[name] = b.add(string(payload), &options)
			if columns != "" {
				b.exec("update graphile_worker._private_jobs set "+columns+" where id = $1", ids[name])
			}
		}
		add("plain", "", admin.AddJobOptions{})
		add("queued", "", admin.AddJobOptions{QueueName: new("mail")})
		add("flagged", "", admin.AddJobOptions{Flags: []string{"gpu"}})
		add("failed before", "attempts = 2, last_error = 'no luck'", admin.AddJobOptions{})
		add("not due", "", admin.AddJobOptions{RunAt: admin.At(future)})
		add("never", "", admin.AddJobOptions{RunAt: admin.Never()})
		add("always", "", admin.AddJobOptions{RunAt: &admin.RunAt{Infinity: pgtype.NegativeInfinity}})
		add("stale", "attempts = 1, locked_at = now() - interval '5 hours', locked_by = 'dead'", admin.AddJobOptions{})
		add("rescheduled", "", admin.AddJobOptions{})
		for _, key := range []string{"replaced", "replaced after a failure", "preserved", "preserved after a failure", "deduped"} {
			columns := ""
			if key == "replaced after a failure" || key == "preserved after a failure" {
				columns = "attempts = 1"
			}
			add(key, columns, admin.AddJobOptions{JobKey: &key})
		}
		before := map[int64]admin.Job{}
		for _, job := range b.held(nil) {
			before[job.ID] = job
		}

		ctx := admin.WithActor(b.ctx, "ada")
		result, err := b.client.HoldWhere(ctx, admin.Filter{}, &admin.WhereOptions{All: true})
		b.ok(err)
		interopDiff(b, "held", int64(len(ids)), result.Changed)
		held := b.held(new(true))
		interopDiff(b, "on hold", len(ids), len(held))
		for _, job := range held {
			want := before[job.ID]
			want.Hold = &admin.Hold{By: "ada", Since: job.Hold.Since, RunAt: want.RunAt}
			want.RunAt, want.UpdatedAt, want.LockedAt, want.LockedBy = *admin.Never(), job.UpdatedAt, nil, nil
			interopDiff(b, "a job on hold", want, job)
		}

		options.SweepInterval = 20 * time.Millisecond
		w := b.worker(d, options)
		ran := func(want ...string) {
			b.Helper()
			var got []string
			for range want {
				var name string
				b.ok(json.Unmarshal(b.finished(w).Payload, &name))
				got = append(got, name)
			}
			slices.Sort(got)
			interopDiff(b, "ran", want, got)
		}
		beside := func() {
			b.Helper()
			for range 2 {
				b.add(`"beside"`, nil)
				ran("beside")
			}
		}
		beside()
		var none any
		js := func(method string, args ...any) {
			b.Helper()
			b.ok(d.Call(b.ctx, method, args, &none))
		}
		readd := func(key, mode string) {
			b.Helper()
			js("addJob", "run", key+" new", map[string]any{"jobKey": key, "jobKeyMode": mode, "runAt": past.Format(time.RFC3339)})
		}
		readd("preserved", "preserve_run_at")
		readd("deduped", "unsafe_dedupe")
		js("forceUnlockWorkers", []string{"dead", "ada"})
		js("cleanup", map[string]any{"tasks": []string{"GC_JOB_QUEUES", "GC_TASK_IDENTIFIERS"}})
		beside()
		interopDiff(b, "still on hold", len(ids), len(b.held(new(true))))
		readd("replaced", "replace")
		readd("replaced after a failure", "replace")
		readd("preserved after a failure", "preserve_run_at")
		js("rescheduleJobs", []int64{ids["rescheduled"]}, map[string]any{"runAt": past.Format(time.RFC3339)})
		ran("preserved after a failure new", "replaced after a failure new", "replaced new", "rescheduled")
		beside()
		interopDiff(b, "still on hold", len(ids)-4, len(b.held(new(true))))
		b.ok(w.Stop(b.ctx))

		result, err = b.client.ReleaseWhere(ctx, admin.Filter{}, &admin.WhereOptions{All: true})
		b.ok(err)
		interopDiff(b, "released", int64(len(ids)-4), result.Changed)
		released := b.held(nil)
		for _, job := range released {
			want := before[job.ID]
			want.LockedAt, want.LockedBy = nil, nil
			if job.Key != nil && (*job.Key == "preserved" || *job.Key == "deduped") {
				want.Revision = 1
			}
			interopDiff(b, "a released job", want, job, cmpopts.IgnoreFields(admin.Job{}, "UpdatedAt", "Payload"))
		}
		interopDiff(b, "released", len(ids)-4, len(released))
		w = b.worker(d, options)
		ran("always", "deduped", "failed before", "flagged", "plain", "preserved new", "queued", "stale")
		b.ok(w.Stop(b.ctx))
	})
}

// held lists the jobs that are on hold, or that are not; nil: all jobs.
func (b *interop) held(onHold *bool) (jobs []admin.Job) {
	b.Helper()
	for job, err := range b.client.AllJobs(b.ctx, admin.Filter{OnHold: onHold}, nil) {
		b.ok(err)
		jobs = append(jobs, job.Job)
	}
	return jobs
}

// What the calls skip, and a dry run.
func TestHold(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		jobs := b.fixture()
		ids := append(jobIDs(jobs), 404)
		free := []int64{1, 2, 4, 5, 6}
		ctx := admin.WithActor(b.ctx, nasty)
		count := func(result any) []any {
			r := result.(*admin.ChangeResult)
			return []any{r.DryRun, r.Changed, r.Skipped}
		}
		skips := func(onHold, notHeld int64) map[admin.SkipReason]int64 {
			reasons := map[admin.SkipReason]int64{admin.OnHold: onHold, admin.NotHeld: notHeld, admin.Locked: 2, admin.NotFound: 1}
			maps.DeleteFunc(reasons, func(_ admin.SkipReason, n int64) bool { return n == 0 })
			return reasons
		}
		dry := &admin.ChangeOptions{DryRun: true}
		b.check("hold, dry", []any{true, int64(5), skips(0, 0)}, count(b.ok(b.client.HoldJobs(ctx, ids, dry))))
		b.check("unchanged", jobs, b.jobs())
		b.check("release none, dry", []any{true, int64(0), skips(0, 5)}, count(b.ok(b.client.ReleaseJobs(ctx, ids, dry))))
		b.check("release none", []any{false, int64(0), skips(0, 5)}, count(b.ok(b.client.ReleaseJobs(ctx, ids, nil))))
		b.check("unchanged", jobs, b.jobs())

		held := b.ok(b.client.HoldJobs(ctx, ids, nil)).(*admin.ChangeResult)
		b.check("hold", []any{false, int64(5), skips(0, 0)}, count(held))
		b.check("held", free, jobIDs(held.Jobs))
		for _, job := range held.Jobs {
			b.check("hold", &admin.Hold{By: nasty, Since: now(), RunAt: jobs[job.ID-1].RunAt}, job.Hold)
		}
		before := b.jobs()
		b.check("hold again, dry", []any{true, int64(0), skips(5, 0)}, count(b.ok(b.client.HoldJobs(ctx, ids, dry))))
		b.check("hold again", []any{false, int64(0), skips(5, 0)}, count(b.ok(b.client.HoldJobs(ctx, ids, nil))))
		b.check("hold where", []any{false, int64(0), map[admin.SkipReason]int64{admin.Locked: 2}},
			count(b.ok(b.client.HoldWhere(ctx, admin.Filter{}, &admin.WhereOptions{All: true}))))
		b.check("unchanged", before, b.jobs())
		_, err := b.client.HoldWhere(ctx, admin.Filter{OnHold: new(true)}, nil)
		b.check("a filter that matches none", true, is(admin.ErrInvalid)(err))
		_, err = b.client.ForceUnlockWorkers(ctx, []string{*before[0].LockedBy}, nil)
		b.check("a hold is no worker", true, is(admin.ErrInvalid)(err))
		b.check("workers", []string{"pool-a"}, []string{b.ok(b.client.Workers(ctx)).([]admin.Worker)[0].ID})

		e := b.ok(b.client.Explain(ctx, 6)).(*admin.Explanation)
		b.check("explained", []any{admin.ReasonOnHold, "gwadmin jobs release 6"}, []any{e.Reasons[0].Kind, e.Reasons[0].Do})
		b.ok(b.client.RescheduleJobs(ctx, []int64{1}, admin.RescheduleValues{RunAt: admin.At(day2)}, nil))
		b.check("rescheduled", (*admin.Hold)(nil), b.ok(b.client.GetJob(ctx, 1)).(*admin.ListedJob).Hold)

		filter := admin.Filter{TaskIdentifiers: []string{"send"}}
		b.check("release where, dry", []any{true, int64(4), map[admin.SkipReason]int64{}}, count(b.ok(b.client.ReleaseWhere(ctx, filter, &admin.WhereOptions{DryRun: true}))))
		b.check("release where", []any{false, int64(4), map[admin.SkipReason]int64{}}, count(b.ok(b.client.ReleaseWhere(ctx, filter, nil))))
		for _, id := range free[1:] {
			jobs[id-1].UpdatedAt, jobs[id-1].LockedAt, jobs[id-1].LockedBy = now(), nil, nil
		}
		b.check("released", jobs[1:], b.jobs()[1:])
	})
}
