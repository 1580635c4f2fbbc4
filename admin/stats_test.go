package admin_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// statsOf counts the jobs in Go, with so many shapes of errors.
func statsOf(model []admin.ListedJob, shapes int) *admin.Stats {
	stats := &admin.Stats{Jobs: admin.Counts{}, Tasks: map[string]admin.Counts{}, Queues: map[string]admin.Counts{}, Attempts: []admin.AttemptCount{}}
	count := func(of map[string]admin.Counts, name string, state admin.State) {
		if of[name] == nil {
			of[name] = admin.Counts{}
		}
		of[name][state]++
	}
	first := func(at **time.Time, runAt admin.RunAt) {
		if runAt.Infinity == pgtype.Finite && (*at == nil || runAt.Before(**at)) {
			*at = &runAt.Time
		}
	}
	attempts, errors := map[int]int64{}, map[string]*admin.ErrorShape{}
	for _, j := range model {
		stats.Jobs[j.State]++
		count(stats.Tasks, j.TaskIdentifier, j.State)
		if j.QueueName != nil {
			count(stats.Queues, *j.QueueName, j.State)
		}
		attempts[j.Attempts]++
		switch j.State {
		case admin.Ready:
			first(&stats.OldestReady, j.RunAt)
		case admin.Scheduled, admin.Retrying:
			first(&stats.NextRunAt, j.RunAt)
		}
		if j.LastError != nil && shapes > 0 {
			shape := shapeOf[*j.LastError]
			if errors[shape] == nil {
				errors[shape] = &admin.ErrorShape{Shape: shape, ExampleID: j.ID, Example: *j.LastError}
			}
			errors[shape].Jobs++
		}
	}
	for n, jobs := range attempts {
		stats.Attempts = append(stats.Attempts, admin.AttemptCount{Attempts: n, Jobs: jobs})
	}
	slices.SortFunc(stats.Attempts, func(x, y admin.AttemptCount) int { return cmp.Compare(x.Attempts, y.Attempts) })
	if shapes > 0 {
		stats.Errors = []admin.ErrorShape{}
	}
	for _, shape := range errors {
		stats.Errors = append(stats.Errors, *shape)
	}
	slices.SortFunc(stats.Errors, func(x, y admin.ErrorShape) int {
		return cmp.Or(cmp.Compare(y.Jobs, x.Jobs), cmp.Compare(x.Shape, y.Shape))
	})
	for len(stats.Errors) > shapes {
		stats.OtherErrors += stats.Errors[len(stats.Errors)-1].Jobs
		stats.Errors = stats.Errors[:len(stats.Errors)-1]
	}
	return stats
}

// shapeOf are errors with their shapes, several of them alike.
var shapeOf = map[string]string{
	"":         "",
	"boom":     "boom",
	"Boom":     "Boom",
	"no route": "no route",
	"\n\r\n no route\t\r\n    at send (/app/send.js:12:3)": "no route",
	"naïve ☃ \\ % _ $1 \\1":                                "naïve ☃ \\ % _ $* \\*",

	"User 7 not found":                                    "User * not found",
	"User 1234567 not found":                              "User * not found",
	"User ada@example.com not found":                      "User * not found",
	"User o.b+x@mail.example not found":                   "User * not found",
	"User 4b0f5a2e-face-4bad-8bad-deadbeefcafe not found": "User * not found",
	"User 0x7ffe12ab not found":                           "User * not found",
	"User 507f1f77bcf86cd799439011 not found":             "User * not found",
	`User "ada" not found`:                                "User * not found",
	"User 'ada lovelace' not found":                       "User * not found",
	"User `a'b\"c` not found":                             "User * not found",
	"User cus_NffrFeUfNV2Hib not found":                   "User * not found",

	"connect ECONNREFUSED 10.0.0.1:5432":   "connect ECONNREFUSED *",
	"connect ECONNREFUSED ::1:5432\nat …":  "connect ECONNREFUSED *",
	"It doesn't work, and can't":           "It doesn't work, and can't",
	`unclosed "quote of 5`:                 "unclosed *",
	"at 2024-02-29T12:00:00.123Z it broke": "at * it broke",
	"after -1.5e3 ms, 50% done":            "after * ms, * done",

	"GET https://api.example.com/users/12/mails?token=abc&x=y: status 500":                                      "GET https://api.example.com/users/*/mails* status *",
	"GET https://api.example.com/users/4b0f5a2e-1111-4bad-8bad-deadbeefcafe/mails?token=q: status 404 (\nhello": "GET https://api.example.com/users/*/mails* status * (",

	strings.Repeat("☃", 150):                            strings.Repeat("☃", 100),
	strings.Repeat("12 ab ", 33):                        strings.Repeat("* ab ", 20),
	strings.Repeat("12345678901234567890 ab ", 9)[:200]: strings.Repeat("* ab ", 8) + "*",
}

