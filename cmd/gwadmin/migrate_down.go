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

Without --to all are undone: the tables are dropped with every job in them, and so
is the schema unless something else is in it. It says first how many jobs would
be lost.`,
		Example: "  gwadmin migrate down --dry-run\n  gwadmin migrate down --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return a.withMigrator(ctx, l, func(migrator *migrations.Migrator) error {
				plan, err := migrator.PlanDown(ctx, to)
				if errors.Is(err, migrations.ErrNoMigration) {
					return usage(err)
				}
				if err != nil {
					return err
				}
				if len(plan.Undo) == 0 {
					a.say("nothing to undo")
					return a.print(undone{c.dryRun, *plan})
				}
				if plan.Jobs > 0 {
					a.say("%s would be lost, %d of them held by workers", plural(plan.Jobs, "job"), plan.Locked)
				}
				if c.dryRun {
					return a.print(undone{true, *plan})
				}
				if err := c.ask(a, "Undo "+plural(len(plan.Undo), "migration")+"?"); err != nil {
					return err
				}
				// More jobs than were told of may have come meanwhile.
				_, err = migrator.Down(ctx, migrations.DownOptions{To: to, LoseJobs: plan.Jobs})
				if left, ok := errors.AsType[*migrations.JobsLeftError](err); ok {
					return refused(fmt.Sprintf("jobs were added meanwhile: %d would be lost, %d of them held by workers", left.Jobs, left.Locked))
				}
				if err != nil {
					return err
				}
				return a.print(undone{false, *plan})
			})
		},
	}
	cmd.Flags().Int64Var(&to, "to", 0, "the migration to go back to; 0 undoes all")
	c.flags(cmd)
	l.flags(cmd.Flags())
	return cmd
}

// undone prints what down undoes.
type undone struct {
	DryRun bool `json:"dry_run"`
	migrations.DownPlan
}

func (u undone) lines() []any { return []any{u} }

func (u undone) tables(a *app) []table.Writer {
	title := "UNDONE"
	if u.DryRun {
		title = "WOULD BE UNDONE"
	}
	t := a.table(title, "migration", "name")
	for _, migration := range u.Undo {
		t.AppendRow(table.Row{migration.Version, migration.Name})
	}
	return []table.Writer{t}
}
