package main

import (
	"context"
	"errors"
	"strings"

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

The filters are those of jobs list. The count is exact. On a large table
gwadmin stats --estimate is faster.`,
		Example: `  gwadmin jobs count --task send_email
  gwadmin jobs count --state permafailed --updated-after -1d -o json | jq .total`,
	}, func(ctx context.Context, client *admin.Client) (printable, error) {
		selected, err := filter.filter(ctx, client)
		if err != nil {
			return nil, err
		}
		// A dry run of any change counts what matches.
		options := admin.WhereOptions{DryRun: true, All: len(given(filter.set)) == 0, Sample: new(0)}
		result, err := client.RetryWhere(ctx, selected, &options)
		if err != nil {
			if invalid, ok := errors.AsType[*admin.InvalidError](err); ok {
				invalid.Call = countCall
			}
			return nil, &countError{err}
		}
		count := jobCount{Total: result.Matched, States: result.States}
		if count.Total == 0 {
			count.unknown = unknownNames(ctx, client, selected)
		}
		return count, nil
	})
	filter.flags(cmd.Flags())
	return cmd
}

// countCall is what errors call the count.
const countCall = "count jobs"

// A countError is an error of the dry run that counts.
type countError struct{ error }

func (e *countError) Error() string {
	if rest, ok := strings.CutPrefix(e.error.Error(), "retry jobs where: "); ok {
		return countCall + ": " + rest
	}
	return e.error.Error()
}

func (e *countError) Unwrap() error { return e.error }

// jobCount prints how many jobs match.
type jobCount struct {
	Total  int64        `json:"total"`
	States admin.Counts `json:"states"`

	unknown []string // notes on names in the filter
}

func (c jobCount) notes(*app) []string { return c.unknown }

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
