package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/migrations"
)

// The benchmarks of this file do the same work on tables that are awkward and on ones
// that are not.

// queued is a database in which every job is in one of as many queues, of which some
// are held.
func queued(b *testing.B, name string, queues, held int) *pgxpool.Pool {
	b.Helper()
	jobs := 500_000
	if testing.Short() {
		jobs = 50_000
	}
	d := theSuite(b).database(b, recipe{name: name, jobs: jobs, alone: true})
	err := d.exec(b.Context(), ours,
		fmt.Sprintf("insert into graphile_worker._private_job_queues (queue_name) select 'more_' || i from generate_series(1, %d) as i", queues),
		fmt.Sprintf(`update graphile_worker._private_jobs set job_queue_id = queues.id
			from (select id, row_number() over (order by id) as n from graphile_worker._private_job_queues) as queues
			where queues.n = 1 + _private_jobs.id %% %d`, queues),
		fmt.Sprintf(`update graphile_worker._private_job_queues set locked_at = now(), locked_by = 'pool-a'
			where id in (select id from graphile_worker._private_job_queues order by id limit %d)`, held),
		"vacuum full analyze graphile_worker._private_jobs", "vacuum full analyze graphile_worker._private_job_queues")
	if err != nil {
		b.Fatal(err)
	}
	return poolOf(b, d, 1)
}

// BenchmarkHeldQueues counts jobs of many queues, with thousands of them held and none.
func BenchmarkHeldQueues(b *testing.B) {
	held, free := queued(b, "held_queues", 10_000, 5_000), queued(b, "free_queues", 10_000, 0)
	comparison{
		work:   "Stats of queued jobs",
		size:   "10 000 queues, 5 000 of them held",
		rounds: 3,
		ways: []way{
			{"5 000 held", call(b, held, stats)},
			{"none held", call(b, free, stats)},
		},
		ratios: []ratio{{"5 000 held", "none held", heldQueues}},
	}.compare(b)
}

func stats(ctx context.Context, c *admin.Client) error {
	_, err := c.Stats(ctx, nil)
	return err
}

// BenchmarkManyQueues retries one job where there are many queues and few.
func BenchmarkManyQueues(b *testing.B) {
	many, few := queued(b, "many_queues", 100_000, 0), queued(b, "few_queues", 10, 0)
	retry := func(ctx context.Context, c *admin.Client) error {
		result, err := c.RetryJobs(ctx, []int64{4711}, nil)
		if err == nil && result.Changed != 1 {
			err = fmt.Errorf("%d jobs were changed", result.Changed)
		}
		return err
	}
	comparison{
		work:   "RetryJobs of one id",
		size:   "100 000 queues",
		ways:   []way{{"many queues", call(b, many, retry)}, {"10 queues", call(b, few, retry)}},
		ratios: []ratio{{"many queues", "10 queues", manyQueues}},
	}.compare(b)
}

// BenchmarkGetJob reads one job, beside the same row by a prepared statement.
func BenchmarkGetJob(b *testing.B) {
	pool := poolOf(b, theSuite(b).database(b, manyJobs()), 1)
	get := func(ctx context.Context, c *admin.Client) error {
		_, err := c.GetJob(ctx, 4711)
		return err
	}
	row := func(ctx context.Context, _ *admin.Client) error {
		rows, err := pool.Query(ctx, "select * from graphile_worker._private_jobs where id = $1", 4711)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if _, err := rows.Values(); err != nil {
				return err
			}
		}
		return rows.Err()
	}
	comparison{
		work:   "GetJob",
		size:   count(largeTable()) + " jobs",
		unit:   "calls",
		ways:   []way{{"gwadmin", call(b, pool, get)}, {"prepared select", call(b, pool, row)}},
		ratios: []ratio{{"gwadmin", "prepared select", getJob}},
	}.compare(b)
}

