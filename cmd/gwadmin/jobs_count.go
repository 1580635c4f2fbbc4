package main

import (
	"context"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsCountCommand(a *app) *cobra.Command {
	var filter filterFlags
	cmd := a.reading(&cobra.Command{
		Use:   "count",
		Short: "Count the jobs that match, by state",
		Long: `Count the jobs that match, by state. Without a filter it counts all jobs.

The filters are those of jobs list. The count is exact, and reads the table in many short
statements. gwadmin stats --estimate is fast however large the table is.`,
		Example: `  gwadmin jobs count --task send_email
  gwadmin jobs count --state permafailed --updated-after -1d -o json | jq .total`,
	}, func(ctx context.Context, client *admin.Client) (printable, error) {
		// A dry run counts what it would be about, and reads no more than that.
		options := admin.WhereOptions{DryRun: true, All: len(given(filter.set)) == 0, Sample: new(0)}
		result, err := client.RetryWhere(ctx, filter.filter(), &options)
		if err != nil {
			return nil, err
		}
		return jobCount{result.Matched, result.States}, nil
	})
	filter.flags(cmd.Flags())
	return cmd
}

// jobCount prints how many jobs match.
type jobCount struct {
	Total  int64        `json:"total"`
	States admin.Counts `json:"states"`
}

func (c jobCount) lines() []any { return []any{c} }

func (c jobCount) tables(a *app) []table.Writer {
	states := a.newBars("", "state")
	for _, state := range admin.States {
		if jobs := c.States[state]; jobs > 0 {
			states.add(jobs, 0, state)
		}
	}
	states.footer(c.Total, 0, "total")
	return []table.Writer{states.table()}
}
