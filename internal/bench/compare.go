// Package bench measures the library against its peers: the npm package
// graphile-worker, River, hand-written SQL, and what PostgreSQL itself can do. All of it is
// benchmarks, which make bench runs.
//
// A comparison does the same work in several ways, in one run on one database. The
// ways take turns in each round, so that other load on the machine affects all of
// them. Each round gives a ratio. The result is the median of the ratios, with the
// 10th and 90th percentile. The figures of each round are printed as benchmark lines,
// which benchstat reads.
package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// A way is one way to do a piece of work.
type way struct {
	name string
	// run does the work n times and returns how long that took, without the
	// preparation. With errCapped it stopped before the work was done once, after
	// that time.
	run func(n int) (time.Duration, error)
}

// errCapped means that a way took so long that it was stopped.
var errCapped = errors.New("stopped: it took too long")

// A ratio compares two of the ways.
type ratio struct {
	ours, theirs string
	aim          aim
}

// A comparison is one piece of work of one size.
type comparison struct {
	work string // as the table calls it
	size string
	unit string // what is counted per second; empty: the time is shown
	per  int    // units of work done at once; 0 means one

	ways   []way
	ratios []ratio

	// times is how often a way does the work in a round; 0 means as often as fits
	// into a slice, at most as often as most says.
	times, most int
	warm        int           // how often it does the work before the first round; 0 means once
	rounds      int           // at least so many; 0 means minRounds
	once        time.Duration // a way that takes longer is not run again; 0 means no limit
	after       func() error  // runs after each round, and restores the table
}

const minRounds = 5

// slice is how long a way works in a round.
func slice() time.Duration {
	if testing.Short() {
		return 40 * time.Millisecond
	}
	return 300 * time.Millisecond
}

// compare runs at least the rounds of the comparison, and then until -benchtime is over.
func (c comparison) compare(b *testing.B) {
	b.Helper()
	m := newMeasurement(c, b.Name(), os.Stdout)
	for _, w := range c.ways {
		if err := m.calibrate(w); err != nil {
			b.Fatalf("%s: %v", w.name, err)
		}
	}
	round := func() {
		if err := m.round(); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		round()
	}
	least := m.rounds
	if testing.Short() {
		least = (m.rounds + 1) / 2
	}
	for m.done < least {
		round()
	}
	if testing.Short() && m.broken() { // more rounds tell whether the machine was busy
		for range 3 * m.rounds {
			round()
		}
	}
	b.ReportMetric(0, "ns/op") // leaves out the time of a round
	for _, r := range c.ratios {
		conclude(b, m.result(r))
	}
}

// conclude reports a result. In the short form it fails if the result is so far from
// its aim that something must have regressed.
func conclude(b *testing.B, r result) {
	b.Helper()
	b.ReportMetric(r.Ratio, strings.ReplaceAll(r.Ours+":"+r.Theirs, " ", "-"))
	record(r)
	if testing.Short() && r.Aim.broken(r.Ratio) && !r.TheirsCapped {
		b.Errorf("%s to %s is %s, which is far off the aim of %s", r.Ours, r.Theirs, figure(r.Ratio), r.Aim)
	}
}

// A measurement is the state of a running comparison.
type measurement struct {
	comparison
	name    string
	out     io.Writer
	counts  map[string]int           // how often each way does the work in a round
	samples map[string][]float64     // nanoseconds per unit of each way, by round
	settled map[string]time.Duration // how long the ways took that are not run again
	capped  map[string]bool          // which of those were stopped
	done    int                      // rounds
}

func newMeasurement(c comparison, name string, out io.Writer) *measurement {
	c.per = max(c.per, 1)
	if c.rounds == 0 {
		c.rounds = minRounds
	}
	return &measurement{
		comparison: c,
		name:       name,
		out:        out,
		counts:     map[string]int{},
		samples:    map[string][]float64{},
		settled:    map[string]time.Duration{},
		capped:     map[string]bool{},
	}
}

