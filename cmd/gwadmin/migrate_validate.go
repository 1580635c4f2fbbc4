package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/migrations"
)

func migrateValidateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Compare the schema with what it should be, and list every difference",
		Long: `Compare the schema with what it should be, and list every difference in tables,
columns, defaults, constraints, indexes, triggers, policies, the view, and functions.
The body of a function must be gwadmin's or that of Graphile Worker 0.16.6, 0.17.3 or
0.18.0. validate does not trust revision numbers, since other ports use the same ones
for other schemas. It ignores objects named gwadmin_… or goose_….

If the schema is at a newer revision than this gwadmin knows, validate says so. What
that revision may have added, and functions and views that it may have replaced, are
then named as unknown; they are no drift.`,
		Example: "  gwadmin migrate validate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.onMigrators(cmd.Context(), limits{}, func(ctx context.Context, a *app, migrator *migrations.Migrator) error {
				found, err := migrator.Validate(ctx)
				if err != nil {
					return err
				}
				if err := a.print(append(differences{}, found.Differences...)); err != nil { // [] if there is none
					return err
				}
				if found.Newer() {
					a.say("the schema is at revision %d, newer than this gwadmin knows", found.Revision)
				}
				if len(found.Unknown) > 0 {
					names := make([]string, len(found.Unknown))
					for i, d := range found.Unknown {
						names[i] = d.Object
					}
					a.say("unknown, and perhaps of a newer revision: %s", strings.Join(names, ", "))
				}
				switch n := len(found.Differences); {
				case n > 0:
					a.say("the schema has drifted: %s", plural(n, "difference"))
					return status(exitDrifted)
				case found.Newer():
					a.say("what this gwadmin knows of the schema is as it should be")
				default:
					a.say("the schema is as it should be")
				}
				return nil
			})
		},
	}
}

type differences []migrations.Difference

func (d differences) lines() []any { return anys(d) }

func (d differences) tables(a *app) []table.Writer {
	for _, difference := range d {
		fmt.Fprintln(a.stdout, visible(difference.String()))
	}
	return nil
}