// A shape has a star for each part of an error that varies.
func TestErrorShapes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		for text, shape := range shapeOf {
			b.exec("truncate graphile_worker._private_jobs")
			b.insert(added(admin.Job{TaskIdentifier: "send", LastError: &text}))
			stats := b.ok(b.client.Stats(b.ctx, &admin.StatsOptions{ErrorShapes: 1})).(*admin.Stats)
			if len(stats.Errors) != 1 || stats.Errors[0].Shape != shape {
				b.Errorf("%q: %+v, want %q", text, stats.Errors, shape)
			}
		}
		long := strings.Repeat("☃ 1", 1000)
		b.exec("update graphile_worker._private_jobs set last_error = $1", long)
		stats := b.ok(b.client.Stats(b.ctx, &admin.StatsOptions{ErrorShapes: 1})).(*admin.Stats)
		b.check("the example", string([]rune(long)[:200]), stats.Errors[0].Example)
	})
}

// For random jobs, the numbers are equal to those counted in Go, and the times of an
// estimate, which it reads from the index, are exact.
func TestStatsModel(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, b *bench) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		d := dice{rand.New(rand.NewPCG(seed, 0))}
		b = b.in(b.begin())
		at := rowsOf[time.Time](b, "select now()")[0]
		moments := []time.Time{at}
		for _, edge := range []time.Time{at, at.Add(-admin.StaleAfter), at.Add(time.Hour), day0} {
			moments = append(moments, edge, edge.Add(time.Microsecond), edge.Add(-time.Microsecond))
		}
		var texts []string
		for text := range shapeOf {
			texts = append(texts, text)
		}
		slices.Sort(texts)
		b.check("stats of an empty table", statsOf(nil, 3), b.ok(b.client.Stats(b.ctx, &admin.StatsOptions{ErrorShapes: 3})))
		for round := range 3 {
			for i := range 50 {
				j := d.job(100*round+i, moments)
				j.LastError = maybe(d, 2, texts...)
				b.insert(j)
			}
			if round == 1 {
				b.lockQueues()
			}
			model := b.model()
			for _, shapes := range []int{0, 1, 3, 10, admin.MaxErrorShapes} {
				want := statsOf(model, shapes)
				for i := range want.Errors {
					want.Errors[i].Example = string([]rune(want.Errors[i].Example)[:min(200, len([]rune(want.Errors[i].Example)))])
				}
				b.check(fmt.Sprint(shapes, " shapes"), want, b.ok(b.client.Stats(b.ctx, &admin.StatsOptions{ErrorShapes: shapes})))
				small := admin.StatsOptions{ErrorShapes: shapes, Estimate: true}
				b.check("a small table's estimate", want, b.ok(b.client.Stats(b.ctx, &small)))
				// Errors of jobs in some states, and no queues.
				of := []admin.State{admin.Permafailed, admin.Retrying}
				some := statsOf(slices.DeleteFunc(slices.Clone(model), func(j admin.ListedJob) bool { return !slices.Contains(of, j.State) }), shapes)
				for i, shape := range some.Errors {
					some.Errors[i].Example = string([]rune(shape.Example)[:min(200, len([]rune(shape.Example)))])
				}
				want.Errors, want.OtherErrors, want.Queues = some.Errors, some.OtherErrors, map[string]admin.Counts{}
				b.check("some", want, b.ok(b.client.Stats(b.ctx, &admin.StatsOptions{ErrorShapes: shapes, ErrorStates: of, SkipQueues: true})))
			}
		}
		// Dead rows make the table large.
		for b.pages() < 2*admin.MinSamplePages {
			b.exec("update graphile_worker._private_jobs set revision = revision")
		}
		want := statsOf(b.model(), 0)
		for range 5 {
			got := b.ok(b.client.Stats(b.ctx, &admin.StatsOptions{Estimate: true, SamplePages: admin.MinSamplePages})).(*admin.Stats)
			b.check("oldest ready", want.OldestReady, got.OldestReady)
			b.check("next", want.NextRunAt, got.NextRunAt)
			b.check("the estimate", &admin.Estimate{Pages: b.pages(), Sampled: admin.MinSamplePages, TimesExact: true}, got.Estimate,
				cmpopts.IgnoreFields(admin.Estimate{}, "Total", "Jobs", "Tasks", "Queues", "OtherErrors", "Unseen"))
		}
	}
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			test(t, newBench(t, testdb.Ours(""), func(config *pgxpool.Config) { config.ConnConfig.DefaultQueryExecMode = mode }))
		})
	}
	for _, version := range []string{"0.16.6", "0.17.3", "0.18.0"} {
		t.Run("npm "+version, func(t *testing.T) {
			t.Parallel()
			test(t, benchIn(t, testdb.Upstream(t, version, weird), weird))
		})
	}
}

