package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsHoldCommand(a *app) *cobra.Command {
	var by *string
	v := &bulkVerb{
		past: "put on hold",
		byIDs: func(client *admin.Client, ctx context.Context, ids []int64, options *admin.ChangeOptions) (*admin.ChangeResult, error) {
			return client.HoldJobs(actor(ctx, by), ids, options)
		},
		byFilter: func(client *admin.Client, ctx context.Context, filter admin.Filter, options *admin.WhereOptions) (*admin.ChangeResult, error) {
			return client.HoldWhere(actor(ctx, by), filter, options)
		},
	}
	cmd := v.command(a, &cobra.Command{
		Use:   "hold [ID…]",
		Short: "Put jobs on hold, so that no worker takes them until jobs release",
		Long: `Put jobs on hold, so that no worker takes them until jobs release.

Their run_at becomes infinity, and jobs release gives the old one back. For the
jobs of a queue, gwadmin queues pause is better: it also stops new jobs. A job
that is added again with its key is not on hold, but for the key modes
preserve_run_at and unsafe_dedupe. reschedule and retry end a hold, too.`,
		Example: "  gwadmin jobs hold 42\n  gwadmin jobs hold --task send_email --state ready --dry-run",
	})
	byFlag(cmd, &by)
	return cmd
}

func jobsReleaseCommand(a *app) *cobra.Command {
	v := &bulkVerb{past: "released", byIDs: (*admin.Client).ReleaseJobs, byFilter: (*admin.Client).ReleaseWhere}
	return v.command(a, &cobra.Command{
		Use:     "release [ID…]",
		Short:   "End the hold of jobs, which run when they would have run",
		Example: "  gwadmin jobs release 42\n  gwadmin jobs release --task send_email\n  gwadmin jobs list --on-hold",
	})
}
