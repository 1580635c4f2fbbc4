package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsFailCommand(a *app) *cobra.Command {
	var reason *string
	c := &change{
		done: "failed for good",
		call: func(ctx context.Context, client *admin.Client, ids []int64, dryRun bool) (*admin.ChangeResult, error) {
			return client.FailJobs(ctx, ids, reason, &admin.ChangeOptions{DryRun: dryRun})
		},
		callWhere: func(ctx context.Context, client *admin.Client, filter admin.Filter, options *admin.WhereOptions) (*admin.ChangeResult, error) {
			return client.FailWhere(ctx, filter, reason, options)
		},
	}
	cmd := &cobra.Command{
		Use:     "fail [ID…]",
		Short:   "Use up jobs' attempts, so that no worker takes them again",
		Example: "  gwadmin jobs fail 42 --reason 'customer is gone'\n  gwadmin jobs fail --key-prefix customer-7: --reason 'customer is gone'",
	}
	optionalStringFlag(cmd.Flags(), &reason, "reason", `becomes the jobs' last error, also when empty (default "Manually marked as failed")`)
	return c.command(a, cmd)
}
