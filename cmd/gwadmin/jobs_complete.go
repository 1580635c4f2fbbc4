package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsCompleteCommand(a *app) *cobra.Command {
	c := &change{
		done: "completed",
		call: func(ctx context.Context, client *admin.Client, ids []int64, dryRun bool) (*admin.Result, error) {
			return client.CompleteJobs(ctx, ids, &admin.CompleteOptions{DryRun: dryRun})
		},
	}
	cmd := &cobra.Command{
		Use:   "complete ID…",
		Short: "Delete jobs as if they had been run",
		Example: `  gwadmin jobs complete 42 43
  gwadmin jobs complete 42 --dry-run
  psql -XAtc "select id from graphile_worker.jobs where task_identifier = 'old'" | gwadmin jobs complete - --yes`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(a, cmd, args) },
	}
	c.flags(cmd)
	return cmd
}
