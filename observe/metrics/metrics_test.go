package metrics_test

import (
	"cmp"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/observe"
	"github.com/gwadmin/gwadmin/observe/metrics"
)

// A bench is a database of one test with a registry of its metrics.
type bench struct {
	testing.TB
	pool     *pgxpool.Pool
	registry *prometheus.Registry
}

func newBench(tb testing.TB, options *metrics.Options) *bench {
	tb.Helper()
	pool := pgtest.Pool(tb, testdb.Ours(""))
	always := observe.Pace{Interval: time.Nanosecond, Timeout: 30 * time.Second}
	observer, err := observe.New(pool, &observe.Options{Fast: always, Counting: always, Slow: always, Queues: true, ErrorShapes: 3, MaxWait: time.Minute})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(observer.Close)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.New(observer, options))
	return &bench{tb, pool, registry}
}

func (b *bench) exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.pool.Exec(b.Context(), sql, args...); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

// gather returns the values of all metrics by name and labels, as Prometheus writes them.
func (b *bench) gather() map[string]float64 {
	b.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, label := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
			}
			name := family.GetName()
			if labels != nil {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			values[name] = cmp.Or(m.Gauge.GetValue(), m.Counter.GetValue())
		}
	}
	return values
}

// check compares values. Ages and times within a minute are equal.
func (b *bench) check(what string, want, got map[string]float64) {
	b.Helper()
	roughly := gocmp.FilterPath(func(p gocmp.Path) bool {
		step, ok := p.Last().(gocmp.MapIndex)
		return ok && regexp.MustCompile(`_(age|timestamp|duration)_seconds`).MatchString(step.Key().String())
	}, gocmp.Comparer(func(x, y float64) bool { return -60 < x-y && x-y < 60 }))
	if diff := gocmp.Diff(want, got, roughly); diff != "" {
		b.Errorf("%s: -want +got\n%s", what, diff)
	}
}

// Every metric is there, with the values of the snapshot.
func TestMetrics(t *testing.T) {
	t.Parallel()
	b := newBench(t, &metrics.Options{Version: "v1.2.3"})
	b.exec(testdb.Kinds)
	for b.gather()[`graphile_worker_table_rows_inserted_total{table="jobs"}`] < 13 { // the server's statistics come later
		time.Sleep(20 * time.Millisecond)
	}
	b.exec("vacuum analyze graphile_worker._private_jobs")
	got := b.gather()
	for got[`graphile_worker_table_last_analyze_timestamp_seconds{table="jobs"}`] == 0 {
		time.Sleep(20 * time.Millisecond)
		got = b.gather()
	}
	sizes := 0
	for name, value := range got {
		if strings.Contains(name, "_size_bytes{") && value > 0 || strings.Contains(name, "_index_scans_total{") {
			sizes++
			delete(got, name)
		}
	}
	if sizes != 4+9+9 { // tables, indexes, their scans
		t.Errorf("%d sizes and scans", sizes)
	}
	now := float64(time.Now().Unix())
	want := map[string]float64{
		`gwadmin_build_info{goversion="` + runtime.Version() + `",version="v1.2.3"}`: 1,
		"gwadmin_up":                                                                  1,
		"graphile_worker_due_jobs":                                                    4,
		"graphile_worker_oldest_ready_age_seconds":                                    20 * 60,
		"graphile_worker_next_run_timestamp_seconds":                                  now + 5*60,
		`graphile_worker_lock_holders{state="live"}`:                                  1,
		`graphile_worker_lock_holders{state="stale"}`:                                 1,
		"graphile_worker_oldest_lock_age_seconds":                                     6 * 3600,
		"graphile_worker_locked_queues":                                               2,
		"graphile_worker_paused_queues":                                               1,
		`graphile_worker_cron_last_execution_timestamp_seconds{identifier="nightly"}`: now - 3*3600,
		"graphile_worker_oldest_transaction_age_seconds":                              0,
		"graphile_worker_notify_queue_usage_ratio":                                    0,
		"graphile_worker_schema_revision":                                             20,
		"graphile_worker_schema_supported":                                            1,
		"graphile_worker_schema_differences":                                          0,
		"graphile_worker_rows_visible":                                                1,
		`graphile_worker_table_last_vacuum_timestamp_seconds{table="jobs"}`:           now,
		`graphile_worker_table_last_analyze_timestamp_seconds{table="jobs"}`:          now,
	}
	for _, part := range []string{"due", "activity", "counts", "locks", "sizes", "health", "errors"} {
		want[`gwadmin_collector_success{collector="`+part+`"}`] = 1
		want[`gwadmin_collector_duration_seconds{collector="`+part+`"}`] = 0
		want[`gwadmin_collector_last_success_timestamp_seconds{collector="`+part+`"}`] = now
		want[`gwadmin_collector_interval_seconds{collector="`+part+`"}`] = 1e-9
	}
	states := func(name, label string, counts map[string]float64) {
		for _, state := range admin.States {
			want[fmt.Sprintf(name, fmt.Sprintf(label, state))] = counts[string(state)]
		}
	}
	states("graphile_worker_jobs{%s}", "state=%q", map[string]float64{
		"ready": 2, "waiting": 1, "scheduled": 2, "retrying": 1, "running": 1, "stale": 1, "permafailed": 4, "paused": 1,
	})
	states("graphile_worker_jobs_margin{%s}", "state=%q", nil)
	states("graphile_worker_task_jobs{%s,task=\"send\"}", "state=%q", map[string]float64{"ready": 2, "running": 1, "stale": 1, "permafailed": 4})
	states("graphile_worker_task_jobs{%s,task=\"resize\"}", "state=%q", map[string]float64{"waiting": 1, "scheduled": 2, "retrying": 1, "paused": 1})
	states("graphile_worker_queue_jobs{queue=\"closed\",%s}", "state=%q", map[string]float64{"paused": 1})
	states("graphile_worker_queue_jobs{queue=\"free\",%s}", "state=%q", map[string]float64{"ready": 1})
	states("graphile_worker_queue_jobs{queue=\"held\",%s}", "state=%q", map[string]float64{"waiting": 1, "running": 1})
	for table, rows := range map[string]float64{"jobs": 13, "job_queues": 4, "tasks": 2, "known_crontabs": 2} {
		want[`graphile_worker_table_rows_inserted_total{table="`+table+`"}`] = rows
		want[`graphile_worker_table_rows_updated_total{table="`+table+`"}`] = 0
		want[`graphile_worker_table_rows_deleted_total{table="`+table+`"}`] = 0
		want[`graphile_worker_table_live_rows{table="`+table+`"}`] = rows
		want[`graphile_worker_table_dead_rows{table="`+table+`"}`] = 0
	}
	b.check("metrics", want, got)
}