// BenchmarkWhereIndexed previews and completes the permafailed jobs where an optional
// index serves that filter, beside a list of the same jobs.
func BenchmarkWhereIndexed(b *testing.B) {
	d := theSuite(b).database(b, recipe{name: "indexed_jobs", jobs: largeTable() / 5, alone: true})
	pool := poolOf(b, d, 2)
	migrator, err := migrations.New(pool, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := migrator.Indexes().Add(b.Context(), []string{"gwadmin_jobs_permafailed"}, nil); err != nil {
		b.Fatal(err)
	}
	if err := d.exec(b.Context(), ours, "vacuum analyze graphile_worker._private_jobs"); err != nil {
		b.Fatal(err)
	}
	failed := admin.Filter{States: []admin.State{admin.Permafailed}}
	want := int64(0)
	list := func(ctx context.Context, c *admin.Client) error {
		want = 0
		for _, err := range c.AllJobs(ctx, failed, &admin.ListOptions{PageSize: admin.MaxPageSize}) {
			if err != nil {
				return err
			}
			want++
		}
		return nil
	}
	preview := func(ctx context.Context, c *admin.Client) error {
		result, err := c.RetryWhere(ctx, failed, &admin.WhereOptions{DryRun: true})
		if err == nil && result.Changed != want {
			err = fmt.Errorf("%d jobs, and the list has %d", result.Changed, want)
		}
		return err
	}
	comparison{
		work:   "preview of permafailed jobs, with its index",
		size:   fmt.Sprintf("%s of %s jobs", count(largeTable()/250), count(largeTable()/5)),
		ways:   []way{{"list", call(b, pool, list)}, {"preview", call(b, pool, preview)}},
		ratios: []ratio{{"preview", "list", whereIndexed}},
	}.compare(b)
}

// BenchmarkWhereConfirmed previews and runs a change by a filter that no index serves,
// beside the preview alone: the run is one pass more, and the change itself.
func BenchmarkWhereConfirmed(b *testing.B) {
	pool := poolOf(b, theSuite(b).database(b, manyJobs()), 1)
	nothing := admin.Filter{ErrorText: new("nobody has this error")}
	preview := func(ctx context.Context, c *admin.Client) error {
		_, err := c.RetryWhere(ctx, nothing, &admin.WhereOptions{DryRun: true})
		return err
	}
	confirmed := func(ctx context.Context, c *admin.Client) error {
		if err := preview(ctx, c); err != nil {
			return err
		}
		_, err := c.RetryWhere(ctx, nothing, nil)
		return err
	}
	comparison{
		work:   "change by filter, preview and run",
		size:   count(largeTable()) + " jobs, none matches",
		rounds: 3,
		ways:   []way{{"confirmed", call(b, pool, confirmed)}, {"preview", call(b, pool, preview)}},
		ratios: []ratio{{"confirmed", "preview", whereConfirmed}},
	}.compare(b)
}

// BenchmarkManyKeys previews a filter of many keys, beside one of as many ids.
func BenchmarkManyKeys(b *testing.B) {
	keys := 100_000
	if testing.Short() {
		keys = 2_000
	}
	pool := poolOf(b, theSuite(b).database(b, manyJobs()), 1)
	rows, err := pool.Query(b.Context(), "select id, key from graphile_worker._private_jobs where key is not null limit $1", keys)
	if err != nil {
		b.Fatal(err)
	}
	var byKey, byID admin.Filter
	for rows.Next() {
		var id int64
		var key string
		if err := rows.Scan(&id, &key); err != nil {
			b.Fatal(err)
		}
		byKey.Keys, byID.IDs = append(byKey.Keys, key), append(byID.IDs, id)
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	change := func(filter admin.Filter) func(context.Context, *admin.Client) error {
		return func(ctx context.Context, c *admin.Client) error {
			result, err := c.RescheduleWhere(ctx, filter, admin.RescheduleValues{Priority: new(1)}, &admin.WhereOptions{BatchSize: 10_000})
			if err == nil && result.Changed != int64(keys) {
				err = fmt.Errorf("%d jobs were changed", result.Changed)
			}
			return err
		}
	}
	comparison{
		work:   "reschedule by keys",
		size:   fmt.Sprintf("%s keys, %s jobs", count(keys), count(largeTable())),
		times:  1,
		rounds: 3,
		ways:   []way{{"keys", undone(b, pool, change(byKey))}, {"ids", undone(b, pool, change(byID))}},
		ratios: []ratio{{"keys", "ids", manyKeys}},
	}.compare(b)
}

// call repeats a call.
func call(b *testing.B, pool *pgxpool.Pool, work func(context.Context, *admin.Client) error) func(int) (time.Duration, error) {
	client := admin.New(pool)
	return func(n int) (time.Duration, error) {
		return concurrently(1, n, func() error { return work(b.Context(), client) })
	}
}

// undone repeats a call, each time in a transaction that is rolled back.
func undone(b *testing.B, pool *pgxpool.Pool, work func(context.Context, *admin.Client) error) func(int) (time.Duration, error) {
	client := admin.New(pool)
	return func(n int) (took time.Duration, err error) {
		for range n {
			tx, err := pool.Begin(b.Context())
			if err != nil {
				return 0, err
			}
			once, err := stopwatch(func() error { return work(b.Context(), client.WithTx(tx)) })
			tx.Rollback(b.Context())
			if err != nil {
				return 0, err
			}
			took += once
		}
		return took, nil
	}
}
