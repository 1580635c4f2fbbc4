package main

import (
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/migrations"
)

func migrateSQLCommand(a *app) *cobra.Command {
	var fromNothing, body bool
	cmd := &cobra.Command{
		Use:   "sql",
		Short: "Print the SQL that up would run, for psql",
		Long: `Print the SQL that up would run on this database, in one transaction, for a DBA to
run with psql. It records what it applies, so that up then finds nothing to do.

With --from-nothing it is for an empty database, and sql does not connect. With --body
it has no begin and commit, for a tool that runs it in a transaction of its own.`,
		Example: `  gwadmin migrate sql > upgrade.sql && psql "$DATABASE_URL" -X -v ON_ERROR_STOP=1 -f upgrade.sql
  gwadmin migrate sql --from-nothing --schema jobs`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			show := func(plan *migrations.Plan) error {
				if len(plan.Steps) == 0 {
					a.say("nothing to do")
				}
				if body {
					return a.print(sqlText{plan.Body})
				}
				return a.print(sqlText{plan.Script})
			}
			if fromNothing {
				plan, err := migrations.InstallPlan(&migrations.Options{Schema: a.schema})
				if err != nil {
					return usage(err)
				}
				return show(plan)
			}
			return a.withMigrator(cmd.Context(), limits{}, func(migrator *migrations.Migrator) error {
				plan, err := migrator.Plan(cmd.Context(), nil)
				if err != nil {
					return err
				}
				return show(plan)
			})
		},
	}
	cmd.Flags().BoolVar(&fromNothing, "from-nothing", false, "for an empty database, without connecting")
	cmd.Flags().BoolVar(&body, "body", false, "without begin and commit, for another migration tool")
	return cmd
}
