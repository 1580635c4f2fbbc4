package bench

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	for _, tc := range []struct {
		reason string
		values []float64
		q      float64
		want   float64
	}{
		{"one value is all quantiles", []float64{7}, 0.9, 7},
		{"the middle of three, in any order", []float64{9, 1, 2}, 0.5, 2},
		{"between two", []float64{1, 2}, 0.5, 1.5},
		{"nearer to the last", []float64{0, 10}, 0.9, 9},
		{"the least", []float64{3, 1, 2}, 0, 1},
		{"the greatest", []float64{3, 1, 2}, 1, 3},
	} {
		if got := quantile(tc.values, tc.q); got != tc.want {
			t.Errorf("%s: got %g, want %g", tc.reason, got, tc.want)
		}
	}
}

func TestAim(t *testing.T) {
	for _, tc := range []struct {
		reason      string
		aim         aim
		ratio       float64
		met, broken bool
	}{
		{"better than asked for", atLeast(2), 3, true, false},
		{"just as asked for", atLeast(2), 2, true, false},
		{"missed", atLeast(2), 1.5, false, false},
		{"half of it", atLeast(2), 1, false, false},
		{"less than half", atLeast(2), 0.99, false, true},
		{"quick enough", atMost(1.5), 1.5, true, false},
		{"too slow", atMost(1.5), 2, false, false},
		{"twice too slow", atMost(1.5), 3.01, false, true},
		{"missed, and not yet alarming", atLeast(2).alarming(0.5), 0.6, false, false},
		{"missed, and alarming", atLeast(2).alarming(0.5), 0.4, false, true},
		{"nothing asked for", none, 0.001, true, false},
	} {
		if tc.aim.met(tc.ratio) != tc.met || tc.aim.broken(tc.ratio) != tc.broken {
			t.Errorf("%s: %g of %s is met: %t, broken: %t", tc.reason, tc.ratio, tc.aim, !tc.met, !tc.broken)
		}
	}
	if got := atLeast(1).value(2, 6); got != 3 {
		t.Errorf("2 ns against 6 ns is %g times the throughput", got)
	}
	if got := atMost(1).value(6, 2); got != 3 {
		t.Errorf("6 ns against 2 ns is %g times the time", got)
	}
}

// constant is a way that always takes the same time, and records each run.
func constant(name string, each time.Duration, runs *[]string) way {
	return way{name, func(n int) (time.Duration, error) {
		*runs = append(*runs, name)
		return time.Duration(n) * each, nil
	}}
}

