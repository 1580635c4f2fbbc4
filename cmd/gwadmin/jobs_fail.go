package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsFailCommand(a *app) *cobra.Command {
	var reason *string
	v := &bulkVerb{
		past: "failed for good",
		byIDs: func(client *admin.Client, ctx context.Context, ids []int64, options *admin.ChangeOptions) (*admin.ChangeResult, error) {
			return client.FailJobs(ctx, ids, reason, options)
		},
		byFilter: func(client *admin.Client, ctx context.Context, filter admin.Filter, options *admin.WhereOptions) (*admin.ChangeResult, error) {
			return client.FailWhere(ctx, filter, reason, options)
		},
	}
	cmd := v.command(a, &cobra.Command{
		Use:     "fail [ID…]",
		Short:   "Use up the attempts of jobs, so that no worker takes them again",
		Example: "  gwadmin jobs fail 42 --reason 'customer is gone'\n  gwadmin jobs fail --key-prefix customer-7: --reason 'customer is gone'",
	})
	cmd.Flags().Var(optionalText(&reason), "reason", `the jobs' last error from then on, which may be empty (default "Manually marked as failed")`)
	return cmd
}
