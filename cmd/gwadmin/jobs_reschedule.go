package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsRescheduleCommand(a *app) *cobra.Command {
	var options admin.RescheduleValues
	var runAt runAtFlag
	c := &change{
		done: "rescheduled",
		call: func(ctx context.Context, client *admin.Client, ids []int64, dryRun bool) (*admin.ChangeResult, error) {
			options := options
			options.RunAt = runAt.at
			return client.RescheduleJobs(ctx, ids, options, &admin.ChangeOptions{DryRun: dryRun})
		},
		callWhere: func(ctx context.Context, client *admin.Client, filter admin.Filter, where *admin.WhereOptions) (*admin.ChangeResult, error) {
			options := options
			options.RunAt = runAt.at
			return client.RescheduleWhere(ctx, filter, options, where)
		},
	}
	cmd := &cobra.Command{
		Use:   "reschedule [ID…]",
		Short: "Set when jobs run, their priority, attempts or max attempts",
		Long: `Set when jobs run, their priority, attempts or max attempts.

What is not given is left as it is; zero is a value.`,
		Example: `  gwadmin jobs reschedule 42 --run-at +5m
  gwadmin jobs reschedule 42 43 --run-at 2027-01-01T00:00:00Z --priority 0
  gwadmin jobs reschedule 42 --run-at infinity  # until it is rescheduled again
  gwadmin jobs reschedule --task send_email --state scheduled --run-at now --dry-run`,
		RunE: func(*cobra.Command, []string) error {
			if runAt.at == nil && options.Priority == nil && options.Attempts == nil && options.MaxAttempts == nil {
				return usage(errors.New("nothing to set: give --run-at, --priority, --attempts or --max-attempts"))
			}
			return nil
		},
	}
	cmd.Flags().Var(&runAt, "run-at", runAtUsage)
	optionalIntFlag(cmd.Flags(), &options.Priority, "priority", "-32768 to 32767, smaller runs earlier")
	optionalIntFlag(cmd.Flags(), &options.Attempts, "attempts", "how often they count as taken, 0 to 32767")
	optionalIntFlag(cmd.Flags(), &options.MaxAttempts, "max-attempts", "1 to 32767")
	return c.command(a, cmd)
}