func TestMeasurement(t *testing.T) {
	var runs []string
	var out bytes.Buffer
	m := newMeasurement(comparison{
		work: "work", size: "size", unit: "jobs", per: 10,
		ways: []way{
			constant("gwadmin", time.Millisecond, &runs),
			constant("js", 3*time.Millisecond, &runs),
			{"never", func(int) (time.Duration, error) {
				runs = append(runs, "never")
				return time.Minute, errCapped
			}},
		},
		ratios: []ratio{
			{"gwadmin", "js", atLeast(4)}, {"gwadmin", "never", atLeast(1)},
			{"never", "js", atLeast(1)}, {"never", "js", atMost(1)},
		},
	}, "BenchmarkWork", &out)
	for _, w := range m.ways {
		if err := m.calibrate(w); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := m.counts["gwadmin"], int(slice()/time.Millisecond); got != want {
		t.Errorf("a slice is for %d times the work, want %d", got, want)
	}

	runs = nil
	for range 3 {
		if err := m.round(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"gwadmin", "js", "js", "gwadmin", "gwadmin", "js"}
	if diff := cmp.Diff(want, runs); diff != "" {
		t.Errorf("the ways' turns, of which never has none: -want +got\n%s", diff)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 3*(3+4) {
		t.Errorf("%d lines for three rounds:\n%s", lines, &out)
	}

	var cells [][]string
	for _, r := range m.ratios {
		cells = append(cells, m.result(r).cells())
	}
	wantCells := [][]string{
		{"work", "size", "js", "10 000 jobs/s", "3 330 jobs/s", "3.00", "≥ 4, missed"},
		{"work", "size", "never", "10 000 jobs/s", "stopped: < 0.17 jobs/s", "> 60 000", "≥ 1"},
		{"work", "size", "js", "never: stopped: < 0.17 jobs/s", "3 330 jobs/s", "< 0.00", "≥ 1, missed"},
		{"work", "size", "js", "never: stopped: < 0.17 jobs/s", "3 330 jobs/s", "> 20 000", "≤ 1, missed"},
	}
	if diff := cmp.Diff(wantCells, cells); diff != "" {
		t.Errorf("the table: -want +got\n%s", diff)
	}
}

func TestMeasurementSettles(t *testing.T) {
	var runs []string
	m := newMeasurement(comparison{
		once: time.Second, most: 4,
		ways: []way{constant("slow", 2*time.Second, &runs), constant("quick", time.Microsecond, &runs)},
	}, "", &bytes.Buffer{})
	for _, w := range m.ways {
		if err := m.calibrate(w); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := m.round(); err != nil {
			t.Fatal(err)
		}
	}
	if slow := slices.Index(runs, "quick"); slow != 1 || slices.Contains(runs[slow:], "slow") {
		t.Errorf("what takes long is done once, and not in every round: %v", runs)
	}
	want := map[string][]float64{"slow": {2e9, 2e9}, "quick": {1e3, 1e3}}
	if diff := cmp.Diff(want, m.samples); diff != "" {
		t.Errorf("its time counts in every round: -want +got\n%s", diff)
	}
}

func TestMeasurementFails(t *testing.T) {
	broken := errors.New("broken")
	m := newMeasurement(comparison{times: 1, ways: []way{{"gwadmin", func(int) (time.Duration, error) { return 0, broken }}}}, "", &bytes.Buffer{})
	if err := m.calibrate(m.ways[0]); err != nil {
		t.Errorf("what is done a given number of times is not tried before: %v", err)
	}
	if err := m.round(); !errors.Is(err, broken) {
		t.Errorf("round: got %v, want the way's error", err)
	}
}

func TestLine(t *testing.T) {
	var out bytes.Buffer
	line(&out, "BenchmarkListJobs/way=page 1", 3, "%.1f ns/op", 1.5)
	fields := strings.Fields(out.String())
	if len(fields) != 4 || !strings.HasPrefix(fields[0], "BenchmarkListJobs/way=page_1") || !slices.Equal(fields[1:], []string{"3", "1.5", "ns/op"}) {
		t.Errorf("benchstat would not understand %q", &out)
	}
}

func TestFigures(t *testing.T) {
	for n, want := range map[float64]string{
		0.123: "0.12", 1: "1.00", 12.34: "12.3", 123.4: "123", 999.6: "1000", 1234: "1 230", 1_235_000: "1 240 000",
	} {
		if got := figure(n); got != want {
			t.Errorf("figure(%g): got %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1 000", 5_000_000: "5 000 000"} {
		if got := count(n); got != want {
			t.Errorf("count(%d): got %q, want %q", n, got, want)
		}
	}
}

func TestTransactionsPerSecond(t *testing.T) {
	for _, out := range []string{
		"latency average = 1 ms\ntps = 1234.5 (without initial connection time)\n",
		"tps = 900.1 (including connections establishing)\ntps = 1234.5 (excluding connections establishing)\n", // before 14
	} {
		if got, err := tpsOf([]byte(out)); got != 1234.5 || err != nil {
			t.Errorf("%q: got %g and %v", out, got, err)
		}
	}
	if _, err := tpsOf([]byte("pgbench: error\n")); err == nil {
		t.Error("no figure is read from an error")
	}
}

func TestDeck(t *testing.T) {
	d := newDeck(10)
	first, second := d.deal(4), d.deal(6)
	all := slices.Concat(first, second)
	if slices.IsSorted(all) {
		t.Errorf("the ids are in order: %v", all)
	}
	slices.Sort(all)
	if diff := cmp.Diff([]int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, all); diff != "" {
		t.Errorf("ids dealt before any comes again: -want +got\n%s", diff)
	}
	if got := len(d.deal(7)); got != 7 {
		t.Errorf("then %d ids are dealt anew, want 7", got)
	}
}
