package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gwadmin/gwadmin/admin"
)

// A terminal shows bars that fit it.
func TestStatsTerminal(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	var text strings.Builder
	for _, columns := range []int{120, 72, 40} {
		got := onTerminal(t, s.env("NO_COLOR=1"), columns, "stats", "--errors", "1").wait()
		checkCode(t, exitOK, got)
		for line := range strings.Lines(got.Stdout) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\r\n")); n > columns && !strings.HasPrefix(line, "no room for ") {
				t.Errorf("%d columns, of a line that has %d: %s", columns, n, line)
			}
		}
		if escapes.MatchString(got.Stdout) || !strings.Contains(got.Stdout, "█") {
			t.Errorf("coloured despite NO_COLOR, or without bars: %q", got.Stdout)
		}
		fmt.Fprintf(&text, "%d columns\n%s", columns, normal(got.Stdout))
	}
	golden(t, "stats/terminal.txt", text.String())

	off := s.run("stats", "--errors", "1")
	if strings.ContainsAny(off.Stdout, "█▏│") {
		t.Errorf("bars or frames off a terminal:\n%s", off.transcript())
	}
	golden(t, "stats/errors.txt", off.transcript())
}

// Estimates are shown with their margins.
func TestStatsMargins(t *testing.T) {
	t.Parallel()
	counts := admin.Counts{admin.Ready: 1200, admin.Running: 30}
	margins := admin.Counts{admin.Ready: 140, admin.Running: 12}
	stats := shownStats{&admin.Stats{
		Jobs: counts, Tasks: map[string]admin.Counts{"send": counts}, Queues: map[string]admin.Counts{},
		Attempts:    []admin.AttemptCount{{Attempts: 0, Jobs: 1000, Margin: 120}, {Attempts: 3, Jobs: 230, Margin: 50}},
		Errors:      []admin.ErrorShape{{Shape: "no route to *", Jobs: 100, Margin: 20, ExampleID: 7, Example: "no route to 10.0.0.1"}},
		OtherErrors: 5,
		Estimate: &admin.Estimate{
			Pages: 5000, Sampled: 2000, Total: 150, Jobs: margins, Tasks: map[string]admin.Counts{"send": margins}, OtherErrors: 4, Unseen: 9,
		},
	}}
	var text bytes.Buffer
	for _, output := range []format{formatTable, formatJSON} {
		if err := (&app{stdout: &text, format: output}).print(stats); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "stats/margins.txt", text.String())
}

// An estimate says how much of the table it has read.
func TestStatsEstimate(t *testing.T) {
	t.Parallel()
	s, _ := many(t, 10_000)
	got := s.run("stats", "--estimate", "--sample-pages", "30")
	checkCode(t, exitOK, got)
	if !regexp.MustCompile(`^estimated from 30 of \d+ pages; what is not shown may have up to \d+ jobs\n$`).MatchString(got.Stderr) || !strings.Contains(got.Stdout, "±") {
		t.Error(got.transcript())
	}
	exact := s.run("stats", "--estimate")
	check(t, "of a small table", s.run("stats"), exact)
	for _, args := range [][]string{{"--errors", "-1"}, {"--sample-pages", "29"}, {"--estimate", "--sample-pages", "10001"}, {"more"}} {
		got := s.run(append([]string{"stats"}, args...)...)
		checkCode(t, exitUsage, got)
		if len(args) > 1 && !strings.Contains(got.Stderr, args[len(args)-2]+" "+args[len(args)-1]+" is outside") {
			t.Error(got.transcript())
		}
	}
}

func TestBarOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		part, whole int64
		want        string
	}{
		{0, 0, ""}, {0, 8, ""}, {8, 8, "████"}, {4, 8, "██"}, {1, 1_000_000, "▏"}, {5, 32, "▋"}, {31, 32, "███▉"},
	} {
		check(t, fmt.Sprint(tc.part, " of ", tc.whole), tc.want, barOf(tc.part, tc.whole, 4))
	}
}