// calibrate warms a way up and measures how often it can do the work in a slice.
func (m *measurement) calibrate(w way) error {
	if m.times > 0 {
		m.counts[w.name] = m.times
		return nil
	}
	most := m.most
	if most == 0 {
		most = 1 << 20
	}
	n := max(m.warm, 1)
	took, err := w.run(n)
	switch settled, err := m.settle(w, n, took, err); {
	case err != nil || settled:
		return err
	case m.warm == 0 && took > slice():
		m.counts[w.name] = 1
		return nil
	}
	n = 1
	for {
		took, err := w.run(n)
		if settled, err := m.settle(w, n, took, err); err != nil || settled {
			return err
		}
		fits := int(float64(n) * float64(slice()) / float64(max(took, 1)))
		if n >= most || took >= slice()/4 {
			m.counts[w.name] = min(max(fits, 1), most)
			return nil
		}
		n = min(max(fits/2, n*2), n*16, most)
	}
}

// settle reports whether a way took so long for n times the work that it is not run
// again. A way that was stopped counts as having done the work once.
func (m *measurement) settle(w way, n int, took time.Duration, err error) (bool, error) {
	m.capped[w.name] = errors.Is(err, errCapped)
	switch {
	case m.capped[w.name]:
	case err != nil:
		return false, err
	case m.once == 0 || took/time.Duration(n) <= m.once:
		return false, nil
	default:
		took /= time.Duration(n)
	}
	m.settled[w.name] = took
	return true, nil
}

// round runs each way once, in another order each time.
func (m *measurement) round() error {
	for i := range m.ways {
		w := m.ways[(i+m.done)%len(m.ways)]
		n, took := 1, m.settled[w.name]
		if took == 0 {
			runtime.GC() // or this way pays for the garbage of the last one; node decides for itself
			var err error
			n = m.counts[w.name]
			took, err = w.run(n)
			settled, err := m.settle(w, n, took, err)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if settled {
				n, took = 1, m.settled[w.name]
			}
		}
		units := n * m.per
		each := float64(took) / float64(units)
		m.samples[w.name] = append(m.samples[w.name], each)
		note := ""
		if m.unit != "" {
			note = fmt.Sprintf(" %.2f %s/s", 1e9/each, m.unit)
		}
		if m.capped[w.name] {
			note += " 1 capped"
		}
		line(m.out, m.name+"/way="+w.name, units, "%.1f ns/op%s", each, note)
	}
	for _, r := range m.ratios {
		ours, theirs := m.samples[r.ours], m.samples[r.theirs]
		line(m.out, fmt.Sprintf("%s/ratio=%s:%s", m.name, r.ours, r.theirs), 1, "%.3f ratio", r.aim.value(ours[m.done], theirs[m.done]))
	}
	m.done++
	if m.after != nil {
		return m.after()
	}
	return nil
}

// line prints a benchmark's result as go test does.
func line(out io.Writer, name string, n int, format string, args ...any) {
	name = strings.ReplaceAll(name, " ", "_") // benchstat splits the line at spaces
	if procs := runtime.GOMAXPROCS(0); procs != 1 {
		name = fmt.Sprintf("%s-%d", name, procs)
	}
	fmt.Fprintf(out, "%s\t%d\t%s\n", name, n, fmt.Sprintf(format, args...))
}

// broken reports whether one of the ratios is broken; see [aim.broken].
func (m *measurement) broken() bool {
	return slices.ContainsFunc(m.ratios, func(r ratio) bool { return r.aim.broken(m.result(r).Ratio) && !m.capped[r.theirs] })
}

// result sums up a ratio.
func (m *measurement) result(r ratio) result {
	var ratios []float64
	for i := range m.done {
		ratios = append(ratios, r.aim.value(m.samples[r.ours][i], m.samples[r.theirs][i]))
	}
	return result{
		Work: m.work, Size: m.size, Unit: m.unit,
		Ours: r.ours, Theirs: r.theirs,
		OurTime: median(m.samples[r.ours]), TheirTime: median(m.samples[r.theirs]),
		Ratio: median(ratios), Low: quantile(ratios, 0.1), High: quantile(ratios, 0.9),
		OursCapped: m.capped[r.ours], TheirsCapped: m.capped[r.theirs], Aim: r.aim, Rounds: m.done,
	}
}
