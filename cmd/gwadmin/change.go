package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

// batchSize is how many ids one transaction takes.
const batchSize = 5000

// A change is a verb on jobs, by their ids or by a filter.
type change struct {
	consent
	where     whereFlags
	done      string // what becomes of a job, as "completed"
	call      func(ctx context.Context, client *admin.Client, ids []int64, dryRun bool) (*admin.ChangeResult, error)
	callWhere func(ctx context.Context, client *admin.Client, filter admin.Filter, options *admin.WhereOptions) (*admin.ChangeResult, error)
}

// command adds to a verb what picks its jobs, and runs it.
func (c *change) command(a *app, cmd *cobra.Command) *cobra.Command {
	if cmd.Long == "" {
		cmd.Long = cmd.Short + "."
	}
	cmd.Long += "\n\n" + whereHelp
	cmd.Args = c.where.args
	check := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if check != nil {
			if err := check(cmd, args); err != nil {
				return err
			}
		}
		if len(args) == 0 {
			return c.runWhere(a, cmd)
		}
		return c.run(a, cmd, args)
	}
	c.flags(cmd)
	c.where.flags(cmd)
	return cmd
}

// changeResult is what a change prints.
type changeResult struct {
	DryRun  bool         `json:"dry_run"`
	Changed []admin.Job  `json:"changed"`
	Skipped []admin.Skip `json:"skipped"`

	done string
}

func (r *changeResult) lines() []any {
	var lines []any
	for _, job := range r.Changed {
		lines = append(lines, struct {
			DryRun  bool      `json:"dry_run"`
			Changed admin.Job `json:"changed"`
		}{r.DryRun, job})
	}
	for _, skip := range r.Skipped {
		lines = append(lines, struct {
			DryRun  bool       `json:"dry_run"`
			Skipped admin.Skip `json:"skipped"`
		}{r.DryRun, skip})
	}
	return lines
}

func (r *changeResult) tables(a *app) []table.Writer {
	return []table.Writer{a.changedTable(strings.ToUpper(r.verb()), r.Changed), a.skippedTable(r.Skipped)}
}

// verb says what became of the changed jobs.
func (r *changeResult) verb() string { return outcome(r.DryRun, r.done) }

// outcome says what was done, or in a dry run would be.
func outcome(dryRun bool, done string) string {
	if dryRun {
		return "would be " + done
	}
	return done
}

func (r *changeResult) summary() string {
	return fmt.Sprintf("%d %s, %d %s", len(r.Changed), r.verb(), len(r.Skipped), outcome(r.DryRun, "left alone"))
}

func (a *app) skippedTable(skips []admin.Skip) table.Writer {
	t := a.table("LEFT ALONE", "id", "left alone", "locked by", "since")
	for _, s := range skips {
		t.AppendRow(table.Row{s.ID, s.Reason, deref(s.LockedBy), a.moment(s.LockedAt)})
	}
	return t
}

// changedTable shows jobs whose state is not known.
func (a *app) changedTable(title string, jobs []admin.Job) table.Writer {
	listed := make([]admin.ListedJob, len(jobs))
	for i, job := range jobs {
		listed[i].Job = job
	}
	return a.jobsTable(title, listed, nil)
}

// run makes the change, in batches that each are a transaction. Between them it
// may be interrupted; a batch that has begun is carried through.
func (c *change) run(a *app, cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	ids, err := a.readIDs(args)
	if err != nil {
		return err
	}
	if err := c.need(a); err != nil {
		return err
	}
	if len(ids) == 0 { // as with xargs -r, that is no error
		a.say("no ids on standard input")
		return a.print(&changeResult{DryRun: c.dryRun, Changed: []admin.Job{}, Skipped: []admin.Skip{}, done: c.done})
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	// It connects at once: a batch, once begun, is not interrupted.
	return a.withPool(ctx, func(pool *pgxpool.Pool) error {
		client := admin.New(pool, admin.WithSchema(a.schema))
		if !c.dryRun && !c.yes {
			preview, err := c.batches(ctx, a, client, ids, true, false)
			if err != nil {
				return err
			}
			a.say("%s", preview.summary())
			if err := c.ask(a, "Go on?"); err != nil {
				return err
			}
		}
		result, err := c.batches(ctx, a, client, ids, c.dryRun, a.format == formatNDJSON)
		if err != nil && len(result.Changed)+len(result.Skipped) == 0 {
			return err
		}
		var printErr error
		if a.format != formatNDJSON {
			printErr = a.print(result)
		}
		a.say("%s", result.summary()) // also when that could not be printed
		if err == nil {
			err = printErr
		}
		if err == nil && len(result.Skipped) > 0 {
			err = status(exitSkipped)
		}
		return err
	})
}

// batches calls on one batch after the other and returns what they did, also when
// one of them failed. With stream it prints each batch's lines at once.
func (c *change) batches(ctx context.Context, a *app, client *admin.Client, ids []int64, dryRun, stream bool) (*changeResult, error) {
	total := &changeResult{DryRun: dryRun, Changed: []admin.Job{}, Skipped: []admin.Skip{}, done: c.done}
	bar := a.progress(len(ids), c.done)
	defer bar.stop()
	handled := 0
	for batch := range slices.Chunk(ids, batchSize) {
		if ctx.Err() != nil && (dryRun || handled == 0) {
			return total, errInterrupted
		}
		if ctx.Err() != nil {
			return total, &statusError{exitInterrupted, fmt.Errorf("interrupted after %d of %d ids; the others are untouched", handled, len(ids))}
		}
		done := a.carryThrough(ctx)
		result, err := c.call(context.WithoutCancel(ctx), client, batch, dryRun)
		done()
		if err != nil {
			if handled > 0 {
				err = &statusError{exitError, fmt.Errorf("stopped after %d of %d ids; the others are untouched: %w", handled, len(ids), err)}
			}
			return total, err
		}
		handled += len(batch)
		total.Changed = append(total.Changed, result.Jobs...)
		total.Skipped = append(total.Skipped, result.SkippedJobs...)
		if stream {
			now := &changeResult{DryRun: dryRun, Changed: result.Jobs, Skipped: result.SkippedJobs}
			if err := a.printLines(now.lines()); err != nil {
				return total, err
			}
		}
		bar.add(len(batch))
	}
	return total, nil
}
