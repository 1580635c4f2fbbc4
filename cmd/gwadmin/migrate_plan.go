package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/migrations"
)

func migratePlanCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "plan",
		Short:   "Show what up would do to this database",
		Example: "  gwadmin migrate plan\n  gwadmin migrate plan --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withMigrator(cmd.Context(), limits{}, func(migrator *migrations.Migrator) error {
				return a.showPlan(cmd.Context(), migrator, nil)
			})
		},
	}
}

// showPlan prints what up would do, up to the migration to unless that is nil, and
// ends with exitPending if that is anything.
func (a *app) showPlan(ctx context.Context, migrator *migrations.Migrator, to *int64) error {
	steps, err := migrator.Plan(ctx)
	if err != nil {
		return err
	}
	if to != nil {
		read, err := migrator.Status(ctx)
		if err != nil {
			return err
		}
		all := read.Migrations
		if !slices.ContainsFunc(all, func(m migrations.Migration) bool { return m.Version == *to }) {
			return usage(fmt.Errorf("--to %d: %w: they are numbered from %d to %d",
				*to, migrations.ErrNoMigration, all[0].Version, all[len(all)-1].Version))
		}
		steps = slices.DeleteFunc(steps, func(step migrations.Step) bool { return step.Version > *to })
	}
	if err := a.print(plan(steps)); err != nil {
		return err
	}
	if len(steps) > 0 {
		a.say("%s; gwadmin migrate sql prints the SQL", pending(len(steps)))
		return status(exitPending)
	}
	a.say("nothing to do")
	return nil
}

// pending says how many migrations are.
func pending(n int) string {
	if n == 1 {
		return "1 migration is pending"
	}
	return plural(n, "migration") + " are pending"
}

type plan []migrations.Step

func (p plan) lines() []any {
	var lines []any
	for _, step := range p {
		lines = append(lines, step)
	}
	return lines
}

func (p plan) tables(a *app) []table.Writer {
	t := a.table("PENDING", "migration", "name")
	for _, step := range p {
		t.AppendRow(table.Row{step.Version, step.Name})
	}
	return []table.Writer{t}
}

func migrateSQLCommand(a *app) *cobra.Command {
	var fromNothing, body bool
	cmd := &cobra.Command{
		Use:   "sql",
		Short: "Print the SQL that up would run, for psql",
		Long: `Print the SQL that up would run on this database, for a DBA to run with psql, in
one transaction. It records what it applies, so that up finds nothing to do. With
--from-nothing it is for an empty database, and no connection is made. With --body it
has no begin and commit, for a tool that runs it in a transaction of its own.`,
		Example: `  gwadmin migrate sql > upgrade.sql && psql -X -v ON_ERROR_STOP=1 -f upgrade.sql
  gwadmin migrate sql --from-nothing --schema jobs`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if fromNothing {
				install := migrations.InstallScript
				if body {
					install = migrations.InstallBody
				}
				script, err := install(a.schema)
				if err != nil {
					return usage(err)
				}
				return a.print(sqlText(script))
			}
			ctx := cmd.Context()
			return a.withMigrator(ctx, limits{}, func(migrator *migrations.Migrator) error {
				steps, err := migrator.Plan(ctx)
				if err != nil {
					return err
				}
				if len(steps) == 0 {
					a.say("nothing to do")
				}
				if body {
					return a.print(sqlText(migrator.Body(steps)))
				}
				return a.print(sqlText(migrator.Script(steps)))
			})
		},
	}
	cmd.Flags().BoolVar(&fromNothing, "from-nothing", false, "for an empty database, without looking at one")
	cmd.Flags().BoolVar(&body, "body", false, "without begin and commit, for another migration tool")
	return cmd
}

// sqlText prints SQL as it is.
type sqlText string

func (s sqlText) lines() []any { return []any{map[string]string{"sql": string(s)}} }

func (s sqlText) tables(a *app) []table.Writer {
	fmt.Fprint(a.stdout, string(s))
	return nil
}

func (s sqlText) MarshalJSON() ([]byte, error) { return json.Marshal(s.lines()[0]) }
