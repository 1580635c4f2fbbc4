package bench

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if s := started.suite; s != nil {
		if err := s.close(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the server:", err)
			code = 1
		}
		if err := writeTable(s.facts); err != nil {
			fmt.Fprintln(os.Stderr, "write the table:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// The databases that benchmarks work on.
func adds() recipe       { return recipe{name: "adds", river: true} }
func addsLazily() recipe { return recipe{name: "adds_lazily", lazy: true} }
func manyJobs() recipe   { return recipe{name: "many_jobs", jobs: largeTable()} }
func fewerJobs() recipe  { return recipe{name: "fewer_jobs", jobs: largeTable() / 5, alone: true} }

// poolOf returns a pool of connections to a database.
func poolOf(b *testing.B, d *database, conns int) *pgxpool.Pool {
	b.Helper()
	pool, err := d.pool(b.Context(), conns)
	if err != nil {
		b.Fatal(err)
	}
	return pool
}

// concurrently does the work n times in all, in conns goroutines.
func concurrently(conns, n int, work func() error) (time.Duration, error) {
	var left atomic.Int64
	left.Store(int64(n))
	failures := make(chan error, conns)
	var workers sync.WaitGroup
	start := time.Now()
	for range conns {
		workers.Go(func() {
			for left.Add(-1) >= 0 {
				if err := work(); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	workers.Wait()
	took := time.Since(start)
	select {
	case err := <-failures:
		return 0, err
	default:
		return took, nil
	}
}

// stopwatch times one piece of work.
func stopwatch(work func() error) (time.Duration, error) {
	start := time.Now()
	err := work()
	return time.Since(start), err
}

// A payload is that of all jobs, here and in peer.mjs.
type payload struct {
	N    int    `json:"n"`
	Text string `json:"text"`
}

func payloadOf(n int) payload { return payload{n, "a short text that stands for a payload"} }