// pages returns the number of pages of the table of jobs.
func (b *bench) pages() int64 {
	b.Helper()
	return rowsOf[int64](b, `select pg_relation_size(relation.oid) / 8192 from pg_class as relation
		where relation.relnamespace = to_regnamespace(quote_ident($1)) and relation.relname = '_private_jobs'`, b.client.Schema())[0]
}

// large fills the table with 200 000 jobs of every state. Jobs that are alike are on the same
// pages or spread over all pages. Some pages are empty.
func (b *bench) large(together bool) {
	b.Helper()
	b.exec(`insert into graphile_worker._private_tasks (identifier) select 'task ' || i from generate_series(0, 4) as i`)
	b.exec(`insert into graphile_worker._private_job_queues (queue_name, locked_at) select 'queue ' || i, case when i < 2 then now() end from generate_series(0, 4) as i`)
	b.exec(`
		insert into graphile_worker._private_jobs (task_id, job_queue_id, run_at, attempts, last_error, locked_at)
		select
			(select min(id) from graphile_worker._private_tasks) + kind % 5,
			case when kind = 52 then 999 when kind % 3 = 0 then (select min(id) from graphile_worker._private_job_queues) + kind % 5 end,
			now() + case when kind % 4 = 0 then interval '1 hour' else interval '-1 hour' end,
			case when kind % 7 = 0 then 25 when kind % 11 = 0 then 3 else 0 end,
			case when kind % 7 = 0 then 'Cannot send mail ' || i end,
			case when kind = 50 then now() when kind = 51 then now() - interval '5 hours' end
		from (
			select i, case when $1 then i / 2000 else (i::bigint * 7919) % 100 end as kind from generate_series(0, 209999) as i
		) as jobs`, together)
	b.exec("delete from graphile_worker._private_jobs where id between 50001 and 60000")
	b.ok(b.client.PauseQueue(b.ctx, "queue 4", nil))
	b.exec("vacuum analyze graphile_worker._private_jobs")
}

