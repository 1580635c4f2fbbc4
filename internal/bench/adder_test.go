package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// BenchmarkAdder adds jobs from so many goroutines by an Adder, beside Client.AddJob with a
// connection for each goroutine, up to 64 of them, and JavaScript's addJob with as many in
// flight.
func BenchmarkAdder(b *testing.B) {
	d := theSuite(b).database(b, adds())
	for _, goroutines := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) { benchmarkAdder(b, d, goroutines) })
	}
}

func benchmarkAdder(b *testing.B, d *database, goroutines int) {
	ctx, pool := b.Context(), poolOf(b, d, min(goroutines, 64))
	client := admin.New(pool)
	adder := admin.NewAdder(client, nil)
	defer adder.Close(ctx)
	var count atomic.Int64
	latencies := map[string][]time.Duration{}
	add := func(name string, to admin.JobAdder) way {
		return way{name, func(n int) (time.Duration, error) {
			var mu sync.Mutex
			latencies[name] = nil
			return concurrently(goroutines, n, func() error {
				once, err := stopwatch(func() error {
					_, err := to.AddJob(context.WithoutCancel(ctx), "task_1", payloadOf(int(count.Add(1))), nil)
					return err
				})
				mu.Lock()
				latencies[name] = append(latencies[name], once)
				mu.Unlock()
				return err
			})
		}}
	}
	c := comparison{
		work:   "Adder.AddJob",
		size:   fmt.Sprintf("%d goroutines", goroutines),
		unit:   "jobs",
		warm:   20 * goroutines,
		ways:   []way{add("gwadmin", adder), add("Client.AddJob", client)},
		ratios: []ratio{{"gwadmin", "Client.AddJob", adderByClient(goroutines)}},
		after:  func() error { return d.empty(ctx) },
	}
	if d.js != nil {
		c.ways = append(c.ways, way{"js", func(n int) (time.Duration, error) {
			return d.js.timed("addJob", params{"schema": theirs, "conns": min(goroutines, 64), "kind": "none", "n": n})
		}})
		c.ratios = append(c.ratios, ratio{"gwadmin", "js", adderByJS(goroutines)})
	}
	c.compare(b)
	median := func(name string) float64 {
		times := make([]float64, len(latencies[name]))
		for i, took := range latencies[name] {
			times[i] = float64(took)
		}
		return quantile(times, 0.5)
	}
	ours, theirs := median("gwadmin"), median("Client.AddJob")
	conclude(b, result{
		Work: "Adder.AddJob, median latency", Size: c.size, Ours: "gwadmin", Theirs: "Client.AddJob",
		OurTime: ours, TheirTime: theirs, Ratio: ours / theirs, Low: ours / theirs, High: ours / theirs, Aim: adderLatency, Rounds: 1,
	})
}
