package admin_test

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// reads are the calls that list and count.
var reads = map[string]func(context.Context, *admin.Client) error{
	"ListJobs": func(ctx context.Context, c *admin.Client) error {
		_, err := c.ListJobs(ctx, admin.Filter{}, nil)
		return err
	},
	"AllJobs": func(ctx context.Context, c *admin.Client) error {
		for _, err := range c.AllJobs(ctx, admin.Filter{}, nil) {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"Stats": func(ctx context.Context, c *admin.Client) error {
		_, err := c.Stats(ctx, &admin.StatsOptions{ErrorShapes: 5})
		return err
	},
	"estimate": func(ctx context.Context, c *admin.Client) error {
		_, err := c.Stats(ctx, &admin.StatsOptions{ErrorShapes: 5, Estimate: true, SamplePages: admin.MinSamplePages})
		return err
	},
	"Queues": func(ctx context.Context, c *admin.Client) error { _, err := c.Queues(ctx); return err },
	"Tasks":  func(ctx context.Context, c *admin.Client) error { _, err := c.Tasks(ctx); return err },
	"UndeclaredTasks": func(ctx context.Context, c *admin.Client) error {
		_, err := c.UndeclaredTasks(ctx, nil)
		return err
	},
	"Workers":  func(ctx context.Context, c *admin.Client) error { _, err := c.Workers(ctx); return err },
	"Crontabs": func(ctx context.Context, c *admin.Client) error { _, err := c.Crontabs(ctx); return err },
}

// TestOverview compares the numbers with the rows, for jobs in every state.
func TestOverview(t *testing.T) {
	t.Parallel()
	for name, template := range map[string]func(testing.TB, string) *pgtest.Template{
		"ours": func(_ testing.TB, schema string) *pgtest.Template { return testdb.Ours(schema) },
		"npm":  func(tb testing.TB, schema string) *pgtest.Template { return testdb.Upstream(tb, "0.18.0", schema) },
	} {
		for _, schema := range []string{graphile.DefaultSchema, weird} {
			for _, mode := range modes {
				t.Run(name+"/"+schema+"/"+mode.String(), func(t *testing.T) {
					t.Parallel()
					b := benchIn(t, template(t, schema), schema, func(config *pgxpool.Config) { config.ConnConfig.DefaultQueryExecMode = mode })
					b.checkOverview()
					b.seed()
					b.exec("update graphile_worker._private_jobs set locked_by = null where payload ->> 'state' = 'running'")
					b.in(b.begin()).checkOverview()
				})
			}
		}
	}
}

func (b *bench) checkOverview() {
	b.Helper()
	stats := statsOf(b.model(), 0)
	workers := map[string]*admin.Worker{}
	hold := func(by *string, at time.Time, jobs, queues int64) {
		id := ""
		if by != nil {
			id = *by
		}
		w := workers[id]
		if w == nil {
			w = &admin.Worker{ID: id, Oldest: at, Newest: at}
			workers[id] = w
		}
		w.Jobs, w.Queues = w.Jobs+jobs, w.Queues+queues
		if time.Since(at) > admin.StaleAfter {
			w.Stale++
		}
		w.Oldest, w.Newest = slices.MinFunc([]time.Time{w.Oldest, at}, time.Time.Compare), slices.MaxFunc([]time.Time{w.Newest, at}, time.Time.Compare)
	}
	model := b.model()
	for _, j := range model {
		if j.LockedAt != nil {
			hold(j.LockedBy, *j.LockedAt, 1, 0)
		}
	}
	counts := func(of map[string]admin.Counts, name string) admin.Counts {
		if c := of[name]; c != nil {
			return c
		}
		return admin.Counts{}
	}
	queues := []admin.Queue{}
	for _, name := range rowsOf[string](b, "select queue_name from graphile_worker._private_job_queues order by queue_name") {
		q := admin.Queue{Name: name, Jobs: counts(stats.Queues, name)}
		q.LockedBy = rowsOf[*string](b, "select locked_by from graphile_worker._private_job_queues where queue_name = $1", name)[0]
		if q.LockedAt = rowsOf[*time.Time](b, "select locked_at from graphile_worker._private_job_queues where queue_name = $1", name)[0]; q.LockedAt != nil {
			*q.LockedAt = q.LockedAt.UTC()
			hold(q.LockedBy, *q.LockedAt, 0, 1)
		}
		queues = append(queues, q)
	}
	tasks := []admin.Task{}
	for _, name := range rowsOf[string](b, "select identifier from graphile_worker._private_tasks order by identifier") {
		tasks = append(tasks, admin.Task{Identifier: name, Jobs: counts(stats.Tasks, name)})
	}
	holders := []admin.Worker{}
	for _, w := range workers {
		holders = append(holders, *w)
	}
	slices.SortFunc(holders, func(x, y admin.Worker) int { return cmp.Compare(x.ID, y.ID) })
	crontabs := []admin.Crontab{}
	if len(model) > 0 {
		crontabs = []admin.Crontab{
			{Identifier: "hourly", KnownSince: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), LastExecution: new(time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC))},
			{Identifier: "new ☃", KnownSince: time.Date(2024, 1, 1, 0, 0, 0, 123456000, time.UTC)},
		}
	}

	c := b.client
	b.check("Stats", stats, b.ok(c.Stats(b.ctx, nil)))
	b.check("total", int64(len(model)), stats.Jobs.Total())
	b.check("Queues", queues, b.ok(c.Queues(b.ctx)))
	b.check("Tasks", tasks, b.ok(c.Tasks(b.ctx)))
	b.check("Workers", holders, b.ok(c.Workers(b.ctx)))
	b.check("Crontabs", crontabs, b.ok(c.Crontabs(b.ctx)))
	b.check("ListJobs", append([]admin.ListedJob{}, model...), b.list(admin.Filter{}, admin.ListOptions{PayloadBytes: 1000}))
}