// The errors of 95 of 100 estimates are within their margins, the mean error is about zero,
// and the margins are not much larger than necessary.
func TestEstimate(t *testing.T) {
	t.Parallel()
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprintf("together %v", together), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			b.ctx = t.Context() // a busy machine needs more than a minute
			b.large(together)
			exact := b.ok(b.client.Stats(b.ctx, &admin.StatsOptions{ErrorShapes: 1})).(*admin.Stats)
			want, _ := numbers(exact)
			if want["all"] != 200_000 || len(exact.Jobs) != len(admin.States) || len(exact.Errors) != 1 {
				b.Fatalf("jobs: %v", want)
			}
			const tries = 60
			within, sum, squares, margins := map[string]int{}, map[string]float64{}, map[string]float64{}, map[string]float64{}
			for range tries {
				got := b.ok(b.client.Stats(b.ctx, &admin.StatsOptions{Estimate: true, SamplePages: 300, ErrorShapes: 1})).(*admin.Stats)
				estimates, margin := numbers(got)
				for what, n := range want {
					if margin[what] == 0 {
						margin[what] = got.Estimate.Unseen
					}
					off := float64(estimates[what] - n)
					if math.Abs(off) <= float64(margin[what]) {
						within[what]++
					}
					sum[what] += off
					squares[what] += off * off
					margins[what] += float64(margin[what]) / tries
				}
				for what := range estimates {
					if want[what] == 0 {
						b.Errorf("estimates %d of %q, of which there are none", estimates[what], what)
					}
				}
			}
			for what, n := range want {
				mean, deviation := sum[what]/tries, math.Sqrt(squares[what]/tries)
				t.Logf("%-32s %7d jobs, off by %6.0f on the average, deviation %6.0f, margin %6.0f, within it %d of %d", what, n, mean, deviation, margins[what], within[what], tries)
				if within[what] < tries*8/10 {
					b.Errorf("%s: %d of %d estimates are within their margin", what, within[what], tries)
				}
				if math.Abs(mean) > margins[what]/2 {
					b.Errorf("%s: %d jobs, off by %.0f on the average of %d, where the margin of one is %.0f", what, n, mean, tries, margins[what])
				}
				if margins[what] > 8*deviation {
					b.Errorf("%s: margin %.0f for a deviation of %.0f", what, margins[what], deviation)
				}
			}
		})
	}
}

// numbers returns all numbers of jobs with their margins.
func numbers(stats *admin.Stats) (jobs, margins map[string]int64) {
	jobs, margins = map[string]int64{"all": stats.Jobs.Total()}, map[string]int64{}
	e := stats.Estimate
	if e == nil {
		e = &admin.Estimate{}
	}
	margins["all"] = e.Total
	put := func(what string, counts, of admin.Counts) {
		for state, n := range counts {
			jobs[fmt.Sprint(what, state)], margins[fmt.Sprint(what, state)] = n, of[state]
		}
	}
	put("", stats.Jobs, e.Jobs)
	for task, counts := range stats.Tasks {
		put(task+" ", counts, e.Tasks[task])
	}
	for queue, counts := range stats.Queues {
		put(queue+" ", counts, e.Queues[queue])
	}
	for _, n := range stats.Attempts {
		jobs[fmt.Sprint("attempts ", n.Attempts)], margins[fmt.Sprint("attempts ", n.Attempts)] = n.Jobs, n.Margin
	}
	for _, n := range stats.Errors {
		jobs["error "+n.Shape], margins["error "+n.Shape] = n.Jobs, n.Margin
	}
	return jobs, margins
}

// An estimate counts the queues with the most jobs on its pages separately, and returns the
// number of the others. An exact count has all queues.
func TestEstimateQueues(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.exec(`insert into graphile_worker._private_tasks (identifier) values ('send')`)
	b.exec(`insert into graphile_worker._private_job_queues (queue_name) select 'queue ' || i from generate_series(1, 20000) as i`)
	// Every second job is in one of the ten longest queues. Each other queue has one job.
	b.exec(`insert into graphile_worker._private_jobs (task_id, job_queue_id)
		select tasks.id, queues.id from graphile_worker._private_tasks as tasks, generate_series(1, 40000) as i
		join graphile_worker._private_job_queues as queues on queues.queue_name = 'queue ' || case when i % 2 = 0 then i / 2 else 1 + i / 2 % 10 end`)
	exact := b.ok(b.client.Stats(b.ctx, nil)).(*admin.Stats)
	b.check("queues", 20_000, len(exact.Queues))
	got := b.ok(b.client.Stats(b.ctx, &admin.StatsOptions{Estimate: true, SamplePages: 100})).(*admin.Stats)
	b.check("estimated queues", admin.MaxEstimatedQueues, len(got.Queues))
	b.check("margins", admin.MaxEstimatedQueues, len(got.Estimate.Queues))
	for i := range 10 {
		name := fmt.Sprint("queue ", i+1)
		n, margin := got.Queues[name].Total(), got.Estimate.Queues[name].Total()
		if off := n - exact.Queues[name].Total(); max(off, -off) > 4*margin {
			b.Errorf("%s: %d ±%d of %d", name, n, margin, exact.Queues[name].Total())
		}
	}
	perPage := got.Jobs.Total() / got.Estimate.Pages
	if most := 100*(perPage+1)/2 + 10 - admin.MaxEstimatedQueues; got.Estimate.OtherQueues < most*9/10 || got.Estimate.OtherQueues > most*11/10 {
		b.Errorf("%d more queues, want about %d", got.Estimate.OtherQueues, most)
	}
	whole := b.ok(b.client.Stats(b.ctx, &admin.StatsOptions{Estimate: true})).(*admin.Stats)
	b.check("a small table's queues", exact.Queues, whole.Queues)
}

