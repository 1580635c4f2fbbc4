package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsListCommand(a *app) *cobra.Command {
	var filter filterFlags
	var options admin.ListOptions
	var sort string
	var columns []string
	cmd := a.reading(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List jobs by state, task, queue and other filters",
		Long: `List jobs by state, task, queue and other filters.

A job must match all filters that are given, and one of the values of each. The
states are ready, scheduled, retrying, waiting (another job of the queue runs),
paused (the queue is), running, stale (locked for more than 4 hours), stranded
(the queue is gone) and permafailed.

Columns that are empty in all rows are left out. On a terminal the table fits
the width: texts are cut, and columns left out, as far as needed. --wide
switches that off. --columns shows the columns it names, of these:

  ` + strings.Join(columnNames[:10], ", ") + `,
  ` + strings.Join(columnNames[10:], ", ") + `

If more jobs match than --limit, the command prints the --cursor of the next
page. Only the order by id comes off an index, unless gwadmin migrate indexes
has added others. Of several targets each lists up to --limit jobs, one target
after the other, and the cursor has the places of all.

--watch repeats the list: in place on a terminal, one below the other
elsewhere. In JSON each list is a value; in ndjson the jobs of all lists follow
each other. Ctrl-C ends it, with exit code 0. An error of the first read ends
it. After a later one, as in a failover, it says so and tries again. Times from
now, such as -1h, are from each read.`,
		Example: `  gwadmin jobs list --state permafailed --task send_email
  gwadmin jobs list --sort -run_at --limit 20
  gwadmin jobs list --columns id,task,created_at --no-headers
  gwadmin jobs list --state running,waiting --watch=5s
  gwadmin jobs list --error timeout -o ndjson | jq .id | gwadmin jobs retry - --dry-run`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			field, descending := strings.CutPrefix(sort, "-")
			options.SortBy, options.Descending = admin.SortKey(field), descending
			if options.PageSize == 0 { // 0 is the default in Go
				return usage(fmt.Errorf("--limit 0 is outside 1 to %d", admin.MaxPageSize))
			}
			if err := checkColumns(columns); err != nil {
				return err
			}
			if len(a.targets) > 0 && options.Cursor != "" {
				if err := a.parseCursors(options.Cursor); err != nil {
					return usage(err)
				}
			}
			if slices.Contains(columns, "payload") && options.PayloadBytes == 0 {
				options.PayloadBytes = 1000
			}
			return nil
		},
	}, func(ctx context.Context, client *admin.Client) (printable, error) {
		selected, err := filter.filter(ctx, client)
		if err != nil {
			return nil, err
		}
		options := options
		if name := targetOf(ctx); name != "" {
			options.Cursor = a.cursors[name]
		}
		page, err := client.ListJobs(ctx, selected, &options)
		if err != nil {
			return nil, err
		}
		var unknown []string
		if len(page.Jobs) == 0 {
			unknown = unknownNames(ctx, client, selected)
		}
		return jobPage{page, columns, unknown}, nil
	})
	flags := cmd.Flags()
	filter.flags(flags)
	flags.StringVar(&sort, "sort", "id", "id, run_at, created_at, priority or attempts; a minus in front reverses it")
	flags.IntVar(&options.PageSize, "limit", 100, "the most jobs to list, up to 10000")
	flags.StringVar(&options.Cursor, "cursor", "", "the page to list, as the page before printed it")
	flags.IntVar(&options.PayloadBytes, "payload", 0, "the most bytes of a payload to read, for JSON and the column payload; longer ones are left out")
	flags.StringSliceVar(&columns, "columns", nil, "the columns to show, in that order")
	return cmd
}

// sortKeys are the values of --sort.
var sortKeys = []string{"id", "run_at", "created_at", "priority", "attempts", "-id", "-run_at", "-created_at", "-priority", "-attempts"}

// jobPage prints a page of jobs.
type jobPage struct {
	*admin.Page
	columns []string
	unknown []string // notes on names in the filter
}

func (p jobPage) notes(a *app) []string {
	switch {
	case p.Next != "" && a.watching:
		return []string{fmt.Sprintf("the first %d jobs", len(p.Jobs))}
	case p.Next != "" && a.name == "": // else outcomes have the cursors of all targets
		return []string{"there are more: go on with --cursor " + p.Next}
	case len(p.Jobs) == 0:
		return append([]string{"no jobs"}, p.unknown...)
	}
	return nil
}

// writeJSON writes what an encoder would write, one job after the other: the text of a whole
// page may need several times the memory of its jobs.
func (p jobPage) writeJSON(to io.Writer) error {
	var job bytes.Buffer
	out := bufio.NewWriter(to)
	out.WriteString("{\n  \"jobs\": [")
	for i := range p.Jobs {
		job.Reset()
		if err := encodeIndented(&job, "    ", &p.Jobs[i]); err != nil {
			return err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n    ")
		out.Write(job.Bytes())
	}
	if len(p.Jobs) > 0 {
		out.WriteString("\n  ")
	}
	out.WriteByte(']')
	if p.Next != "" {
		fmt.Fprintf(out, ",\n  \"next\": %q", p.Next) // base64
	}
	out.WriteString("\n}\n")
	return out.Flush()
}

func (p jobPage) lines() []any { return anys(p.Jobs) }

func (p jobPage) tables(a *app) []table.Writer {
	return []table.Writer{a.jobsTable("", p.Jobs, p.columns)}
}
