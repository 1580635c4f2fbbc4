package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsCompleteCommand(a *app) *cobra.Command {
	c := &change{
		done: "completed",
		call: func(ctx context.Context, client *admin.Client, ids []int64, dryRun bool) (*admin.ChangeResult, error) {
			return client.CompleteJobs(ctx, ids, &admin.ChangeOptions{DryRun: dryRun})
		},
		callWhere: func(ctx context.Context, client *admin.Client, filter admin.Filter, options *admin.WhereOptions) (*admin.ChangeResult, error) {
			return client.CompleteWhere(ctx, filter, options)
		},
	}
	cmd := &cobra.Command{
		Use:   "complete [ID…]",
		Short: "Delete jobs as if they had been run",
		Example: `  gwadmin jobs complete 42 43
  gwadmin jobs complete 42 --dry-run
  psql -XAtc "select id from graphile_worker.jobs where task_identifier = 'old'" | gwadmin jobs complete - --yes
  gwadmin jobs complete --task old --created-before -30d --limit 10000`,
	}
	return c.command(a, cmd)
}
