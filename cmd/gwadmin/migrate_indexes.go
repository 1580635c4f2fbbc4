package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		Short: "List, add or remove the indexes that listing a large table may want",
		Long: `List, add or remove the indexes that listing a large table may want.

None is there by default: each takes its time from whoever adds or runs a job. They are
named gwadmin_…, are built and dropped concurrently, while producers and workers go
on, and validate does not look at them. A build that was interrupted leaves its index
invalid; adding it again drops that and builds it anew.`,
		Example: `  gwadmin migrate indexes
  gwadmin migrate indexes add gwadmin_jobs_held gwadmin_jobs_permafailed --dry-run
  gwadmin migrate indexes remove --all --yes`,
		ValidArgs: append([]string{"add", "remove"}, migrations.IndexNames()...),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if all || c.dryRun || c.yes {
					return usage(errors.New("--all, --dry-run and --yes are for add and remove"))
				}
				return a.withMigrator(cmd.Context(), l, func(migrator *migrations.Migrator) error {
					indexes, err := migrator.Indexes(cmd.Context())
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
			for _, name := range names {
				if !slices.Contains(migrations.IndexNames(), name) {
					return usage(fmt.Errorf("%w: %q: there are %s", migrations.ErrNoIndex, name, strings.Join(migrations.IndexNames(), ", ")))
				}
			}
			if err := c.need(a); err != nil {
				return err
			}
			return a.withMigrator(cmd.Context(), l, func(migrator *migrations.Migrator) error {
				err := a.changeIndexes(cmd.Context(), migrator, c, verb, names)
				if errors.Is(err, migrations.ErrIndexTaken) {
					return &statusError{exitRefused, err}
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "add, or remove, every one of them")
	c.flags(cmd)
	l.flags(cmd.Flags())
	return cmd
}

// changeIndexes adds or removes indexes, or prints the SQL that would.
func (a *app) changeIndexes(ctx context.Context, migrator *migrations.Migrator, c consent, verb string, names []string) error {
	plan, change, question, doing := migrator.PlanAddIndexes, migrator.AddIndexes, "Build %s?", "building"
	if verb == "remove" {
		plan, change, question, doing = migrator.PlanRemoveIndexes, migrator.RemoveIndexes, "Drop %s?", "dropping"
	}
	steps, err := plan(ctx, names)
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
	if err := c.ask(a, fmt.Sprintf(question, strings.Join(touched, ", "))); err != nil {
		return err
	}
	done, err := change(ctx, names, func(step migrations.IndexStep) { a.say("%s %s…", doing, step.Index) })
	if len(done) == 0 && err != nil {
		return err
	}
	return errors.Join(a.print(changedIndexes{false, done}), err)
}

// offeredIndexes prints which indexes there are.
type offeredIndexes []migrations.Index

func (o offeredIndexes) lines() []any {
	var lines []any
	for _, index := range o {
		lines = append(lines, index)
	}
	return lines
}

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

// changedIndexes prints what was, or would be, done about indexes: as SQL.
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
		for _, statement := range step.SQL {
			fmt.Fprintln(a.stdout, statement+";")
		}
	}
	return nil
}
