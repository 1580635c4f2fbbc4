package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/migrations"
)

func migrateValidateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Compare the schema with what it should be, and name every difference",
		Long: `Compare the schema with what it should be, and name every difference: tables,
columns, defaults, constraints, indexes, triggers, policies, the view, and the
functions with their bodies, which must be gwadmin's or those of Graphile Worker
0.16.6, 0.17.3 or 0.18.0. Revision numbers are not trusted: other ports use the same
ones for other schemas. What is named gwadmin_… or goose_… is not looked at.`,
		Example: "  gwadmin migrate validate",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return a.withMigrator(ctx, limits{}, func(migrator *migrations.Migrator) error {
				found, err := migrator.Validate(ctx)
				if err != nil {
					return err
				}
				if err := a.print(append(differences{}, found...)); err != nil { // [] where there is none
					return err
				}
				if len(found) > 0 {
					a.say("the schema has drifted: %s", plural(len(found), "difference"))
					return status(exitDrifted)
				}
				a.say("the schema is as it should be")
				return nil
			})
		},
	}
}

type differences []migrations.Difference

func (d differences) lines() []any {
	var lines []any
	for _, difference := range d {
		lines = append(lines, difference)
	}
	return lines
}

func (d differences) tables(a *app) []table.Writer {
	for _, difference := range d {
		fmt.Fprintln(a.stdout, visible(difference.String()))
	}
	return nil
}