// An estimate reads exactly the sampled pages, also when it is repeated, in every mode.
func TestEstimatePlans(t *testing.T) {
	t.Parallel()
	on := newBench(t, testdb.Ours(""))
	on.large(false)
	for _, mode := range modes {
		on.Run(t, mode.String(), func(b *bench) {
			config := pgtest.Config(b, on.pool.Config().ConnString())
			config.ConnConfig.DefaultQueryExecMode = mode
			config.ConnConfig.Tracer = b.sent
			pool := b.ok(pgxpool.NewWithConfig(b.ctx, config)).(*pgxpool.Pool)
			b.Cleanup(pool.Close)
			tx := b.ok(onPool(pool).Begin(b.ctx)).(pgx.Tx)
			b.Cleanup(func() { _ = tx.Rollback(context.Background()) })
			b = b.in(tx)
			o := admin.StatsOptions{Estimate: true, SamplePages: 100, ErrorShapes: 3}
			b.ok(b.client.Stats(b.ctx, &o))
			scans := func() int64 {
				return rowsOf[int64](b, "select seq_scan from pg_stat_xact_user_tables where relid = 'graphile_worker._private_jobs'::regclass")[0]
			}
			before := scans()
			for range 8 {
				b.sent.take()
				b.ok(b.client.Stats(b.ctx, &o))
				sent := b.sent.take()
				i := slices.IndexFunc(sent, func(q query) bool { return q.Name == "JobCount" })
				var pages []int64
				for _, arg := range sent[i].Args {
					if list, ok := arg.([]int64); ok {
						pages = list
					}
				}
				if distinct := len(slices.Compact(slices.Clone(pages))); !slices.IsSorted(pages) || distinct != 100 || pages[0] < 0 || pages[99] >= b.pages() {
					b.Fatalf("%d pages of %d: %v", distinct, b.pages(), pages)
				}
				if plan := b.plan(sent[i]); !slices.Contains(plan, "Tid Scan") || slices.Contains(plan, "Seq Scan") {
					b.Errorf("reads the jobs by %q", plan)
				}
			}
			b.check("sequential scans", before, scans())
		})
	}
}

// plan returns how a statement reads the table of jobs, without the parts that do not run.
func (b *bench) plan(q query) (access []string) {
	b.Helper()
	var visit func(statsNode)
	visit = func(n statsNode) {
		if n.Table == "_private_jobs" && n.Loops > 0 {
			access = append(access, n.Type)
		}
		for _, part := range n.Plans {
			visit(part)
		}
	}
	rows, err := b.on.Query(b.ctx, "explain (analyze, format json)\n"+q.SQL, q.Args...)
	b.ok(nil, err)
	defer rows.Close()
	for rows.Next() {
		var text []byte
		b.ok(nil, rows.Scan(&text))
		var plans []struct{ Plan statsNode }
		b.ok(nil, json.Unmarshal(text, &plans))
		visit(plans[0].Plan)
	}
	b.ok(nil, rows.Err())
	return access
}

type statsNode struct {
	Type  string  `json:"Node Type"`
	Table string  `json:"Relation Name"`
	Loops float64 `json:"Actual Loops"`
	Plans []statsNode
}

