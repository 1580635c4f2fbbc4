package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gwadmin/gwadmin/admin"
)

// whereHelp tells of the two ways to say which jobs a verb is about.
const whereHelp = `The jobs are named by their ids, or picked by filters, of which all must hold that
are given. With filters it shows first how many jobs match, in which states, and
which would be left alone, and asks; --all picks every job. Each batch is a
transaction: Ctrl-C leaves whole batches, and says how many jobs they changed.`

// whereFlags are a verb's flags for picking jobs by filter.
type whereFlags struct {
	filterFlags
	options admin.WhereOptions
	sample  int
	all     *pflag.FlagSet // the filter's, and those that say how the change runs
}

func (w *whereFlags) flags(cmd *cobra.Command) {
	w.all = pflag.NewFlagSet("where", pflag.ContinueOnError)
	w.filterFlags.flags(w.all)
	w.set.BoolVar(&w.options.All, "all", false, "every job, instead of a filter")
	w.all.AddFlag(w.set.Lookup("all"))
	w.all.Int64Var(&w.options.Limit, "limit", 0, "with a filter, the most jobs to change (default all that match)")
	w.all.IntVar(&w.options.BatchSize, "batch", 1000, "with a filter, the most jobs of one transaction, up to 10000")
	w.all.DurationVar(&w.options.Pause, "pause", 0, "with a filter, the pause between two batches")
	w.all.IntVar(&w.sample, "sample", 10, "with a filter, how many jobs to show of those changed, and of those left alone")
	w.all.VisitAll(cmd.Flags().AddFlag) // which would panic if the verb had one of the name
}

// given are the names of those of the flags that were given.
func given(flags *pflag.FlagSet) (names []string) {
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			names = append(names, "--"+flag.Name)
		}
	})
	return names
}

// args makes sure that there are either ids or filters.
func (w *whereFlags) args(_ *cobra.Command, args []string) error {
	picks, all := given(w.set), given(w.all)
	switch {
	case len(args) > 0 && len(all) > 0:
		return usage(fmt.Errorf("give ids or %s, not both", strings.Join(all, ", ")))
	case len(args) == 0 && len(picks) == 0:
		return usage(errors.New("no jobs: give ids, - to read them from standard input, filters, or --all"))
	case w.options.Limit < 1 && w.all.Changed("limit"): // in Go 0 is none
		return usage(fmt.Errorf("--limit %d is less than 1: leave it out to change all that match", w.options.Limit))
	case w.options.BatchSize < 1:
		return usage(fmt.Errorf("--batch %d is outside 1 to 10000", w.options.BatchSize))
	case w.options.All && len(picks) > 1:
		return usage(errors.New("--all picks every job: leave it out, or the filters"))
	}
	return nil
}

// whereResult prints what a change by filter did.
type whereResult struct {
	*admin.ChangeResult

	done string
}

func (r whereResult) lines() []any { return []any{r.ChangeResult} }

func (r whereResult) tables(a *app) []table.Writer {
	states := a.table("MATCHING JOBS", "state", "jobs")
	for _, state := range admin.States {
		if jobs := r.States[state]; jobs > 0 {
			states.AppendRow(table.Row{state, jobs})
		}
	}
	var sample []admin.ListedJob
	for _, job := range r.Jobs {
		sample = append(sample, admin.ListedJob{Job: job})
	}
	return []table.Writer{states, a.jobsTable(strings.ToUpper(outcome(r.DryRun, r.done)), sample, nil), a.skippedTable(r.SkippedJobs)}
}

func (r whereResult) left() int64 { return r.Matched - r.Changed }

func (r whereResult) summary() string {
	text := fmt.Sprintf("%d %s, %d %s", r.Changed, outcome(r.DryRun, r.done), r.left(), outcome(r.DryRun, "left alone"))
	var reasons []string
	for _, reason := range []admin.SkipReason{admin.Locked, admin.Contended} {
		if jobs := r.Skipped[reason]; jobs > 0 {
			reasons = append(reasons, fmt.Sprintf("%d %s", jobs, reason))
		}
	}
	if len(reasons) > 0 {
		text += ": " + strings.Join(reasons, ", ")
	}
	if r.More {
		text += "; more may match"
	}
	return text
}

// runWhere makes the change on the jobs that the filter picks.
func (c *change) runWhere(a *app, cmd *cobra.Command) error {
	ctx := cmd.Context()
	if err := c.need(a); err != nil {
		return err
	}
	filter := c.where.filter()
	options := c.where.options
	options.Sample = &c.where.sample
	return a.withClient(ctx, func(client *admin.Client) error {
		total := int64(0) // not known
		if c.dryRun || !c.yes {
			preview, err := c.look(ctx, client, filter, options)
			if err != nil {
				return err
			}
			if c.dryRun {
				return c.report(a, preview, nil)
			}
			if preview.Changed == 0 { // there is nothing to ask about
				preview.DryRun = false
				return c.report(a, preview, nil)
			}
			for _, t := range preview.tables(a) {
				if t.Length() > 0 {
					fmt.Fprintln(a.stderr, t.Render())
				}
			}
			a.say("%s", preview.summary())
			if err := c.ask(a, "Go on?"); err != nil {
				return err
			}
			total = preview.Changed
		}
		bar := a.progress(int(total), c.done)
		changed := int64(0)
		options.Progress = func(r admin.ChangeResult) {
			bar.add(int(r.Changed - changed))
			changed = r.Changed
		}
		result, err := c.callWhere(ctx, client, filter, &options)
		bar.stop()
		if result == nil || err != nil && result.Matched == 0 {
			return interruptedOr(ctx, err)
		}
		return c.report(a, whereResult{result, c.done}, err)
	})
}

// look is the preview.
func (c *change) look(ctx context.Context, client *admin.Client, filter admin.Filter, options admin.WhereOptions) (whereResult, error) {
	options.DryRun = true
	result, err := c.callWhere(ctx, client, filter, &options)
	return whereResult{result, c.done}, interruptedOr(ctx, err)
}

// interruptedOr says of an error that Ctrl-C led to that nothing was changed.
func interruptedOr(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// report prints what was done, also when an error ended it.
func (c *change) report(a *app, result whereResult, err error) error {
	printErr := a.print(result)
	a.say("%s", result.summary()) // also when that could not be printed
	switch {
	case errors.Is(err, context.Canceled):
		return &statusError{exitInterrupted, fmt.Errorf("interrupted after %s; the others are untouched", plural(result.Changed, "changed job"))}
	case err != nil:
		return &statusError{exitError, fmt.Errorf("stopped after %s; the others are untouched: %w", plural(result.Changed, "changed job"), err)}
	case printErr != nil:
		return printErr
	case result.left() > 0:
		return status(exitSkipped)
	}
	return nil
}
