package main

import (
	"errors"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/migrations"
)

func migrateDownCommand(a *app) *cobra.Command {
	var l limits
	var c consent
	var to int64
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Undo migrations, and say first how many jobs would be lost",
		Long: `Undo migrations, newest first, in one transaction.

Without --to, down undoes all: it drops the tables with every job in them, and the
schema unless something else is in it. It says first how many jobs would be lost.`,
		Example: "  gwadmin migrate down --dry-run\n  gwadmin migrate down --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return a.withMigrator(ctx, l, func(migrator *migrations.Migrator) error {
				plan, err := migrator.Down(ctx, migrations.DownOptions{To: to, DryRun: true})
				if err != nil {
					return err
				}
				if plan.Jobs > 0 {
					a.say("%s would be lost, %d of them held by workers", plural(plan.Jobs, "job"), plan.Locked)
				}
				if c.dryRun || len(plan.Undone) == 0 {
					if len(plan.Undone) == 0 {
						a.say("nothing to undo")
					}
					plan.DryRun = c.dryRun
					return a.print(undone{plan})
				}
				if err := c.ask(a, "Undo "+plural(len(plan.Undone), "migration")+"?"); err != nil {
					return err
				}
				// Others may have added jobs since.
				result, err := migrator.Down(ctx, migrations.DownOptions{To: to, LoseJobs: plan.Jobs})
				if left, ok := errors.AsType[*migrations.JobsLeftError](err); ok {
					return refused(fmt.Sprintf("jobs were added meanwhile: %d would be lost, %d of them held by workers", left.Jobs, left.Locked))
				}
				if err != nil {
					return err
				}
				return a.print(undone{result})
			})
		},
	}
	cmd.Flags().Int64Var(&to, "to", 0, "the migration to go back to; 0 undoes all")
	c.flags(cmd)
	l.flags(cmd.Flags())
	return cmd
}

// undone prints what down undoes.
type undone struct{ *migrations.DownResult }

func (u undone) lines() []any { return []any{u} }

func (u undone) tables(a *app) []table.Writer {
	title := "UNDONE"
	if u.DryRun {
		title = "WOULD BE UNDONE"
	}
	return a.migrationTable(title, u.Undone)
}
