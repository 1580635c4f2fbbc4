package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsRetryCommand(a *app) *cobra.Command {
	c := &change{
		done: "given all attempts again",
		call: func(ctx context.Context, client *admin.Client, ids []int64, dryRun bool) (*admin.ChangeResult, error) {
			return client.RetryJobs(ctx, ids, &admin.ChangeOptions{DryRun: dryRun})
		},
		callWhere: func(ctx context.Context, client *admin.Client, filter admin.Filter, options *admin.WhereOptions) (*admin.ChangeResult, error) {
			return client.RetryWhere(ctx, filter, options)
		},
	}
	cmd := &cobra.Command{
		Use:     "retry [ID…]",
		Short:   "Give jobs all attempts again, from now on; permanently failed ones too",
		Example: "  gwadmin jobs retry 42\n  gwadmin jobs retry - --yes < ids\n  gwadmin jobs retry --state permafailed --task send_email --dry-run",
	}
	return c.command(a, cmd)
}
