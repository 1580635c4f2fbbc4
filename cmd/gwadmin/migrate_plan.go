package main

import (
	"context"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/migrations"
)

func migratePlanCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "plan",
		Short:   "Show what up would do to this database",
		Example: "  gwadmin migrate plan\n  gwadmin migrate plan --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.onMigrators(cmd.Context(), limits{}, func(ctx context.Context, a *app, migrator *migrations.Migrator) error {
				return a.showPlan(migrator.Plan(ctx, nil))
			})
		},
	}
}

// showPlan prints what up would do, and ends with exitPending if that is anything.
func (a *app) showPlan(plan *migrations.Plan, err error) error {
	if err != nil {
		return err
	}
	if err := a.print(plannedSteps(plan.Steps)); err != nil {
		return err
	}
	if n := len(plan.Steps); n > 0 {
		a.say("%s; gwadmin migrate sql prints the SQL", pending(n))
		return status(exitPending)
	}
	a.say("nothing to do")
	return nil
}

// plannedSteps prints what up would apply.
type plannedSteps []migrations.Step

func (p plannedSteps) lines() []any { return anys(p) }

func (p plannedSteps) tables(a *app) []table.Writer {
	t := a.table("PENDING", "migration", "name")
	for _, step := range p {
		t.AppendRow(table.Row{step.Version, step.Name})
	}
	return []table.Writer{t}
}
