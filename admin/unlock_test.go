package admin_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

func TestForceUnlockWorkers(t *testing.T) {
	t.Parallel()
	hour, day, week := ago(time.Hour), ago(24*time.Hour), ago(7*24*time.Hour)
	for _, tc := range []struct {
		reason  string
		workers []string
		want    *admin.UnlockResult
		free    []string // the names of the unlocked queues
	}{
		{
			"each worker has counts of its own, in the order asked, a stale lock counts, and an id is text",
			[]string{"pool-d", "pool-b", "pool-404", "pool-a", nasty},
			&admin.UnlockResult{
				Unlocked: []admin.WorkerLocks{
					{WorkerID: "pool-d", Queues: 1, Oldest: hour, Newest: hour},
					{WorkerID: "pool-b", Jobs: 1, Oldest: day, Newest: day},
					{WorkerID: "pool-a", Jobs: 2, Queues: 1, Oldest: week, Newest: hour},
					{WorkerID: nasty, Jobs: 1, Oldest: hour, Newest: hour},
				},
				Idle: []string{"pool-404"},
			},
			[]string{"q a", "q d"},
		},
		{
			"an id asked for twice is answered once",
			[]string{"pool-404", "pool-d", "pool-404", "pool-d"},
			&admin.UnlockResult{Unlocked: []admin.WorkerLocks{{WorkerID: "pool-d", Queues: 1, Oldest: hour, Newest: hour}}, Idle: []string{"pool-404"}},
			[]string{"q d"},
		},
		{
			"a part of an id is not the id, and the empty one is one like any other",
			[]string{"pool", "", "POOL-A", "pool-%"},
			&admin.UnlockResult{Unlocked: []admin.WorkerLocks{}, Idle: []string{"pool", "", "POOL-A", "pool-%"}},
			nil,
		},
		{
			"nobody has nothing", nil,
			&admin.UnlockResult{Unlocked: []admin.WorkerLocks{}, Idle: []string{}},
			nil,
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				// Only the locks of a job change. Its attempts and times do not.
				job := added(admin.Job{ID: 1, TaskIdentifier: "send", RunAt: *admin.At(day2), Attempts: 1, CreatedAt: day0, UpdatedAt: day1})
				jobs := []admin.Job{job, job, job, job, job}
				for i, by := range []string{"pool-a", "pool-a", "pool-b", nasty} {
					jobs[i+1].ID, jobs[i+1].LockedBy = int64(i+2), &by
					jobs[i+1].LockedAt = []*time.Time{hour, day, day, hour}[i]
				}
				b.insert(jobs...)
				b.exec(`
					insert into graphile_worker._private_job_queues (queue_name, locked_by, locked_at)
					values ('q', null, null), ('q a', 'pool-a', $1), ('q d', 'pool-d', $2), ('q e', 'pool-e', $2)`, week, hour)

				before := b.tables()
				b.check("dry run", tc.want, b.ok(b.client.ForceUnlockWorkers(b.ctx, tc.workers, &admin.UnlockOptions{DryRun: true})))
				b.check("tables after the dry run", before, b.tables())

				b.check("result", tc.want, b.ok(b.client.ForceUnlockWorkers(b.ctx, tc.workers, nil)))
				for i, j := range jobs {
					if j.LockedBy != nil && slices.Contains(tc.workers, *j.LockedBy) {
						jobs[i].LockedBy, jobs[i].LockedAt = nil, nil
					}
				}
				b.check("jobs", jobs, b.jobs())
				held := slices.DeleteFunc([]string{"q a", "q d", "q e"}, func(q string) bool { return slices.Contains(tc.free, q) })
				b.check("locked queues", held, rowsOf[string](b, `
					select queue_name from graphile_worker._private_job_queues
					where locked_by is not null and locked_at is not null order by 1`))
				b.check("unlocked queues", append([]string{"q"}, tc.free...), rowsOf[string](b, `
					select queue_name from graphile_worker._private_job_queues
					where locked_by is null and locked_at is null order by 1`))
			})
		})
	}
}
