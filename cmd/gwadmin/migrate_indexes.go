package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/migrations"
)

func migrateIndexesCommand(a *app) *cobra.Command {
	var l limits
	var c consent
	var all bool
	cmd := &cobra.Command{
		Use:   "indexes [add|remove NAME…]",
		Short: "List, add or remove optional indexes for listing a large table",
		Long: `List, add or remove optional indexes for listing a large table.

None exists by default, since each costs time whenever a job is added or run. They are
named gwadmin_…, and validate ignores them. They are built and dropped concurrently,
while producers and workers go on. An interrupted build leaves its index invalid:
add the index again to build it anew.`,
		Example: `  gwadmin migrate indexes
  gwadmin migrate indexes add gwadmin_jobs_held gwadmin_jobs_permafailed --dry-run
  gwadmin migrate indexes remove --all --yes`,
		ValidArgs: append([]string{"add", "remove"}, migrations.IndexNames()...),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if len(args) == 0 {
				if all || c.dryRun || c.yes {
					return usage(errors.New("--all, --dry-run and --yes are for add and remove"))
				}
				return a.withMigrator(ctx, l, func(migrator *migrations.Migrator) error {
					indexes, err := migrator.Indexes().List(ctx)
					if err != nil {
						return err
					}
					return a.print(offeredIndexes(indexes))
				})
			}
			verb, names := args[0], args[1:]
			if verb != "add" && verb != "remove" {
				return usage(fmt.Errorf("%q is neither add nor remove", verb))
			}
			if all == (len(names) > 0) {
				return usage(errors.New("name the indexes, or pass --all"))
			}
			if all {
				names = migrations.IndexNames()
			}
			if err := c.need(a); err != nil {
				return err
			}
			return a.withMigrator(ctx, l, func(migrator *migrations.Migrator) error {
				indexes := migrator.Indexes()
				change, question, doing := indexes.Add, "Build ", "building"
				if verb == "remove" {
					change, question, doing = indexes.Remove, "Drop ", "dropping"
				}
				steps, err := change(ctx, names, &migrations.IndexOptions{DryRun: true})
				if err != nil {
					return err
				}
				if len(steps) == 0 {
					a.say("nothing to do")
				}
				if c.dryRun || len(steps) == 0 {
					return a.print(changedIndexes{c.dryRun, steps})
				}
				var touched []string
				for _, step := range steps {
					touched = append(touched, step.Index)
				}
				if err := c.ask(a, question+strings.Join(touched, ", ")+"?"); err != nil {
					return err
				}
				done, err := change(ctx, names, &migrations.IndexOptions{
					Started: func(step migrations.IndexStep) { a.say("%s %s…", doing, step.Index) },
				})
				if len(done) == 0 && err != nil {
					return err
				}
				return errors.Join(a.print(changedIndexes{false, done}), err)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "add, or remove, every one of them")
	c.flags(cmd)
	l.flags(cmd.Flags())
	return cmd
}

// offeredIndexes prints the indexes with their states.
type offeredIndexes []migrations.Index

func (o offeredIndexes) lines() []any { return anys(o) }

func (o offeredIndexes) tables(a *app) []table.Writer {
	t := a.table("INDEXES", "index", "state", "MB", "serves")
	for _, index := range o {
		size := ""
		if index.State != migrations.IndexAbsent {
			size = fmt.Sprintf("%.1f", float64(index.Bytes)/(1<<20))
		}
		t.AppendRow(table.Row{index.Name, index.State, size, index.Serves})
	}
	return []table.Writer{t}
}

// changedIndexes prints what was done about indexes, or would be, as SQL.
type changedIndexes struct {
	DryRun bool                   `json:"dry_run"`
	Steps  []migrations.IndexStep `json:"steps"`
}

func (c changedIndexes) lines() []any {
	var lines []any
	for _, step := range c.Steps {
		lines = append(lines, struct {
			DryRun bool `json:"dry_run"`
			migrations.IndexStep
		}{c.DryRun, step})
	}
	return lines
}

func (c changedIndexes) tables(a *app) []table.Writer {
	for _, step := range c.Steps {
		fmt.Fprintln(a.stdout, strings.Join(step.SQL, ";\n")+";")
	}
	return nil
}
