package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsRescheduleCommand(a *app) *cobra.Command {
	var values admin.RescheduleValues
	v := &bulkVerb{
		past: "rescheduled",
		byIDs: func(client *admin.Client, ctx context.Context, ids []int64, options *admin.ChangeOptions) (*admin.ChangeResult, error) {
			return client.RescheduleJobs(ctx, ids, values, options)
		},
		byFilter: func(client *admin.Client, ctx context.Context, filter admin.Filter, options *admin.WhereOptions) (*admin.ChangeResult, error) {
			return client.RescheduleWhere(ctx, filter, values, options)
		},
	}
	cmd := v.command(a, &cobra.Command{
		Use:   "reschedule [ID…]",
		Short: "Set when jobs run, their priority, attempts or max attempts",
		Long: `Set when jobs run, their priority, attempts or max attempts.

What is not given stays as it is. Zero is a value.`,
		Example: `  gwadmin jobs reschedule 42 --run-at +5m
  gwadmin jobs reschedule 42 43 --run-at 2027-01-01T00:00:00Z --priority 0
  gwadmin jobs reschedule 42 --run-at infinity  # until it is rescheduled again
  gwadmin jobs reschedule --task send_email --state scheduled --run-at now --dry-run`,
		RunE: func(*cobra.Command, []string) error {
			if values == (admin.RescheduleValues{}) {
				return usage(errors.New("nothing to set: give --run-at, --priority, --attempts or --max-attempts"))
			}
			return nil
		},
	})
	flags := cmd.Flags()
	flags.Var(runAtFlag(&values.RunAt), "run-at", runAtUsage)
	flags.Var(optionalInt(&values.Priority), "priority", "-32768 to 32767, smaller runs earlier")
	flags.Var(optionalInt(&values.Attempts), "attempts", "how often a worker has taken them, 0 to 32767")
	flags.Var(optionalInt(&values.MaxAttempts), "max-attempts", "1 to 32767")
	return cmd
}
