package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsRetryCommand(a *app) *cobra.Command {
	c := &change{
		done: "given all attempts again",
		call: func(ctx context.Context, client *admin.Client, ids []int64, dryRun bool) (*admin.Result, error) {
			return client.RetryJobs(ctx, ids, &admin.RetryOptions{DryRun: dryRun})
		},
	}
	cmd := &cobra.Command{
		Use:     "retry ID…",
		Short:   "Give jobs all attempts again, from now on; permanently failed ones too",
		Example: "  gwadmin jobs retry 42\n  gwadmin jobs retry - --yes < ids",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(a, cmd, args) },
	}
	c.flags(cmd)
	return cmd
}