// Times of any year that were written by hand are read and can be marshalled to JSON.
func TestOverviewOfAnyTime(t *testing.T) {
	t.Parallel()
	first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
	onBoth(t, func(b *bench) {
		b.fixture()
		b.exec("truncate graphile_worker._private_known_crontabs")
		for _, tc := range []struct {
			at   string
			want time.Time
		}{{"infinity", last}, {"-infinity", first}, {"20000-01-01", last}, {"0044-03-15 BC", first}} {
			b.exec("update graphile_worker._private_jobs set locked_at = $1::text::timestamptz, locked_by = 'pool'", tc.at)
			b.exec("update graphile_worker._private_job_queues set locked_at = $1::text::timestamptz, locked_by = 'pool'", tc.at)
			b.exec("delete from graphile_worker._private_known_crontabs")
			b.exec("insert into graphile_worker._private_known_crontabs values ('hourly', $1::text::timestamptz, $1::text::timestamptz)", tc.at)
			queues := b.ok(b.client.Queues(b.ctx)).([]admin.Queue)
			workers := b.ok(b.client.Workers(b.ctx)).([]admin.Worker)
			crontabs := b.ok(b.client.Crontabs(b.ctx)).([]admin.Crontab)
			tasks := b.ok(b.client.Tasks(b.ctx)).([]admin.Task)
			if len(queues) == 0 || len(workers) != 1 || len(tasks) == 0 {
				b.Fatalf("%v, %v, %v", queues, workers, tasks)
			}
			b.check(tc.at+": a queue", &tc.want, queues[0].LockedAt)
			b.check(tc.at+": a worker", []time.Time{tc.want, tc.want}, []time.Time{workers[0].Oldest, workers[0].Newest})
			b.check(tc.at+": cron items", []admin.Crontab{{Identifier: "hourly", KnownSince: tc.want, LastExecution: &tc.want}}, crontabs)
			for _, list := range []any{queues, workers, crontabs, tasks} {
				if _, err := json.Marshal(list); err != nil {
					b.Errorf("%s: %v", tc.at, err)
				}
			}
		}
	})
}

// Lists and counts read from the reader, and after WithTx from the transaction.
func TestReader(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		b.fixture()
		replica := &recorder{}
		config := pgtest.Config(b, b.pool.Config().ConnString())
		config.ConnConfig.Tracer = replica
		config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
		pool := b.ok(pgxpool.NewWithConfig(b.ctx, config)).(*pgxpool.Pool)
		b.Cleanup(pool.Close)
		client := admin.New(b.on, admin.WithReader(onPool(pool)))
		b.ok(client.Stats(b.ctx, nil)) // the first call checks the schema on the pool
		replica.take()
		for name, queries := range map[string][]string{
			"ListJobs": {"JobList"}, "AllJobs": {"JobList"}, "Stats": {"JobCount"}, "estimate": {"JobSpan", "JobCount"}, "Queues": {"JobCount", "QueueList"},
			"Tasks": {"JobCount", "TaskIdentifiers"}, "Workers": {"WorkerList"}, "Crontabs": {"CrontabList"},
			"UndeclaredTasks": {"TaskListUndeclared"},
		} {
			b.sent.take()
			b.ok(nil, reads[name](b.ctx, client))
			b.check(name+" on the reader", queries, replica.names())
			b.check(name+" on the pool", []string(nil), b.sent.names())
		}
		tx := b.begin()
		inside := b.in(tx)
		inside.client = client.WithTx(tx)
		inside.add("uncommitted", nil, nil)
		b.check("the transaction's jobs", 8, len(inside.list(admin.Filter{}, admin.ListOptions{})))
		b.check("its stats", admin.Counts{admin.Ready: 1}, b.ok(inside.client.Stats(b.ctx, nil)).(*admin.Stats).Tasks["uncommitted"])
		b.check("sent to the reader", []string(nil), replica.names())
		b.check("the reader's jobs", 7, len(b.ok(client.ListJobs(b.ctx, admin.Filter{}, nil)).(*admin.Page).Jobs))
	})
}
