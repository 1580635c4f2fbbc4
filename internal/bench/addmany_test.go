package bench

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
)

func BenchmarkAddJobs(b *testing.B) {
	d := theSuite(b).database(b, adds())
	sizes := []int{1_000, 10_000, 100_000}
	if testing.Short() {
		sizes = []int{1_000, 5_000}
	}
	for _, jobs := range sizes {
		for _, types := range []int{1, tasks} {
			b.Run(fmt.Sprintf("jobs=%d/types=%d", jobs, types), func(b *testing.B) { benchmarkAddJobs(b, d, jobs, types) })
		}
	}
}

func benchmarkAddJobs(b *testing.B, d *database, jobs, types int) {
	ctx, pool := b.Context(), poolOf(b, d, 1)
	client := admin.New(pool)
	c := comparison{
		work: "AddJobs",
		size: fmt.Sprintf("%s jobs, %d task types", count(jobs), types),
		unit: "jobs",
		per:  jobs,
		most: max(1, 20_000/jobs),
	}
	if jobs >= 100_000 {
		c.rounds = 3
	}
	if types == 1 {
		c.size = fmt.Sprintf("%s jobs, 1 task type", count(jobs))
	}
	// Every way starts from an empty table.
	fresh := func(run func(n int) (time.Duration, error)) func(n int) (time.Duration, error) {
		return func(n int) (time.Duration, error) {
			if err := d.empty(ctx); err != nil {
				return 0, err
			}
			return run(n)
		}
	}

	specs := make([]admin.JobSpec, jobs)
	for i := range jobs {
		specs[i] = admin.JobSpec{TaskIdentifier: fmt.Sprintf("task_%d", 1+i%types), Payload: payloadOf(i)}
	}
	// COPY marshals the payloads as well.
	row := func(i int) ([]any, error) {
		body, err := json.Marshal(payloadOf(i))
		return []any{1 + i%types, json.RawMessage(body)}, err
	}
	c.ways = append(c.ways, way{"gwadmin", fresh(func(n int) (time.Duration, error) {
		return concurrently(1, n, func() error {
			_, err := client.AddJobs(ctx, specs, nil)
			return err
		})
	})})
	c.ways = append(c.ways, way{"gwadmin-ids", fresh(func(n int) (time.Duration, error) {
		return concurrently(1, n, func() error {
			_, err := client.AddJobsIDs(ctx, specs, nil)
			return err
		})
	})})
	c.ways = append(c.ways, way{"copy", fresh(func(n int) (time.Duration, error) {
		return concurrently(1, n, func() error {
			_, err := pool.CopyFrom(ctx, pgx.Identifier{ours, "_private_jobs"}, []string{"task_id", "payload"}, pgx.CopyFromSlice(jobs, row))
			return err
		})
	})})
	if d.js != nil {
		for name, schema := range map[string]string{"js": theirs, "js-on-ours": ours} {
			c.ways = append(c.ways, way{name, fresh(func(n int) (time.Duration, error) {
				return d.js.timed("addJobs", params{"schema": schema, "n": n, "jobs": jobs, "types": types})
			})})
		}
		c.ratios = append(c.ratios, ratio{"gwadmin", "js", none}, ratio{"gwadmin-ids", "js", addManyByJS}, ratio{"js-on-ours", "js", none})
	}
	if d.river != nil {
		for name, method := range map[string]string{"river": "insertMany", "river-fast": "insertManyFast"} {
			c.ways = append(c.ways, way{name, fresh(func(n int) (time.Duration, error) {
				return d.river.timed(method, params{"n": n, "jobs": jobs})
			})})
		}
		c.ratios = append(c.ratios, ratio{"gwadmin", "river", none}, ratio{"gwadmin-ids", "river-fast", none})
	}
	// COPY returns no jobs either.
	c.ratios = append(c.ratios, ratio{"gwadmin", "copy", none}, ratio{"gwadmin-ids", "copy", addManyByCopy})
	c.compare(b)
}
