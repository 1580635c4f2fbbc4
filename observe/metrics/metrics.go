// Package metrics exports the snapshots of package observe to Prometheus.
//
//	collector := metrics.New(observer, nil)
//	prometheus.MustRegister(collector)
//
// For two schemas, register each collector with a label of its own, by
// [prometheus.WrapRegistererWith]. The page docs/observing.md lists the metrics.
package metrics

import (
	"cmp"
	"context"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/observe"
)

// Options are those of a collector. The zero value, or nil, means the defaults.
type Options struct {
	// Top is for how many tasks, queues and cron items there are metrics: those with the most
	// jobs, or the latest runs. The jobs of the others are added up under the name Other. 0
	// or less means 50.
	Top int
	// Timeout is how long a scrape waits for parts that have never been read. 0 means 5
	// seconds.
	Timeout time.Duration
	// Version is the value of the label version of gwadmin_build_info. Empty means the
	// version of this module in the program.
	Version string
}

// Other is the value of a label that stands for all tasks or queues that have none of their
// own.
const Other = "(other)"

// New returns a collector of an observer's snapshots. A scrape waits no longer than
// Options.Timeout and [observe.Options].MaxWait. What cannot be read in time is what was read
// before, or missing. gwadmin_up and gwadmin_collector_success say so; a scrape never fails.
func New(observer *observe.Observer, options *Options) prometheus.Collector {
	c := &collector{observer: observer}
	if options != nil {
		c.options = *options
	}
	c.options.Top = cmp.Or(max(c.options.Top, 0), 50)
	c.options.Timeout = cmp.Or(c.options.Timeout, 5*time.Second)
	c.options.Version = cmp.Or(c.options.Version, version())
	return c
}

// version is the version of this module in the program.
func version() string {
	const module = "github.com/gwadmin/gwadmin"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module {
			return cmp.Or(m.Version, "(devel)")
		}
	}
	return "unknown"
}

type collector struct {
	observer *observe.Observer
	options  Options
}

// A metric is a metric's description with its type.
type metric struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

// all are the metrics, in the order of their declaration.
var all []metric

func declare(kind prometheus.ValueType, name, help string, labels ...string) metric {
	m := metric{prometheus.NewDesc(name, help, labels, nil), kind}
	all = append(all, m)
	return m
}

func gauge(name, help string, labels ...string) metric {
	return declare(prometheus.GaugeValue, name, help, labels...)
}

func counter(name, help string, labels ...string) metric {
	return declare(prometheus.CounterValue, name, help, labels...)
}

