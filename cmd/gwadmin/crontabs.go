package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/crontab"
	"github.com/gwadmin/gwadmin/internal/dryrun"
)

func crontabsCommand(a *app) *cobra.Command {
	var file string
	var items []crontab.Item
	var cmd *cobra.Command
	cmd = a.reading(&cobra.Command{
		Use:   "crontabs",
		Short: "List the recorded cron items, when each last ran, and when it runs next",
		Long: `List the recorded cron items, when each last ran, and when it runs next.

A worker records the items of its crontab when it starts. Items that are
removed from the crontab stay recorded. When an item runs next is only in the
crontab: name its file with --file.`,
		Example: "  gwadmin crontabs\n  gwadmin crontabs --file crontab",
		RunE: func(*cobra.Command, []string) (err error) {
			if cmd.Flags().Changed("file") {
				items, err = a.readCrontab(file)
			}
			return err
		},
	}, func(ctx context.Context, client *admin.Client) (printable, error) {
		known, err := client.Crontabs(ctx)
		if err != nil || !cmd.Flags().Changed("file") {
			return shownCrontabs(known), err
		}
		now, err := client.Now(ctx)
		return plannedCrontabs(crontab.Plans(items, known, now)), err
	})
	cmd.Flags().StringVar(&file, "file", "", "the crontab of the workers; - is standard input")
	cmd.AddCommand(crontabsRunCommand(a))
	return cmd
}

// readCrontab reads the items of a crontab file.
func (a *app) readCrontab(file string) ([]crontab.Item, error) {
	if file == "" {
		return nil, usage(errors.New("--file is empty: name a file, or - for standard input"))
	}
	name, text, err := a.readCopy(file)
	if err != nil {
		return nil, fmt.Errorf("read the crontab: %w", err)
	}
	items, err := crontab.Parse(text)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", name, err))
	}
	return items, nil
}

type shownCrontabs []admin.Crontab

func (c shownCrontabs) lines() []any { return anys(c) }

func (c shownCrontabs) notes(*app) []string { return noneOf(c, "no worker has recorded a cron item") }

func (c shownCrontabs) tables(a *app) []table.Writer {
	t := a.table("", "identifier", "known since", "last execution")
	for _, item := range c {
		t.AppendRow(table.Row{item.Identifier, a.moment(&item.KnownSince), a.moment(item.LastExecution)})
	}
	return []table.Writer{t}
}

type plannedCrontabs []crontab.Plan

func (p plannedCrontabs) lines() []any { return anys(p) }

func (p plannedCrontabs) notes(*app) []string {
	var missing, unknown []string
	for _, plan := range p {
		switch {
		case plan.Line == nil:
			missing = append(missing, plan.Identifier)
		case plan.KnownSince == nil:
			unknown = append(unknown, plan.Identifier)
		}
	}
	notes := noneOf(p, "no cron items")
	if len(missing) > 0 {
		notes = append(notes, "recorded, and not in the file: "+strings.Join(missing, ", "))
	}
	if len(unknown) > 0 {
		notes = append(notes, "no worker has recorded: "+strings.Join(unknown, ", "))
	}
	return notes
}

func (p plannedCrontabs) tables(a *app) []table.Writer {
	t := a.table("", "identifier", "schedule", "task", "known since", "last execution", "next run")
	for _, plan := range p {
		next := a.moment(plan.NextRun)
		if plan.NextRun == nil && plan.Line != nil {
			next = "never"
		}
		t.AppendRow(table.Row{plan.Identifier, fixed(deref(plan.Schedule)), deref(plan.Task), a.moment(plan.KnownSince), a.moment(plan.LastExecution), next})
	}
	return []table.Writer{t}
}

func crontabsRunCommand(a *app) *cobra.Command {
	var c consent
	var file string
	cmd := &cobra.Command{
		Use:   "run IDENTIFIER|LINE",
		Short: "Add the job of a cron item now",
		Long: `Add the job of a cron item now.

The item is one of --file, by its identifier, or a whole line of a crontab. The
job is the one that a worker would add in this minute: with the item's options,
and with _cron in its payload. The run is not recorded: the item also runs when
it is due.`,
		Example: "  gwadmin crontabs run nightly_report --file crontab\n  gwadmin crontabs run '0 4 * * * send_report ?max=3 {to: \"ada\"}' --dry-run",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			item, err := a.cronItem(args[0], file, cmd.Flags().Changed("file"))
			if err != nil {
				return err
			}
			if err := c.need(a); err != nil {
				return err
			}
			ctx := cmd.Context()
			return a.withPool(ctx, func(pool *pgxpool.Pool) error {
				client := admin.New(pool, admin.WithSchema(a.schema))
				now, err := client.Now(ctx)
				if err != nil {
					return err
				}
				payload, options, err := item.Job(now)
				if err != nil {
					return err
				}
				shown, err := withConsent(a, &c, func(dryRun bool) (addedJob, error) {
					job, before, err := dryrun.AddJob(ctx, client, dryRun, item.Task, payload, options)
					if err != nil {
						return addedJob{}, err
					}
					return addedJob{DryRun: dryRun, Job: *job, before: before}, nil
				}, func(preview addedJob) bool {
					a.say("%s", preview.sentence(a))
					return true
				})
				if err != nil {
					return err
				}
				if err := a.print(shown); err != nil {
					return err
				}
				a.say("%s", shown.sentence(a))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the crontab that has the item; - is standard input")
	c.flags(cmd)
	return cmd
}

// cronItem returns the item with the identifier in the file, or that of a line.
func (a *app) cronItem(text, file string, named bool) (*crontab.Item, error) {
	if crontab.IsLine(strings.TrimSpace(text)) {
		if named {
			return nil, usage(errors.New("give a LINE or --file, not both"))
		}
		item, err := crontab.ParseLine(strings.TrimSpace(text))
		if err != nil {
			return nil, usage(fmt.Errorf("the LINE: %w", err))
		}
		return item, nil
	}
	if !named {
		return nil, usage(errors.New("it is not a LINE of a crontab, and an IDENTIFIER needs --file"))
	}
	items, err := a.readCrontab(file)
	if err != nil {
		return nil, err
	}
	var known []string
	for _, item := range items {
		if item.Identifier == text {
			return &item, nil
		}
		known = append(known, item.Identifier)
	}
	return nil, usage(fmt.Errorf("the crontab has no item %q%s", text, didYouMean(text, known)))
}