// The tasks and queues with the most jobs have metrics, and the others one together, whatever
// their names are.
func TestTop(t *testing.T) {
	t.Parallel()
	b := newBench(t, &metrics.Options{Top: 2})
	b.exec(`insert into graphile_worker._private_tasks (identifier) values ('a'), ('b'), ('c'), ('d'), ('(other)')`)
	b.exec(`insert into graphile_worker._private_job_queues (queue_name) select 'queue ' || i from generate_series(1, 100) as i`)
	b.exec(`insert into graphile_worker._private_jobs (task_id, job_queue_id)
		select task, case when task = 1 then n end from generate_series(1, 5) as task, generate_series(1, case task when 5 then 20 else 10 * task end) as n`)
	b.exec(`insert into graphile_worker._private_known_crontabs (identifier, known_since, last_execution)
		select 'item ' || i, now(), now() - i * interval '1 minute' from generate_series(1, 10) as i`)
	got := map[string]float64{}
	for name, value := range b.gather() {
		if value > 0 && (strings.Contains(name, "task_jobs") || strings.Contains(name, "queue_jobs") || strings.Contains(name, "cron_last")) {
			got[name] = value
		}
	}
	now := float64(time.Now().Unix())
	b.check("metrics", map[string]float64{
		`graphile_worker_task_jobs{state="ready",task="d"}`:                          40,
		`graphile_worker_task_jobs{state="ready",task="c"}`:                          30,
		`graphile_worker_task_jobs{state="ready",task="(other)"}`:                    50,
		`graphile_worker_queue_jobs{queue="queue 1",state="ready"}`:                  1,
		`graphile_worker_queue_jobs{queue="queue 10",state="ready"}`:                 1,
		`graphile_worker_queue_jobs{queue="(other)",state="ready"}`:                  8,
		`graphile_worker_cron_last_execution_timestamp_seconds{identifier="item 1"}`: now - 60,
		`graphile_worker_cron_last_execution_timestamp_seconds{identifier="item 2"}`: now - 120,
	}, got)
}

// Without the database a scrape says so, and nothing else.
func TestDown(t *testing.T) {
	t.Parallel()
	b := newBench(t, &metrics.Options{Version: "v1.2.3"})
	b.pool.Close()
	want := map[string]float64{`gwadmin_build_info{goversion="` + runtime.Version() + `",version="v1.2.3"}`: 1, "gwadmin_up": 0}
	for _, part := range []string{"due", "activity", "counts", "locks", "sizes", "health", "errors"} {
		want[`gwadmin_collector_success{collector="`+part+`"}`] = 0
		want[`gwadmin_collector_duration_seconds{collector="`+part+`"}`] = 0
		want[`gwadmin_collector_interval_seconds{collector="`+part+`"}`] = 1e-9
	}
	b.check("metrics", want, b.gather())
}

// A schema that is not installed has no numbers, which are not zero.
func TestNotInstalled(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.exec("drop schema graphile_worker cascade")
	got := b.gather()
	for name := range got {
		if strings.HasPrefix(name, "gwadmin_") {
			delete(got, name)
		}
	}
	b.check("metrics", map[string]float64{
		"graphile_worker_schema_supported": 0, "graphile_worker_rows_visible": 0,
		"graphile_worker_oldest_transaction_age_seconds": 0, "graphile_worker_notify_queue_usage_ratio": 0,
	}, got)
}

// The names are as Prometheus wants them.
func TestNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.exec(testdb.Kinds)
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}
