package main

import (
	"context"
	"fmt"
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
		Short:   "List jobs by state, task, queue and whatever else they hold",
		Long: `List jobs by state, task, queue and whatever else they hold.

All filters that are given must hold; one of a filter's values is enough. The
states are ready, scheduled, retrying, waiting (for their queue, whose other job
runs), running, stale (locked for more than 4 hours) and permafailed.

Columns that are empty in every row are left out. On a terminal the table fits its
width: long texts are cut, then some columns are left out. --wide shows them all, and
--columns only those it names:

  ` + strings.Join(columnNames, ", ") + `

If more jobs match than --limit, it prints the --cursor of the next page. Only the
order by id has an index of Graphile Worker's.

--watch shows the list again and again: on a terminal in place, elsewhere one after
the other. In JSON each list is a value of its own; as ndjson the jobs of all lists
follow each other. Ctrl-C ends it, with exit code 0. Only an error of the first read
ends it: if the database is away later, as in a failover, it says so and tries again.`,
		Example: `  gwadmin jobs list --state permafailed --task send_email
  gwadmin jobs list --sort -run_at --limit 20
  gwadmin jobs list --columns id,task,created_at --no-headers
  gwadmin jobs list --state running,waiting --watch=5s
  gwadmin jobs list --error timeout -o ndjson | jq .id | gwadmin jobs retry - --dry-run`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			field, descending := strings.CutPrefix(sort, "-")
			options.SortBy, options.Descending = admin.SortKey(field), descending
			if options.PageSize == 0 { // which in Go is the default
				return usage(fmt.Errorf("--limit 0 is outside 1 to %d", admin.MaxPageSize))
			}
			if err := checkColumns(columns); err != nil {
				return err
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
	flags.StringVar(&sort, "sort", "id", "id, run_at, created_at, priority or attempts, each also with a minus in front")
	flags.IntVar(&options.PageSize, "limit", 100, "the most jobs to list, up to 10000")
	flags.StringVar(&options.Cursor, "cursor", "", "go on where the page before ended")
	flags.IntVar(&options.PayloadBytes, "payload", 0, "read payloads of up to so many bytes, for JSON and the column payload")
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
	case p.Next != "":
		return []string{"there are more: go on with --cursor " + p.Next}
	case len(p.Jobs) == 0:
		return append([]string{"no jobs"}, p.unknown...)
	}
	return nil
}

func (p jobPage) lines() []any { return anys(p.Jobs) }

func (p jobPage) tables(a *app) []table.Writer {
	return []table.Writer{a.jobsTable("", p.Jobs, p.columns)}
}
