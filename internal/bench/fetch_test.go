package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
)

// A bulk is a way to reschedule very many jobs while workers run.
type bulk struct {
	name string
	run  func(ctx context.Context, c *admin.Client, ids []int64, runAt *admin.RunAt) error
}

var bulks = []bulk{
	{"RescheduleJobs", func(ctx context.Context, c *admin.Client, ids []int64, runAt *admin.RunAt) error {
		return all(ids)(c.RescheduleJobs(ctx, ids, admin.RescheduleValues{RunAt: runAt}, &admin.ChangeOptions{Return: admin.ReturnCount}))
	}},
	{"RescheduleWhere", func(ctx context.Context, c *admin.Client, ids []int64, runAt *admin.RunAt) error {
		filter := admin.Filter{RunAt: admin.TimeRange{From: new(time.Now().Add(24 * time.Hour))}}
		result, err := c.RescheduleWhere(ctx, filter, admin.RescheduleValues{RunAt: runAt}, &admin.WhereOptions{Limit: int64(len(ids))})
		if err == nil && result.Changed != int64(len(ids)) {
			err = fmt.Errorf("%d of %d jobs were rescheduled", result.Changed, len(ids))
		}
		return err
	}},
}

// BenchmarkFetch compares how long a worker of graphile-worker takes to fetch a job
// alone, and while a million other jobs are rescheduled.
func BenchmarkFetch(b *testing.B) {
	d := theSuite(b).database(b, manyJobs())
	if d.js == nil {
		b.Skip("there is no node to run a worker")
	}
	defer func() {
		const sql = "delete from graphile_worker._private_jobs where task_id = (select id from graphile_worker._private_tasks where identifier = 'probe')"
		if err := d.exec(b.Context(), ours, sql, "vacuum analyze graphile_worker._private_jobs"); err != nil {
			b.Error(err)
		}
	}()
	for _, bulk := range bulks {
		b.Run("during="+bulk.name, func(b *testing.B) { benchmarkFetch(b, d, bulk) })
	}
}

func benchmarkFetch(b *testing.B, d *database, bulk bulk) {
	const task = "probe"
	ctx, pool := b.Context(), poolOf(b, d, 1)
	client := admin.New(pool)
	jobs, fetches, probes := 1_000_000, 300, 100_000
	if testing.Short() {
		jobs, fetches, probes = 10_000, 30, 3_000
	}
	jobs = min(jobs, largeTable()/2)

	// Jobs in random order that are not due, so that the worker takes none of them.
	rows, err := pool.Query(ctx, `select id from graphile_worker._private_jobs
		where run_at > now() + interval '1 day' and is_available order by hashint8(id) limit $1`, jobs)
	if err != nil {
		b.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(ids) < jobs {
		b.Fatalf("%d of %d jobs to reschedule: %v", len(ids), jobs, err)
	}
	later := time.Now().Add(48 * time.Hour)

	// fetching returns the median time of a fetch while the work goes on.
	fetching := func(work func() error) (time.Duration, error) {
		err := d.exec(ctx, ours,
			`insert into graphile_worker._private_tasks (identifier) values ('probe') on conflict do nothing`,
			`delete from graphile_worker._private_jobs where task_id = (select id from graphile_worker._private_tasks where identifier = 'probe')`,
			fmt.Sprintf(`insert into graphile_worker._private_jobs (task_id, priority)
				select id, -100 from graphile_worker._private_tasks, generate_series(1, %d) where identifier = 'probe'`, probes))
		if err != nil {
			return 0, err
		}
		if err := d.js.call("fetch", params{"schema": ours, "task": task, "jobs": 20}, nil); err != nil {
			return 0, err
		}
		failure := work()
		var times []float64
		if err := errors.Join(failure, d.js.call("stopFetching", nil, &times)); err != nil {
			return 0, err
		}
		if len(times) == 0 {
			return 0, errors.New("the worker fetched nothing")
		}
		return time.Duration(median(times)), nil
	}
	idle := time.Duration(fetches) * 5 * time.Millisecond
	comparison{
		work:   "Worker's fetch of a job",
		size:   fmt.Sprintf("%s jobs rescheduled by %s", count(jobs), bulk.name),
		times:  1,
		rounds: 3,
		ways: []way{
			{"alone", func(int) (time.Duration, error) {
				return fetching(func() error { time.Sleep(idle); return nil })
			}},
			{"meanwhile", func(int) (time.Duration, error) {
				later = later.Add(time.Minute) // so that each run changes the jobs
				return fetching(func() error { return bulk.run(ctx, client, slices.Clone(ids), admin.At(later)) })
			}},
		},
		ratios: []ratio{{"meanwhile", "alone", fetchBusy}},
		after:  func() error { return d.exec(ctx, ours, "vacuum analyze graphile_worker._private_jobs") },
	}.compare(b)
}
