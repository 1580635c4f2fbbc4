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

An empty database gets the whole schema; one that Graphile Worker 0.16 or newer
installed is taken over with its jobs. Applying them again changes nothing.

Where a breaking revision is to come while workers hold jobs, it says which and
refuses. --wait-idle waits until none is held, and --force goes on. Running workers
of an incompatible release are told to stop.`,
		Example: `  gwadmin migrate up
  gwadmin migrate up --wait-idle 5m --lock-timeout 2s
  gwadmin migrate up --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if force && cmd.Flags().Changed("wait-idle") {
				return usage(errors.New("--force does not wait: leave out --wait-idle"))
			}
			if waitIdle < 0 {
				return usage(fmt.Errorf("--wait-idle %s is negative", waitIdle))
			}
			ctx := cmd.Context()
			return a.withMigrator(ctx, l, func(migrator *migrations.Migrator) error {
				options := &migrations.UpOptions{}
				if cmd.Flags().Changed("to") {
					options.To = &to
				}
				if dryRun || force || waitIdle > 0 {
					if err := a.sayHolders(ctx, migrator); err != nil {
						return err
					}
				}
				if dryRun {
					return a.showPlan(ctx, migrator, options.To)
				}
				if !force {
					options.WaitIdle = &waitIdle
				}
				result, err := migrator.Up(ctx, options)
				switch {
				case errors.Is(err, migrations.ErrNoMigration):
					return usage(err)
				case errors.Is(err, migrations.ErrBusy):
					return fmt.Errorf("%w: see --wait-idle and --force", err)
				case err != nil:
					return err
				}
				if result.Newer {
					a.say("the schema is at revision %d, newer than this gwadmin knows; it is left as it is", result.After)
				} else if len(result.Applied) == 0 {
					a.say("up to date at revision %d", result.After)
				}
				applied := []numbered{}
				for _, m := range result.Applied {
					applied = append(applied, numbered{m.Version, m.Name})
				}
				return a.print(migrated{applied, result.Before, result.After, result.Newer})
			})
		},
	}
	flags := cmd.Flags()
	flags.Int64Var(&to, "to", 0, "the last migration to apply (default all)")
	flags.DurationVar(&waitIdle, "wait-idle", 0, "before a breaking revision, wait so long until no worker holds a job")
	flags.BoolVar(&force, "force", false, "go on though workers hold jobs")
	flags.BoolVar(&dryRun, "dry-run", false, "only show what is pending, as plan does")
	l.flags(flags)
	return cmd
}

// sayHolders says who holds jobs while a breaking revision is to come.
func (a *app) sayHolders(ctx context.Context, migrator *migrations.Migrator) error {
	holders, err := migrator.Holders(ctx)
	for _, h := range holders {
		a.say("a breaking revision is to come while %s holds %s, since %s", h.WorkerID, plural(h.Jobs, "job"), a.moment(&h.Oldest))
	}
	return err
}

// migrated prints what up applied.
type migrated struct {
	Applied []numbered `json:"applied"`
	Before  int        `json:"revision_before"`
	After   int        `json:"revision_after"`
	Newer   bool       `json:"newer"`
}

// numbered is a migration by its number.
type numbered struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
}

func (m migrated) lines() []any { return []any{m} }

func (m migrated) tables(a *app) []table.Writer {
	t := a.table("APPLIED", "migration", "name")
	for _, migration := range m.Applied {
		t.AppendRow(table.Row{migration.Version, migration.Name})
	}
	return []table.Writer{t}
}