var (
	jobs        = gauge("graphile_worker_jobs", "Jobs by state.", "state")
	jobsMargin  = gauge("graphile_worker_jobs_margin", "How far off graphile_worker_jobs may be, in 95 of 100 cases; 0 if it is exact.", "state")
	taskJobs    = gauge("graphile_worker_task_jobs", "Jobs by task and state, of the tasks with the most jobs.", "task", "state")
	queueJobs   = gauge("graphile_worker_queue_jobs", "Jobs by queue and state, of the queues with the most jobs, if asked for.", "queue", "state")
	dueJobs     = gauge("graphile_worker_due_jobs", "Jobs that are due and not taken, counted up to 10001.")
	oldestReady = gauge("graphile_worker_oldest_ready_age_seconds", "How long the oldest ready job has been due; 0 if no job is ready.")
	nextRun     = gauge("graphile_worker_next_run_timestamp_seconds", "When the next job becomes due; missing if there is none.")

	lockHolders  = gauge("graphile_worker_lock_holders", "Workers that hold locks; stale are those with a lock older than four hours.", "state")
	oldestLock   = gauge("graphile_worker_oldest_lock_age_seconds", "Age of the oldest lock of a job or queue; 0 if there is none.")
	lockedQueues = gauge("graphile_worker_locked_queues", "Queues of which a worker holds a job.")
	pausedQueues = gauge("graphile_worker_paused_queues", "Queues that are paused: no job of them starts.")

	cronLast = gauge("graphile_worker_cron_last_execution_timestamp_seconds", "When a cron item last ran; missing if it never has.", "identifier")

	inserted = counter("graphile_worker_table_rows_inserted_total", "Rows inserted, including those of transactions that were rolled back.", "table")
	updated  = counter("graphile_worker_table_rows_updated_total", "Rows updated, including those of transactions that were rolled back.", "table")
	deleted  = counter("graphile_worker_table_rows_deleted_total", "Rows deleted, including those of transactions that were rolled back.", "table")
	live     = gauge("graphile_worker_table_live_rows", "Rows of a table, as the server estimates.", "table")
	dead     = gauge("graphile_worker_table_dead_rows", "Rows that vacuum has not removed yet, as the server estimates.", "table")

	lastVacuum      = gauge("graphile_worker_table_last_vacuum_timestamp_seconds", "When a table was last vacuumed by hand; missing if never.", "table")
	lastAutovacuum  = gauge("graphile_worker_table_last_autovacuum_timestamp_seconds", "When a table was last vacuumed by autovacuum; missing if never.", "table")
	lastAnalyze     = gauge("graphile_worker_table_last_analyze_timestamp_seconds", "When a table was last analyzed by hand; missing if never.", "table")
	lastAutoanalyze = gauge("graphile_worker_table_last_autoanalyze_timestamp_seconds", "When a table was last analyzed by autovacuum; missing if never.", "table")

	tableSize  = gauge("graphile_worker_table_size_bytes", "Size of a table without its indexes.", "table")
	indexSize  = gauge("graphile_worker_index_size_bytes", "Size of an index.", "table", "index")
	indexScans = counter("graphile_worker_index_scans_total", "Scans of an index.", "table", "index")

	oldestTransaction = gauge("graphile_worker_oldest_transaction_age_seconds", "Age of the oldest transaction that the role can see in the database; 0 if there is none.")
	notifyQueue       = gauge("graphile_worker_notify_queue_usage_ratio", "The used part of the server's queue of notifications.")

	revision    = gauge("graphile_worker_schema_revision", "The newest revision of the schema.")
	supported   = gauge("graphile_worker_schema_supported", "Whether the schema is at a revision that this gwadmin works with.")
	differences = gauge("graphile_worker_schema_differences", "Differences of the schema from the one that the migrations build.")
	rowsVisible = gauge("graphile_worker_rows_visible", "Whether row security lets the role see all jobs, queues and tasks.")

	build            = gauge("gwadmin_build_info", "1, with the versions of gwadmin and Go.", "version", "goversion")
	up               = gauge("gwadmin_up", "Whether the database answered the last time it was asked.")
	collectorSuccess = gauge("gwadmin_collector_success", "Whether the last reading of a part of the snapshot succeeded.", "collector")
	collectorTook    = gauge("gwadmin_collector_duration_seconds", "How long the last reading of a part took.", "collector")
	collectorLast    = gauge("gwadmin_collector_last_success_timestamp_seconds", "When a part was last read; missing if never.", "collector")
	collectorEvery   = gauge("gwadmin_collector_interval_seconds", "How often a part is read at most.", "collector")
)

func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range all {
		descs <- m.Desc
	}
}

func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), c.options.Timeout)
	defer cancel()
	out := sink(metrics)
	out.put(build, 1, c.options.Version, runtime.Version())
	s, err := c.observer.Snapshot(ctx)
	if err != nil {
		out.put(up, 0)
		return
	}
	out.put(up, truth(s.Activity.Err == nil))
	for name, part := range s.Parts() {
		out.put(collectorSuccess, truth(part.Err == nil), name)
		out.put(collectorTook, part.TookSeconds, name)
		out.put(collectorEvery, part.IntervalSeconds, name)
		if part.AsOf != nil {
			out.put(collectorLast, timestamp(s.TakenAt)-part.AgeSeconds, name)
		}
	}
	c.due(out, &s.Due)
	c.counts(out, &s.Counts)
	c.activity(out, &s.Activity)
	c.locks(out, &s.Locks)
	c.sizes(out, &s.Sizes)
	c.health(out, &s.Health)
}

func (c *collector) due(out sink, due *observe.Due) {
	if due.AsOf == nil {
		return
	}
	out.put(dueJobs, float64(due.Jobs))
	out.put(oldestReady, due.OldestReadyAge().Seconds())
	out.time(nextRun, due.NextRunAt)
	crontabs := slices.DeleteFunc(slices.Clone(due.Crontabs), func(c admin.Crontab) bool { return c.LastExecution == nil })
	slices.SortStableFunc(crontabs, func(a, b admin.Crontab) int { return b.LastExecution.Compare(*a.LastExecution) })
	for _, crontab := range crontabs[:min(len(crontabs), c.options.Top)] {
		out.time(cronLast, crontab.LastExecution, crontab.Identifier)
	}
}

