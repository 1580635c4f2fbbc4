package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
)

// scaleEnv is the connection string of a database with the schema. BenchmarkScale fills its
// table up to the number of jobs and leaves it so, for a next run with more jobs.
const scaleEnv = "GWADMIN_BENCH_URL"

// scaled returns the database of BenchmarkScale.
func scaled(b *testing.B) *database {
	b.Helper()
	url := os.Getenv(scaleEnv)
	if url == "" {
		return theSuite(b).database(b, recipe{name: "scale", jobs: largeTable(), alone: true})
	}
	d := &database{url: url, pools: map[int]*pgxpool.Pool{}}
	var err error
	if d.js, err = startJS(b.Context(), url); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		d.js.Close()
		for _, pool := range d.pools {
			pool.Close()
		}
	})
	pool, start := poolOf(b, d, 2), time.Now()
	var have int
	if err := pool.QueryRow(b.Context(), "select coalesce(max(id), 0) from graphile_worker._private_jobs").Scan(&have); err != nil {
		b.Fatal(err)
	}
	if have < largeTable() {
		if err := fill(b.Context(), pool, ours, recipe{jobs: largeTable(), have: have}, start.UTC().Truncate(time.Second)); err != nil {
			b.Fatal(err)
		}
		fmt.Printf("# from %s to %s jobs in %s\n", count(have), count(largeTable()), time.Since(start).Round(time.Second))
	}
	return d
}

// BenchmarkScale measures what is done on a table of GWADMIN_BENCH_JOBS jobs, of which a sixth
// is due. The page docs/scale.md has the figures of several sizes.
func BenchmarkScale(b *testing.B) {
	d := scaled(b)
	ctx, pool := b.Context(), poolOf(b, d, 1)
	client := admin.New(pool)
	many, specs := 10_000, make([]admin.JobSpec, 10_000)
	if testing.Short() {
		many = 1_000
	}
	for i := range specs {
		specs[i] = admin.JobSpec{TaskIdentifier: "task_1", Payload: payloadOf(i)}
	}
	deck := newDeck(min(largeTable(), 1_000_000))
	undone := func(work func(*admin.Client) error) func(context.Context) error {
		return func(ctx context.Context) error {
			tx, err := pool.Begin(ctx)
			if err != nil {
				return err
			}
			defer tx.Rollback(ctx)
			return work(client.WithTx(tx))
		}
	}
	list := func(options admin.ListOptions) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.ListJobs(ctx, admin.Filter{}, &options)
			return err
		}
	}
	counted := &admin.ChangeOptions{Return: admin.ReturnCount}
	preview := &admin.WhereOptions{DryRun: true, Sample: new(0)}
	for _, w := range []struct {
		name  string
		times int
		work  func(context.Context) error
	}{
		{"AddJob", 2_000, func(ctx context.Context) error { return add(ctx, client)() }},
		{"AddJobsIDs of 10 000", 5, undone(func(c *admin.Client) error { _, err := c.AddJobsIDs(ctx, specs, nil); return err })},
		{"CompleteJobs of 1", 300, undone(func(c *admin.Client) error { _, err := c.CompleteJobs(ctx, deck.deal(1), counted); return err })},
		{"CompleteJobs of " + count(many), 5, undone(func(c *admin.Client) error { _, err := c.CompleteJobs(ctx, deck.deal(many), counted); return err })},
		{"GetJob", 1_000, func(ctx context.Context) error { _, err := client.GetJob(ctx, deck.deal(1)[0]); return err }},
		{"ListJobs by id", 100, list(admin.ListOptions{})},
		{"ListJobs by run_at", 3, list(admin.ListOptions{SortBy: admin.ByRunAt})},
		{"preview of permafailed jobs", 3, func(ctx context.Context) error {
			_, err := client.RetryWhere(ctx, admin.Filter{States: []admin.State{admin.Permafailed}}, preview)
			return err
		}},
		{"Stats", 1, func(ctx context.Context) error { _, err := client.Stats(ctx, nil); return err }},
		{"Stats estimated", 3, func(ctx context.Context) error {
			_, err := client.Stats(ctx, &admin.StatsOptions{Estimate: true})
			return err
		}},
	} {
		b.Run("work="+w.name, func(b *testing.B) {
			var took []float64
			before := serverCPU(ctx, pool)
			for b.Loop() {
				for range w.times {
					once, err := stopwatch(func() error { return w.work(ctx) })
					if err != nil {
						b.Fatal(err)
					}
					if took = append(took, float64(once)); once > 20*time.Second {
						break
					}
				}
			}
			scalePoint(b, took, serverCPU(ctx, pool)-before)
		})
	}
	if d.js != nil {
		for name, priority := range map[string]int{"before all others": -100, "behind all that are due": 100} {
			b.Run("work=fetch "+name, func(b *testing.B) { fetchPoint(b, d, pool, priority) })
		}
	}
	if err := d.exec(ctx, ours, // as it was, for more jobs
		fmt.Sprintf("delete from graphile_worker._private_jobs where id > %d", largeTable()),
		fmt.Sprintf("select setval(pg_get_serial_sequence('graphile_worker._private_jobs', 'id'), %d)", largeTable())); err != nil {
		b.Fatal(err)
	}
	var sizes string
	if err := pool.QueryRow(ctx, `select string_agg(format('%s %s MB', relname, pg_relation_size(oid) / 1000000), ', ' order by relkind desc, relname)
		from pg_class where oid = 'graphile_worker._private_jobs'::regclass
			or oid in (select indexrelid from pg_index where indrelid = 'graphile_worker._private_jobs'::regclass)`).Scan(&sizes); err != nil {
		b.Fatal(err)
	}
	fmt.Printf("# %s jobs: %s\n", count(largeTable()), sizes)
}

