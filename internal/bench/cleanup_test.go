package bench

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
)

// Garbage is what a cleanup task removes.
type garbage struct {
	name   string
	task   admin.CleanupTask
	table  string
	column string
	notIn  string // the column that a "not in" would select
}

var garbages = []garbage{
	{"tasks", admin.GCTaskIdentifiers, "graphile_worker._private_tasks", "identifier",
		"select task_id from graphile_worker._private_jobs"},
	{"queues", admin.GCJobQueues, "graphile_worker._private_job_queues", "queue_name",
		"select job_queue_id from graphile_worker._private_jobs where job_queue_id is not null"},
}

// BenchmarkCleanup runs each task on few and many jobs, with few and many tasks and
// queues that no job uses. Everything is rolled back.
func BenchmarkCleanup(b *testing.B) {
	unused := []int{10, 1_000, 1_000_000}
	if testing.Short() {
		unused = []int{10, 1_000}
	}
	for _, recipe := range []recipe{fewerJobs(), manyJobs()} {
		d := theSuite(b).database(b, recipe)
		b.Run(fmt.Sprintf("jobs=%d/do=failed", recipe.jobs), func(b *testing.B) {
			benchmarkCleanup(b, d, admin.DeletePermafailedJobs, comparison{
				work:   "Cleanup of failed jobs",
				size:   fmt.Sprintf("%s of %s jobs", count(recipe.jobs/50), count(recipe.jobs)),
				ratios: []ratio{{"gwadmin", "js", cleanup}},
			})
		})
		for _, g := range garbages {
			for _, n := range unused {
				if n == 1_000 && recipe.jobs > 1_000_000 {
					continue // shows nothing new and takes a minute
				}
				b.Run(fmt.Sprintf("jobs=%d/do=%s/unused=%d", recipe.jobs, g.name, n), func(b *testing.B) {
					sweep := g.litter(b, d, n)
					defer sweep()
					size, aim := fmt.Sprintf("%s unused, %s jobs", count(n), count(recipe.jobs)), cleanup
					if !g.hashed(b, d) {
						size, aim = size+", hash too large", cleanupNot
					}
					benchmarkCleanup(b, d, g.task, comparison{
						work:   "Cleanup of " + g.name,
						size:   size,
						ratios: []ratio{{"gwadmin", "js", aim}},
					})
				})
			}
		}
	}
}

// litter adds n unused rows, and returns what removes them.
func (g garbage) litter(b *testing.B, d *database, n int) func() {
	b.Helper()
	exec := func(sql string) {
		b.Helper()
		if err := d.exec(b.Context(), ours, sql, "vacuum analyze "+g.table); err != nil {
			b.Fatal(err)
		}
	}
	exec(fmt.Sprintf("insert into %s (%s) select 'unused_' || i from generate_series(1, %d) as i", g.table, g.column, n))
	return func() { exec(fmt.Sprintf(`delete from %s where %s like 'unused\_%%'`, g.table, g.column)) }
}

// hashed reports whether PostgreSQL plans a "not in" with a hash. If that would be too
// large, it reads the jobs again for each row.
func (g garbage) hashed(b *testing.B, d *database) bool {
	b.Helper()
	rows, err := poolOf(b, d, 1).Query(b.Context(), fmt.Sprintf("explain select from %s where id not in (%s)", g.table, g.notIn))
	if err != nil {
		b.Fatal(err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatal(err)
	}
	return strings.Contains(strings.Join(plan, "\n"), "hashed SubPlan")
}

// benchmarkCleanup compares with JavaScript's client, which has upstream's statements,
// on this module's schema. The client is stopped when the ratio is far beyond the aim.
func benchmarkCleanup(b *testing.B, d *database, task admin.CleanupTask, c comparison) {
	ctx, pool := b.Context(), poolOf(b, d, 1)
	client := admin.New(pool)
	work := func(n int) (took time.Duration, err error) {
		for range n {
			tx, err := pool.Begin(ctx)
			if err != nil {
				return 0, err
			}
			once, err := stopwatch(func() error {
				_, err := client.WithTx(tx).Cleanup(ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{task}})
				return err
			})
			tx.Rollback(ctx)
			if err != nil {
				return 0, err
			}
			took += once
		}
		return took, nil
	}
	if _, err := work(1); err != nil {
		b.Fatal(err)
	}
	took, err := work(1)
	if err != nil {
		b.Fatal(err)
	}
	patience := 2 * time.Minute
	switch {
	case testing.Short():
		patience = 2 * time.Second
	case took > time.Second: // a hundred times that is too long
		patience = time.Minute
	}
	patience = min(max(120*took, time.Second), patience)

	c.most, c.once = 100, 10*time.Second
	c.ways = []way{{"gwadmin", work}}
	if d.js == nil {
		c.ratios = nil
	} else {
		c.ways = append(c.ways, way{"js", func(n int) (time.Duration, error) {
			took, err := d.js.timed("cleanup", params{"schema": ours, "task": task, "n": n, "timeout": patience.Milliseconds()})
			if errors.Is(err, errCapped) {
				took = patience
			}
			return took, err
		}})
	}
	c.compare(b)
}