func (c *collector) counts(out sink, counts *observe.Counts) {
	if counts.Stats == nil {
		return
	}
	var margins admin.Counts
	unseen := int64(0)
	if estimate := counts.Stats.Estimate; estimate != nil {
		margins, unseen = estimate.Jobs, estimate.Unseen
	}
	for _, state := range admin.States {
		out.put(jobs, float64(counts.Stats.Jobs[state]), string(state))
		margin, seen := margins[state]
		if !seen {
			margin = unseen
		}
		out.put(jobsMargin, float64(margin), string(state))
	}
	c.top(out, taskJobs, counts.Stats.Tasks)
	c.top(out, queueJobs, counts.Stats.Queues)
}

// top puts the numbers of those with the most jobs, and the sum of the others.
func (c *collector) top(out sink, m metric, counts map[string]admin.Counts) {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b].Total(), counts[a].Total()), cmp.Compare(a, b))
	})
	shown := map[string]admin.Counts{}
	for i, name := range names {
		label := text(name)
		if i >= c.options.Top {
			label = Other
		}
		if shown[label] == nil {
			shown[label] = admin.Counts{}
		}
		for state, n := range counts[name] {
			shown[label][state] += n
		}
	}
	for label, counts := range shown {
		for _, state := range admin.States {
			out.put(m, float64(counts[state]), label, string(state))
		}
	}
}

func (c *collector) activity(out sink, a *observe.Activity) {
	if a.AsOf == nil {
		return
	}
	for _, t := range a.Tables {
		out.put(inserted, float64(t.Inserted), t.Name)
		out.put(updated, float64(t.Updated), t.Name)
		out.put(deleted, float64(t.Deleted), t.Name)
		out.put(live, float64(t.Live), t.Name)
		out.put(dead, float64(t.Dead), t.Name)
		out.time(lastVacuum, t.LastVacuum, t.Name)
		out.time(lastAutovacuum, t.LastAutovacuum, t.Name)
		out.time(lastAnalyze, t.LastAnalyze, t.Name)
		out.time(lastAutoanalyze, t.LastAutoanalyze, t.Name)
	}
	out.put(oldestTransaction, a.OldestTransactionAge().Seconds())
	out.put(notifyQueue, a.NotifyQueueUsage)
}

func (c *collector) locks(out sink, locks *observe.Locks) {
	if locks.AsOf == nil {
		return
	}
	out.put(lockHolders, float64(locks.Holders), "live")
	out.put(lockHolders, float64(locks.StaleHolders), "stale")
	out.put(oldestLock, locks.OldestAge().Seconds())
	out.put(lockedQueues, float64(locks.Queues))
	out.put(pausedQueues, float64(locks.Paused))
}

func (c *collector) sizes(out sink, sizes *observe.Sizes) {
	for _, r := range sizes.Relations {
		if r.Index == "" {
			out.put(tableSize, float64(r.Bytes), r.Table)
			continue
		}
		out.put(indexSize, float64(r.Bytes), r.Table, text(r.Index))
		out.put(indexScans, float64(r.Scans), r.Table, text(r.Index))
	}
}

func (c *collector) health(out sink, health *observe.Health) {
	if health.AsOf == nil {
		return
	}
	if health.Revision != nil {
		out.put(revision, float64(*health.Revision))
	}
	out.put(supported, truth(health.Supported))
	out.put(rowsVisible, truth(health.SeesAll))
	if health.Drift != nil {
		out.put(differences, float64(len(health.Drift)))
	}
}

// A sink takes the metrics of one scrape.
type sink chan<- prometheus.Metric

func (s sink) put(m metric, value float64, labels ...string) {
	for i, label := range labels {
		if !utf8.ValidString(label) { // which Prometheus refuses
			labels[i] = strconv.Quote(label)
		}
	}
	s <- prometheus.MustNewConstMetric(m.Desc, m.kind, value, labels...)
}

// time puts a time, unless it is nil.
func (s sink) time(m metric, at *time.Time, labels ...string) {
	if at != nil {
		s.put(m, timestamp(*at), labels...)
	}
}

func timestamp(at time.Time) float64 { return float64(at.UnixMicro()) / 1e6 }

// text is a label's value, which must be UTF-8.
func text(s string) string { return strings.ToValidUTF8(s, "�") }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