// scalePoint reports the median of the times as the benchmark's, and the CPU time of the
// server for each, which other load on the machine does not change much.
func scalePoint(b *testing.B, took []float64, cpu time.Duration) {
	b.Helper()
	b.ReportMetric(median(took), "ns/op")
	b.ReportMetric(quantile(took, 0.9), "p90-ns")
	b.ReportMetric(float64(cpu)/float64(len(took)), "server-cpu-ns/op")
}

// serverCPU is the CPU time that the server of the pool has used, with all its processes. It is
// 0 if that is not known: only Linux tells, on the same machine.
func serverCPU(ctx context.Context, pool *pgxpool.Pool) time.Duration {
	var backend int
	if err := pool.QueryRow(ctx, "select pg_backend_pid()").Scan(&backend); err != nil {
		return 0
	}
	// Fields of /proc/PID/stat, after the name: the parent, and ticks of the process and of its
	// children that have ended.
	const parent, own, ended = 1, 11, 13
	stat := func(name string) (fields [15]int) {
		text, _ := os.ReadFile(name)
		for i, field := range strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) {
			if i < len(fields) {
				fields[i], _ = strconv.Atoi(field) // the state is no number
			}
		}
		return fields
	}
	postmaster := stat(fmt.Sprintf("/proc/%d/stat", backend))[parent]
	if postmaster == 0 {
		return 0
	}
	total := stat(fmt.Sprintf("/proc/%d/stat", postmaster))
	ticks := total[ended] + total[ended+1]
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range all {
		if process := stat(name); process[parent] == postmaster {
			ticks += process[own] + process[own+1]
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// fetchPoint reports how long a worker takes to fetch a job of that priority.
func fetchPoint(b *testing.B, d *database, pool *pgxpool.Pool, priority int) {
	b.Helper()
	var took []float64
	var cpu time.Duration
	for b.Loop() {
		more, used, err := fetching(b.Context(), d, pool, priority)
		if err != nil {
			b.Fatal(err)
		}
		took, cpu = append(took, more...), cpu+used
	}
	scalePoint(b, took, cpu)
}

// fetching returns how long a worker of graphile-worker takes for each fetch of a job of a
// task of its own, with that priority, and the server's CPU time for all of these jobs.
func fetching(ctx context.Context, d *database, pool *pgxpool.Pool, priority int) (took []float64, cpu time.Duration, err error) {
	if err := d.exec(ctx, ours, `insert into graphile_worker._private_tasks (identifier) values ('probe') on conflict do nothing`,
		fmt.Sprintf(`insert into graphile_worker._private_jobs (task_id, priority)
			select id, %d from graphile_worker._private_tasks, generate_series(1, 5000) where identifier = 'probe'`, priority)); err != nil {
		return nil, 0, err
	}
	start := time.Now()
	if err := d.js.call("fetch", params{"schema": ours, "task": "probe", "jobs": 5}, nil); err != nil {
		return nil, 0, err
	}
	before := serverCPU(ctx, pool)
	time.Sleep(max(time.Second, time.Since(start)))
	if err := d.js.call("stopFetching", nil, &took); err != nil {
		return nil, 0, err
	}
	cpu = serverCPU(ctx, pool) - before
	return took, cpu, d.exec(ctx, ours, "delete from graphile_worker._private_jobs where task_id = (select id from graphile_worker._private_tasks where identifier = 'probe')")
}

// BenchmarkDeadRows measures a worker's fetch of a job while one transaction stays open and
// so many jobs have run since it began.
func BenchmarkDeadRows(b *testing.B) {
	d := theSuite(b).database(b, recipe{name: "dead_rows", jobs: 100_000, alone: true})
	if d.js == nil {
		b.Skip("there is no node to run a worker")
	}
	ctx := b.Context()
	steps := []int{0, 10_000, 100_000, 300_000, 1_000_000}
	if testing.Short() {
		steps = []int{0, 1_000, 10_000}
	}
	reader, err := pgx.Connect(ctx, d.url)
	if err != nil {
		b.Fatal(err)
	}
	defer reader.Close(ctx)
	if _, err := reader.Exec(ctx, "begin isolation level repeatable read; select from graphile_worker._private_tasks"); err != nil {
		b.Fatal(err)
	}
	point := func(name string) {
		b.Run(name, func(b *testing.B) { fetchPoint(b, d, poolOf(b, d, 2), -100) })
	}
	dead := 0
	for _, step := range steps {
		if err := d.exec(ctx, ours, fmt.Sprintf(`insert into graphile_worker._private_jobs (task_id, priority) select 1, -100 from generate_series(1, %d)`, step-dead),
			"delete from graphile_worker._private_jobs where priority = -100"); err != nil {
			b.Fatal(err)
		}
		dead = step
		point("dead=" + count(step))
	}
	if _, err := reader.Exec(ctx, "rollback"); err != nil {
		b.Fatal(err)
	}
	point("dead=" + count(dead) + ", the transaction ended")
	if err := d.exec(ctx, ours, "vacuum graphile_worker._private_jobs"); err != nil {
		b.Fatal(err)
	}
	point("dead=0, vacuumed")
}

// BenchmarkClients adds jobs from so many connections at a time: one by one, by an Adder, and
// by inserts that notify nobody, which do not wait for each other.
func BenchmarkClients(b *testing.B) {
	d := theSuite(b).database(b, adds())
	ctx := b.Context()
	for _, conns := range []int{1, 2, 4, 8, 16, 32, 64} {
		b.Run(fmt.Sprintf("clients=%d", conns), func(b *testing.B) {
			pool := poolOf(b, d, conns)
			client := admin.New(pool)
			adding := func(name string, work func() error) way {
				return way{name, func(n int) (time.Duration, error) { return concurrently(conns, n, work) }}
			}
			comparison{
				work: "adds",
				size: fmt.Sprintf("%d clients", conns),
				unit: "jobs",
				warm: 50 * conns, // until each connection has its plans
				ways: []way{
					adding("Adder", add(ctx, admin.NewAdder(client, nil))),
					adding("AddJob", add(ctx, client)),
					adding("silent", func() error {
						_, err := pool.Exec(ctx, "insert into graphile_worker._private_jobs (task_id, payload) values (1, $1::json)", `{"n":1,"text":"a short text that stands for a payload"}`)
						return err
					}),
				},
				ratios: []ratio{{"Adder", "AddJob", none}, {"silent", "AddJob", none}},
				after:  func() error { return d.empty(ctx) },
			}.compare(b)
		})
	}
}
