package metrics_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/observe"
	"github.com/gwadmin/gwadmin/observe/metrics"
)

// FuzzOptions gives any options to an observer and a collector, on a queue with any names.
// The options are refused, or a scrape works.
func FuzzOptions(f *testing.F) {
	f.Add("", "", int64(0), int64(0), int64(0), 0, 0, false, "", "send", "q", "boom")
	f.Add("graphile_worker", "exact", int64(time.Hour), int64(time.Second), int64(1), 1, 3, true, "v1.2.3", "(other)", "(other)", "b\x01")
	f.Add("", "", int64(0), int64(0), int64(0), 0, 0, false, "\xff", "\u2028\"", "a\nb\\", "\x01")
	f.Add("none", "estimate", int64(1), int64(1), int64(-1), -1, 1000, true, "\xff", "a\"b\\c\n", "é\u2028", "\ufeff")
	f.Add("\x00", "Exact", int64(-1), int64(-1), int64(1<<62), 1<<62, -1, false, "\"", " ", "gwadmin:paused:", "{}")
	pool := pgtest.Pool(f, testdb.Ours(""))
	client := admin.New(pool)
	f.Fuzz(func(t *testing.T, schema, count string, interval, timeout, wait int64, top, shapes int, queues bool, version, task, queue, failure string) {
		pace := observe.Pace{Interval: time.Duration(interval), Timeout: time.Duration(timeout)}
		observer, err := observe.New(pool, &observe.Options{
			Schema: schema, Fast: pace, Counting: pace, Slow: pace, Count: observe.Counting(count), Queues: queues, ErrorShapes: shapes, MaxWait: time.Duration(wait),
		})
		if err != nil {
			return
		}
		defer observer.Close()
		if job, err := client.AddJob(t.Context(), task, nil, &admin.AddJobOptions{QueueName: &queue}); err == nil {
			defer func() { _, _ = client.CompleteJobs(t.Context(), []int64{job.ID}, nil) }()
			_, _ = client.FailJobs(t.Context(), []int64{job.ID}, &failure, nil)
		}
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(metrics.New(observer, &metrics.Options{Top: top, Timeout: time.Duration(wait), Version: version}))
		families, err := registry.Gather()
		if err != nil || len(families) == 0 {
			t.Fatalf("%d metrics: %v", len(families), err)
		}
	})
}
