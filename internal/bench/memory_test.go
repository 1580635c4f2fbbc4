package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
)

const mega = 1e6

// BenchmarkMemory completes a tenth of the ids and all of them, and measures the peak
// memory: of the server's process, without shared memory and what it has when idle, and
// of this process, without the ids and the sorted copy that a call makes.
func BenchmarkMemory(b *testing.B) {
	d := theSuite(b).database(b, manyJobs())
	many := 1_000_000
	if testing.Short() {
		many = 20_000
	}
	few := max(many/10, 10_000) // more than a batch
	if _, err := privateMemory(os.Getpid()); err != nil {
		b.Skip(err) // only Linux tells
	}
	deck := newDeck(largeTable())

	samples := map[string][]float64{}
	for b.Loop() {
		fewHere, _, err := memoryOf(b, d, deck.deal(few))
		if err != nil {
			b.Fatal(err)
		}
		manyHere, manyThere, err := memoryOf(b, d, deck.deal(many))
		if err != nil {
			b.Fatal(err)
		}
		samples["few"] = append(samples["few"], fewHere)
		samples["many"] = append(samples["many"], manyHere)
		samples["server"] = append(samples["server"], manyThere)
		samples["flat"] = append(samples["flat"], manyHere/fewHere)
		if d.js != nil {
			here, there, err := memoryOfPeer(b, d, deck.deal(many))
			if err != nil {
				b.Fatal(err)
			}
			samples["js"] = append(samples["js"], here)
			samples["by js"] = append(samples["by js"], manyHere/here)
			samples["js server"] = append(samples["js server"], there)
		}
	}
	b.ReportMetric(0, "ns/op")
	report := func(what, ours, theirs, ratios, name string, aim aim) {
		conclude(b, result{
			Work: "Complete by ids, " + what, Size: fmt.Sprintf("%s of %s jobs", count(many), count(largeTable())),
			Ours: "gwadmin", Theirs: name, Aim: aim,
			Ratio: median(samples[ratios]), Low: quantile(samples[ratios], 0.1), High: quantile(samples[ratios], 0.9),
			Figures: &[2]string{figure(median(samples[ours])) + " MB", figure(median(samples[theirs])) + " MB"},
		})
	}
	report("server's memory in MB", "server", "js server", "server", "js", serverMemory)
	report("client's memory", "many", "js", "by js", "js", none)
	report("client's memory", "many", "few", "flat", count(few)+" ids", clientMemory)
}

// memoryOf completes jobs on a new connection and returns the peak memory in megabytes
// of this process and of the server's.
func memoryOf(b *testing.B, d *database, ids []int64) (here, there float64, err error) {
	ctx := b.Context()
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close(ctx)
	client := admin.New(conn)
	work := func(ids []int64) error {
		return rolledBack(ctx, conn, func(tx pgx.Tx) error {
			return all(ids)(client.WithTx(tx).CompleteJobs(ctx, ids, &admin.ChangeOptions{Return: admin.ReturnCount}))
		})
	}
	if err := work(ids[:10]); err != nil { // fills the caches before memory is measured
		return 0, 0, err
	}
	// Garbage is collected early, or the figure would depend on when.
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	runtime.GC()
	server := func() (float64, error) { return privateMemory(int(conn.PgConn().PID())) }
	here, there, err = peaks(heap, server, func() error { return work(ids) })
	const idSize = 8
	return here - float64(idSize*len(ids))/mega, there, err
}

// memoryOfPeer does the same in a new node process.
func memoryOfPeer(b *testing.B, d *database, ids []int64) (here, there float64, err error) {
	js, err := startJS(b.Context(), d.url)
	if err != nil {
		return 0, 0, err
	}
	defer js.Close()
	work := func(ids []int64) error {
		return js.call("change", params{
			"schema": theirs, "method": "completeJobs", "args": []any{}, "batches": asText([][]int64{ids}), "undo": true,
		}, nil)
	}
	var pid int
	if err := errors.Join(work(ids[:10]), js.call("pid", params{"schema": theirs}, &pid)); err != nil {
		return 0, 0, err
	}
	node := func() (float64, error) { return privateMemory(js.PID()) }
	server := func() (float64, error) { return privateMemory(pid) }
	return peaks(node, server, func() error { return work(ids) })
}

// peaks returns the greatest growth in megabytes of two measures during the work.
func peaks(first, second func() (float64, error), work func() error) (float64, float64, error) {
	firstIdle, firstErr := first()
	secondIdle, secondErr := second()
	if err := errors.Join(firstErr, secondErr); err != nil {
		return 0, 0, err
	}
	firstPeak, secondPeak := firstIdle, secondIdle
	done := make(chan error, 1)
	go func() { done <- work() }()
	for {
		select {
		case err := <-done:
			return (firstPeak - firstIdle) / mega, (secondPeak - secondIdle) / mega, err
		case <-time.After(2 * time.Millisecond):
		}
		now, _ := first()
		firstPeak = max(firstPeak, now)
		now, _ = second()
		secondPeak = max(secondPeak, now)
	}
}

func rolledBack(ctx context.Context, conn *pgx.Conn, work func(tx pgx.Tx) error) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	return work(tx)
}

// heap returns the bytes of this process's heap, garbage included.
func heap() (float64, error) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return float64(sample[0].Value.Uint64()), nil
}

// privateMemory returns the bytes of a process that are not shared.
func privateMemory(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for text := range strings.Lines(string(status)) {
		if fields := strings.Fields(text); len(fields) == 3 && fields[0] == "RssAnon:" {
			kilobytes, err := strconv.ParseFloat(fields[1], 64)
			return kilobytes * 1024, err
		}
	}
	return 0, errors.New("the kernel does not say how much memory a process has for itself")
}
