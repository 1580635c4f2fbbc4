package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func statsCommand(a *app) *cobra.Command {
	var options admin.StatsOptions
	cmd := a.reading(&cobra.Command{
		Use:   "stats",
		Short: "Count the jobs by state, task, queue, attempts and error",
		Long: `Count the jobs by state, task, queue, attempts and error.

Counting reads the whole table. With --estimate it reads --sample-pages pages
of it, and says how far off the numbers may be: 95 of 100 estimates are within
±.

With --errors it also counts the last errors by kind. A kind is the first line,
with a star for quoted text, for the query of a URL, and for every word with a
digit or an @.`,
		Example: "  gwadmin stats\n  gwadmin stats --watch=5s\n  gwadmin stats --estimate --errors 10\n  gwadmin stats --output json",
	}, func(ctx context.Context, client *admin.Client) (printable, error) {
		stats, err := client.Stats(ctx, &options)
		return shownStats{stats}, err
	})
	flags := cmd.Flags()
	flags.BoolVar(&options.Estimate, "estimate", false, "read only a part of the table, and say how far off the numbers may be")
	flags.IntVar(&options.SamplePages, "sample-pages", 2000, "how many pages --estimate reads, 30 to 10000")
	flags.IntVar(&options.ErrorShapes, "errors", 0, "how many kinds of errors to show, up to 1000")
	return cmd
}

type shownStats struct{ *admin.Stats }

func (s shownStats) lines() []any { return []any{s} }

func (s shownStats) notes(*app) []string {
	e := s.Estimate
	if e == nil {
		return nil
	}
	notes := []string{fmt.Sprintf("estimated from %d of %d pages; what is not shown may have up to %s", e.Sampled, e.Pages, plural(e.Unseen, "job"))}
	if e.OtherQueues > 0 {
		notes = append(notes, fmt.Sprintf("not shown are %s of these pages; none has more jobs there than those shown", plural(e.OtherQueues, "queue")))
	}
	if !e.TimesExact {
		notes = append(notes, "there may be earlier jobs than these: too many wait for their queues, or have priorities of their own")
	}
	return notes
}

func (s shownStats) tables(a *app) []table.Writer {
	margins := s.Estimate
	if margins == nil {
		margins = &admin.Estimate{}
	}

	states := a.newBars("JOBS", "state")
	for _, state := range admin.States {
		states.add(s.Jobs[state], margins.Jobs[state], state)
	}
	states.footer(s.Jobs.Total(), margins.Total, "total")

	times := a.table("TIMES", "what", "at")
	if s.OldestReady != nil {
		times.AppendRow(table.Row{"oldest ready job was due", a.moment(s.OldestReady)})
	}
	if s.NextRunAt != nil {
		times.AppendRow(table.Row{"next job is due", a.moment(s.NextRunAt)})
	}

	attempts := a.newBars("ATTEMPTS", "attempts")
	for _, count := range s.Attempts {
		attempts.add(count.Jobs, count.Margin, count.Attempts)
	}

	errors := a.newBars("ERRORS", "example", "error")
	for _, shape := range s.Errors {
		errors.add(shape.Jobs, shape.Margin, shape.ExampleID, shape.Shape)
	}
	if s.OtherErrors > 0 {
		errors.footer(s.OtherErrors, margins.OtherErrors, "", "(others)")
	}

	tables := []table.Writer{states.table(), times, attempts.table(), errors.table()}
	for _, part := range []struct {
		title, name     string
		counts, margins map[string]admin.Counts
	}{{"BY TASK", "task", s.Tasks, margins.Tasks}, {"BY QUEUE", "queue", s.Queues, margins.Queues}} {
		t := a.countsTable(part.title, part.name)
		for _, name := range byTotal(part.counts) {
			row := countsRow(part.counts[name], name)
			for i, state := range admin.States {
				if margin := part.margins[name][state]; margin > 0 {
					row[1+i] = fixed(fmt.Sprintf("%d ±%d", part.counts[name][state], margin))
				}
			}
			t.AppendRow(row)
		}
		if s.Estimate != nil {
			t.alignRight(2, 1+len(admin.States))
		}
		tables = append(tables, t)
	}
	return tables
}

// byTotal returns the names by their number of jobs, the greatest first.
func byTotal(counts map[string]admin.Counts) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b].Total(), counts[a].Total()), cmp.Compare(a, b))
	})
}

// bars is a table of numbers of jobs, with their margins if there are any and, on a
// terminal, a bar for each.
type bars struct {
	a      *app
	title  string
	header []any
	rows   []barsRow
	most   int64
}

type barsRow struct {
	jobs, margin int64
	cells        []any
	whole        bool // a total, which has no bar
}

func (a *app) newBars(title string, columns ...any) *bars {
	return &bars{a: a, title: title, header: columns}
}

func (b *bars) add(jobs, margin int64, cells ...any) {
	b.rows = append(b.rows, barsRow{jobs: jobs, margin: margin, cells: cells})
	b.most = max(b.most, jobs)
}

func (b *bars) footer(jobs, margin int64, cells ...any) {
	b.rows = append(b.rows, barsRow{jobs: jobs, margin: margin, cells: cells, whole: true})
}

// table has the first cell of a row, then the numbers, then the other cells.
func (b *bars) table() table.Writer {
	width, tty := terminalWidth(b.a.stdout)
	margins := slices.ContainsFunc(b.rows, func(row barsRow) bool { return row.margin > 0 })
	build := func(first any, jobs, margin, bar any, rest []any) table.Row {
		row := table.Row{first, jobs}
		if margins {
			row = append(row, margin)
		}
		if tty {
			row = append(row, bar)
		}
		return append(row, rest...)
	}
	t := b.a.table(b.title, build(b.header[0], "jobs", "±", "", b.header[1:])...)
	for _, row := range b.rows {
		shown := ""
		if !row.whole {
			shown = barOf(row.jobs, b.most, min(width/4, 30))
		}
		t.AppendRow(build(row.cells[0], row.jobs, row.margin, shown, row.cells[1:]))
	}
	return t
}

// barOf is part/whole of a line of that width, in eighths of a character. A part above zero
// is at least an eighth.
func barOf(part, whole int64, width int) string {
	if part <= 0 || whole <= 0 {
		return ""
	}
	eighths := max(1, int(float64(part)/float64(whole)*float64(8*width)+0.5))
	line := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		line += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return line
}