// TimesExact is false if an earlier job may follow the jobs that the estimate reads.
func TestEstimateTimes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason     string
		jobs       string // the priority, the name of the queue and the run_at of jobs i from 0
		count      int
		oldest     *time.Time
		next       *time.Time
		timesExact bool
	}{
		{"no job is ready", "0, 'held', timestamptz '2024-01-01' + i * interval '1 s'", 99, nil, nil, true},
		{"more than 100 waiting jobs", "0, 'held', timestamptz '2024-01-01' + i * interval '1 s'", 100, nil, nil, false},
		{
			"the job after 100 waiting jobs is ready", "0, case i when 100 then 'free' else 'held' end, timestamptz '2024-01-01' + i * interval '1 s'", 101,
			nil, nil, false,
		},
		{
			"the 100th job is ready", "0, case i when 99 then 'free' else 'held' end, timestamptz '2024-01-01' + i * interval '1 s'", 200,
			new(time.Date(2024, 1, 1, 0, 1, 39, 0, time.UTC)), nil, true,
		},
		{
			"a ready job of another priority before the waiting jobs", "case i when 0 then -3 else 0 end, case i when 0 then null else 'held' end, timestamptz '2024-01-01' + i * interval '1 s'", 200,
			new(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)), nil, true,
		},
		{
			"a ready job of another priority among the first 100 waiting jobs", "case i when 50 then -3 else 0 end, case i when 50 then null else 'held' end, timestamptz '2024-01-01' + i * interval '1 s'", 200,
			new(time.Date(2024, 1, 1, 0, 0, 50, 0, time.UTC)), nil, true,
		},
		{
			"a ready job of another priority after the first 100 waiting jobs", "case i when 150 then -3 else 0 end, case i when 150 then null else 'held' end, timestamptz '2024-01-01' + i * interval '1 s'", 200,
			new(time.Date(2024, 1, 1, 0, 2, 30, 0, time.UTC)), nil, false,
		},
		{"1000 priorities", "i, null, timestamptz '2100-01-01' - i * interval '1 s'", 1000, nil, new(time.Date(2099, 12, 31, 23, 43, 21, 0, time.UTC)), true},
		{"1001 priorities", "i, null, timestamptz '2100-01-01' - i * interval '1 s'", 1001, nil, new(time.Date(2099, 12, 31, 23, 43, 21, 0, time.UTC)), false},
		{"infinite run_at", "i % 2, null, case when i < 500 then '-infinity' else 'infinity' end::timestamptz", 1000, nil, nil, true},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			b.exec(`insert into graphile_worker._private_tasks (identifier) values ('send')`)
			b.exec(`insert into graphile_worker._private_job_queues (queue_name, locked_at) values ('free', null), ('held', now())`)
			b.exec(`insert into graphile_worker._private_jobs (task_id, priority, job_queue_id, run_at)
				select tasks.id, jobs.priority, queues.id, jobs.run_at
				from graphile_worker._private_tasks as tasks
				cross join (select ` + tc.jobs + ` from generate_series(0, ` + fmt.Sprint(tc.count-1) + `) as i) as jobs (priority, queue_name, run_at)
				left join graphile_worker._private_job_queues as queues on queues.queue_name = jobs.queue_name`)
			b.exec(`insert into graphile_worker._private_jobs (task_id, locked_at, payload)
				select id, now(), to_json(repeat('x', 1000)) from graphile_worker._private_tasks, generate_series(1, 400)`)
			got := b.ok(b.client.Stats(b.ctx, &admin.StatsOptions{Estimate: true, SamplePages: admin.MinSamplePages})).(*admin.Stats)
			b.check("oldest ready", tc.oldest, got.OldestReady)
			b.check("next", tc.next, got.NextRunAt)
			b.check("exact", tc.timesExact, got.Estimate.TimesExact)
		})
	}
}

func TestStatsInvalid(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.ok(nil, b.client.Check(b.ctx))
	b.sent.take()
	for _, o := range []admin.StatsOptions{
		{ErrorShapes: -1}, {ErrorShapes: admin.MaxErrorShapes + 1}, {ErrorShapes: math.MaxInt},
		{ErrorStates: []admin.State{"lost"}}, {SamplePages: -1}, {SamplePages: admin.MinSamplePages - 1}, {SamplePages: admin.MaxSamplePages + 1, Estimate: true},
	} {
		_, err := b.client.Stats(b.ctx, &o)
		if invalid, ok := errors.AsType[*admin.InvalidError](err); !ok || len(invalid.Faults) != 1 {
			b.Errorf("%+v: %v", o, err)
		}
	}
	b.check("what was sent", []string(nil), b.sent.names())
}
