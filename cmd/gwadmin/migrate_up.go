package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/migrations"
)

func migrateUpCommand(a *app) *cobra.Command {
	var l limits
	var to int64
	var waitIdle time.Duration
	var force, dryRun bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Apply the pending migrations",
		Long: `Apply the pending migrations, in one transaction.

An empty database gets the whole schema. A schema that Graphile Worker 0.16 or newer
installed is taken over with its jobs. If nothing is pending, nothing changes.

If a breaking revision is pending while workers hold jobs, up names the workers and
refuses. --wait-idle waits until no worker holds a job, and --force goes on. Running
workers of an incompatible release are told to stop.`,
		Example: `  gwadmin migrate up
  gwadmin migrate up --wait-idle 5m --lock-timeout 2s
  gwadmin migrate up --dry-run`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if force && cmd.Flags().Changed("wait-idle") {
				return usage(errors.New("--force does not wait: leave out --wait-idle"))
			}
			if waitIdle < 0 {
				return usage(fmt.Errorf("--wait-idle %s is negative", waitIdle))
			}
			return a.onMigrators(cmd.Context(), l, func(ctx context.Context, a *app, migrator *migrations.Migrator) error {
				options := &migrations.UpOptions{}
				if cmd.Flags().Changed("to") {
					options.To = &to
				}
				if dryRun || force || waitIdle > 0 {
					plan, err := migrator.Plan(ctx, options)
					if err == nil { // else Up reports what is wrong
						a.sayHolders(plan.Holders)
					}
					if dryRun {
						return a.showPlan(plan, err)
					}
				}
				if !force {
					options.WaitIdle = &waitIdle
				}
				result, err := migrator.Up(ctx, options)
				switch {
				case errors.Is(err, migrations.ErrBusy):
					return fmt.Errorf("%w: see --wait-idle and --force", err)
				case err != nil:
					return err
				case result.Newer:
					a.say("the schema is at revision %d, newer than this gwadmin knows; up leaves it unchanged", result.After)
				case len(result.Applied) == 0:
					a.say("up to date at revision %d", result.After)
				}
				return a.print(migrated{result})
			})
		},
	}
	flags := cmd.Flags()
	flags.Int64Var(&to, "to", 0, "the last migration to apply (default all)")
	flags.DurationVar(&waitIdle, "wait-idle", 0, "before a breaking revision, how long to wait until no worker holds a job")
	flags.BoolVar(&force, "force", false, "go on while workers hold jobs")
	flags.BoolVar(&dryRun, "dry-run", false, "only show what is pending, as plan does")
	l.flags(flags)
	return cmd
}

// sayHolders names the workers that hold jobs while a breaking revision is pending.
func (a *app) sayHolders(holders []migrations.Holder) {
	for _, h := range holders {
		a.say("a breaking revision is pending while %s holds %s, since %s", h.WorkerID, plural(h.Jobs, "job"), a.moment(&h.Oldest))
	}
}

// migrated prints what up applied.
type migrated struct{ *migrations.UpResult }

func (m migrated) lines() []any                 { return []any{m} }
func (m migrated) tables(a *app) []table.Writer { return a.migrationTable("APPLIED", m.Applied) }
