package bench

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
)

const pageSize = 100

// BenchmarkListJobs reads the first and the last page in each order, and the last with
// OFFSET.
func BenchmarkListJobs(b *testing.B) {
	d := theSuite(b).database(b, manyJobs())
	for _, key := range []admin.SortKey{admin.ByID, admin.ByRunAt, admin.ByCreatedAt, admin.ByPriority, admin.ByAttempts} {
		for _, descending := range []bool{false, true} {
			order := string(key)
			if descending {
				order = "-" + order
			}
			b.Run("sort="+order, func(b *testing.B) { benchmarkListJobs(b, d, key, descending) })
		}
	}
}

func benchmarkListJobs(b *testing.B, d *database, key admin.SortKey, descending bool) {
	ctx, pool := b.Context(), poolOf(b, d, 1)
	client := admin.New(pool)
	pages := largeTable() / pageSize
	deep := "page " + count(pages)

	direction := ""
	if descending {
		direction = " desc"
	}
	order := fmt.Sprintf("jobs.%s%s, jobs.id%[2]s", key, direction)
	if key == admin.ByID {
		order = "jobs.id" + direction
	}

	// The cursor of the job before the deep page.
	rows, err := pool.Query(ctx, fmt.Sprintf("select id from graphile_worker._private_jobs as jobs order by %s offset %d limit 2",
		order, pageSize*(pages-1)-1))
	if err != nil {
		b.Fatal(err)
	}
	around, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		b.Fatal(err)
	}
	sorted := admin.ListOptions{SortBy: key, Descending: descending, PageSize: 1}
	page, err := client.ListJobs(ctx, admin.Filter{IDs: around}, &sorted)
	if err != nil {
		b.Fatal(err)
	}
	sorted.PageSize = pageSize
	first, last := sorted, sorted
	last.Cursor = page.Next

	list := func(options admin.ListOptions, start int64) func(context.Context) error {
		return func(ctx context.Context) error {
			page, err := client.ListJobs(ctx, admin.Filter{}, &options)
			switch {
			case err != nil:
				return err
			case len(page.Jobs) != pageSize:
				return fmt.Errorf("the page has %d jobs", len(page.Jobs))
			case start != 0 && page.Jobs[0].ID != start:
				return fmt.Errorf("the page begins with job %d instead of %d", page.Jobs[0].ID, start)
			}
			return nil
		}
	}
	offset := fmt.Sprintf(`
		select jobs.id, tasks.identifier, queues.queue_name, jobs.priority, jobs.run_at, jobs.attempts, jobs.max_attempts,
			jobs.last_error, jobs.created_at, jobs.updated_at, jobs.key, jobs.locked_at, jobs.locked_by, jobs.revision, jobs.flags
		from graphile_worker._private_jobs as jobs
		left join graphile_worker._private_tasks as tasks on tasks.id = jobs.task_id
		left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
		order by %s offset %d limit %d`, order, pageSize*(pages-1), pageSize)
	byOffset := func(ctx context.Context) error {
		rows, err := pool.Query(ctx, offset)
		if err != nil {
			return err
		}
		found := 0
		for rows.Next() {
			if _, err := rows.Values(); err != nil {
				return err
			}
			found++
		}
		if err := rows.Err(); err != nil || found != pageSize {
			return fmt.Errorf("a page of %d jobs, and %w", found, err)
		}
		return nil
	}

	patience := 30 * time.Second
	if testing.Short() {
		patience = 5 * time.Second
	}
	repeat := func(work func(context.Context) error) func(int) (time.Duration, error) {
		return func(n int) (time.Duration, error) {
			took, err := concurrently(1, n, func() error {
				ctx, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				return work(ctx)
			})
			if errors.Is(err, context.DeadlineExceeded) {
				return patience, errCapped
			}
			return took, err
		}
	}
	comparison{
		work:   fmt.Sprintf("ListJobs by %s%s", key, direction),
		size:   fmt.Sprintf("%s jobs, %d a page", count(largeTable()), pageSize),
		rounds: 3,
		ways: []way{
			{"page 1", repeat(list(first, 0))},
			{deep, repeat(list(last, around[1]))},
			{"offset", repeat(byOffset)},
		},
		ratios: []ratio{{deep, "page 1", deepPage}, {deep, "offset", none}},
	}.compare(b)
}
