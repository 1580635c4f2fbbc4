package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// BenchmarkAdder adds jobs from so many goroutines by an Adder, beside Client.AddJob,
// River's Insert, and JavaScript's addJob with as many in flight. Each has a connection for
// each goroutine, up to 64 of them.
func BenchmarkAdder(b *testing.B) {
	d := theSuite(b).database(b, adds())
	for _, goroutines := range []int{1, 8, 64, 256} {
		size := fmt.Sprintf("%d goroutines", goroutines)
		if goroutines == 1 {
			size = "1 goroutine"
		}
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) { benchmarkAdder(b, d, goroutines, size) })
		if goroutines == 64 {
			b.Run("goroutines=64/latency", func(b *testing.B) { benchmarkLatency(b, d, goroutines, size) })
		}
	}
}

func benchmarkAdder(b *testing.B, d *database, goroutines int, size string) {
	ctx, conns := b.Context(), min(goroutines, 64)
	client := admin.New(poolOf(b, d, conns))
	adding := func(name string, to admin.JobAdder) way {
		return way{name, func(n int) (time.Duration, error) { return concurrently(goroutines, n, add(ctx, to)) }}
	}
	c := comparison{
		work:   "Adder.AddJob",
		size:   size,
		unit:   "jobs",
		warm:   max(20*goroutines, 50*conns), // until each connection has its plans
		ways:   []way{adding("gwadmin", admin.NewAdder(client, nil)), adding("Client.AddJob", client)},
		ratios: []ratio{{"gwadmin", "Client.AddJob", adderByClient(goroutines)}},
		after:  func() error { return d.empty(ctx) },
	}
	with := params{"schema": theirs, "conns": conns, "inFlight": goroutines, "kind": "none"}
	peerAdding := func(name string, p *peer, method string) way {
		return way{name, func(n int) (time.Duration, error) {
			with["n"] = n
			return p.timed(method, with)
		}}
	}
	if d.river != nil {
		c.ways = append(c.ways, peerAdding("river", d.river, "insert"))
		c.ratios = append(c.ratios, ratio{"gwadmin", "river", adderByRiver(goroutines)}, ratio{"Client.AddJob", "river", none})
	}
	if d.js != nil {
		c.ways = append(c.ways, peerAdding("js", d.js, "addJob"))
		c.ratios = append(c.ratios, ratio{"gwadmin", "js", adderByJS(goroutines)})
	}
	c.compare(b)
}

// add adds a job.
func add(ctx context.Context, to admin.JobAdder) func() error {
	return func() error {
		_, err := to.AddJob(ctx, "task_1", payloadOf(1), nil)
		return err
	}
}

// benchmarkLatency compares how long a call takes, where all goroutines call as often as
// they can.
func benchmarkLatency(b *testing.B, d *database, goroutines int, size string) {
	ctx := b.Context()
	client := admin.New(poolOf(b, d, min(goroutines, 64)))
	calling := func(name string, to admin.JobAdder) way {
		return way{name, func(n int) (time.Duration, error) {
			each, err := latency(goroutines, n, add(ctx, to))
			return time.Duration(n) * each, err
		}}
	}
	comparison{
		work:   "Adder.AddJob, median latency",
		size:   size,
		times:  40 * goroutines,
		ways:   []way{calling("gwadmin", admin.NewAdder(client, nil)), calling("Client.AddJob", client)},
		ratios: []ratio{{"gwadmin", "Client.AddJob", adderLatency}},
		after:  func() error { return d.empty(ctx) },
	}.compare(b)
}

// latency does the work n times, in so many goroutines, and returns the median time that
// it took.
func latency(goroutines, n int, work func() error) (time.Duration, error) {
	var mu sync.Mutex
	var all []float64
	_, err := concurrently(goroutines, n, func() error {
		took, err := stopwatch(work)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, float64(took))
		return err
	})
	return time.Duration(median(all)), err
}
