package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gwadmin/gwadmin/admin"
)

// A bulkVerb changes jobs by their ids or by a filter.
type bulkVerb struct {
	consent
	filterFlags
	past     string // what the changed jobs are then, such as "completed"
	byIDs    func(*admin.Client, context.Context, []int64, *admin.ChangeOptions) (*admin.ChangeResult, error)
	byFilter func(*admin.Client, context.Context, admin.Filter, *admin.WhereOptions) (*admin.ChangeResult, error)

	saver   *saver // nil: the verb does not delete
	options admin.WhereOptions
	where   *pflag.FlagSet // the filter's flags, and those of options
}

const bulkHelp = `The jobs are given by their ids or by filters. A job must match all filters.
--all selects every job. The command shows how many jobs would be changed and
how many would be left alone, and asks. It changes them in batches, each a
transaction. Ctrl-C ends it after a batch. It then says what was done.`

// idBatch is the most ids of one transaction.
const idBatch = 5000

// command adds arguments, flags and a RunE to a verb. If the verb has a RunE already, that
// runs first and checks the verb's own flags.
func (v *bulkVerb) command(a *app, cmd *cobra.Command) *cobra.Command {
	if cmd.Long == "" {
		cmd.Long = cmd.Short + "."
	}
	cmd.Long += "\n\n" + bulkHelp
	v.consent.flags(cmd)
	v.where = pflag.NewFlagSet("where", pflag.ContinueOnError)
	v.filterFlags.flags(v.where)
	v.where.BoolVar(&v.options.All, "all", false, "every job, instead of a filter")
	v.where.Int64Var(&v.options.Limit, "limit", 0, "with a filter, the most jobs to change (default all that match)")
	v.where.IntVar(&v.options.BatchSize, "batch", 1000, "with a filter, the most jobs of one transaction, up to 10000")
	v.where.DurationVar(&v.options.Pause, "pause", 0, "with a filter, the pause between two batches")
	v.options.Sample = v.where.Int("sample", 10, "with a filter, how many of the changed jobs to show, and of those left alone")
	v.where.VisitAll(cmd.Flags().AddFlag) // panics if the verb has a flag of that name
	if v.saver != nil {
		cmd.Long += "\n\n" + saveHelp
		v.saver.flags(cmd.Flags())
	} else {
		v.saver = &saver{}
	}
	check := cmd.RunE
	cmd.Args = v.args
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if check != nil {
			if err := check(cmd, args); err != nil {
				return err
			}
		}
		if err := v.saver.check(); err != nil {
			return err
		}
		defer v.saver.close(a)
		if len(args) == 0 {
			return v.runFilter(cmd.Context(), a)
		}
		return v.runIDs(cmd.Context(), a, args)
	}
	return cmd
}

// args requires either ids or filters.
func (v *bulkVerb) args(_ *cobra.Command, args []string) error {
	filters, where := given(v.set), given(v.where)
	switch {
	case len(args) > 0 && len(where) > 0:
		return usage(fmt.Errorf("give ids or %s, not both", strings.Join(where, ", ")))
	case len(args) == 0 && len(filters) == 0 && !v.where.Changed("all"):
		return usage(errors.New("no jobs: give ids, - to read them from standard input, filters, or --all"))
	case v.options.Limit < 1 && v.where.Changed("limit"): // 0 is no limit in Go
		return usage(fmt.Errorf("--limit %d is less than 1: leave it out to change all that match", v.options.Limit))
	case v.options.BatchSize < 1:
		return usage(fmt.Errorf("--batch %d is outside 1 to 10000", v.options.BatchSize))
	case v.options.All && len(filters) > 0:
		return usage(errors.New("--all selects every job: leave it out, or the filters"))
	}
	return nil
}

// runIDs changes jobs by their ids. A batch that has begun is not interrupted.
func (v *bulkVerb) runIDs(ctx context.Context, a *app, args []string) error {
	ids, err := a.readIDs(args)
	if err != nil {
		return err
	}
	if err := v.need(a); err != nil {
		return err
	}
	if len(ids) == 0 { // no error, as with xargs -r
		a.say("no ids on standard input")
		none := &admin.ChangeResult{DryRun: v.dryRun, Skipped: map[admin.SkipReason]int64{}, Jobs: []admin.Job{}, SkippedJobs: []admin.Skip{}}
		return a.print(changeResult{ChangeResult: none, past: v.past})
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	return a.withPool(ctx, func(pool *pgxpool.Pool) error { // connects at once: no batch is interrupted
		client := admin.New(pool, admin.WithSchema(a.schema))
		result, err := withConsent(a, &v.consent, func(dryRun bool) (*admin.ChangeResult, error) {
			return v.changeIDs(ctx, a, client, ids, dryRun)
		}, func(preview *admin.ChangeResult) bool { return v.preview(a, preview) })
		return v.report(a, result, err)
	})
}

// changeIDs makes the call for one batch of ids after the other and adds up the results.
// With ndjson it prints the jobs of each batch at once and does not keep them.
func (v *bulkVerb) changeIDs(ctx context.Context, a *app, client *admin.Client, ids []int64, dryRun bool) (*admin.ChangeResult, error) {
	total := &admin.ChangeResult{DryRun: dryRun, Skipped: map[admin.SkipReason]int64{}, Jobs: []admin.Job{}, SkippedJobs: []admin.Skip{}}
	prints := a.format == formatNDJSON && dryRun == v.dryRun
	bar := a.progress(len(ids), v.past)
	defer bar.stop()
	for batch := range slices.Chunk(ids, idBatch) {
		if ctx.Err() != nil {
			return total, ctx.Err()
		}
		carried, done := a.carryThrough(ctx)
		result, err := v.byIDs(client, carried, batch, &admin.ChangeOptions{DryRun: dryRun, Save: v.saver.save(dryRun)})
		done()
		if err != nil {
			return total, err
		}
		total.Matched += result.Matched
		total.Changed += result.Changed
		for reason, jobs := range result.Skipped {
			total.Skipped[reason] += jobs
		}
		if prints {
			if err := a.printLines(changeResult{ChangeResult: result, past: v.past}.jobLines()); err != nil {
				return total, err
			}
		} else {
			total.Jobs = append(total.Jobs, result.Jobs...)
			total.SkippedJobs = append(total.SkippedJobs, result.SkippedJobs...)
		}
		bar.add(len(batch))
	}
	return total, nil
}

// runFilter changes the jobs that match the filter.
func (v *bulkVerb) runFilter(ctx context.Context, a *app) error {
	if err := v.need(a); err != nil {
		return err
	}
	return a.withClient(ctx, func(client *admin.Client) error {
		filter, err := v.filter(ctx, client)
		if err != nil {
			return err
		}
		total := int64(0) // unknown without a preview
		result, err := withConsent(a, &v.consent, func(dryRun bool) (*admin.ChangeResult, error) {
			options := v.options
			options.DryRun, options.Save = dryRun, v.saver.save(dryRun)
			if !dryRun {
				bar, changed := a.progress(int(total), v.past), int64(0)
				defer bar.stop()
				options.Progress = func(result admin.ChangeResult) {
					bar.add(int(result.Changed - changed))
					changed = result.Changed
				}
			}
			return v.byFilter(client, ctx, filter, &options)
		}, func(preview *admin.ChangeResult) bool {
			total = preview.Changed
			return v.preview(a, preview)
		})
		if err = v.report(a, result, err); err != nil && exitCode(err) != exitSkipped {
			return err
		}
		for _, note := range unknownNames(ctx, client, filter) {
			a.say("%s", note)
			err = status(exitSkipped)
		}
		return err
	})
}

// preview shows what would be changed, and a sample of the jobs. It reports whether any would.
func (v *bulkVerb) preview(a *app, result *admin.ChangeResult) bool {
	if result.Changed == 0 {
		return false
	}
	sample := *result // by ids it has all of them
	sample.Jobs = sample.Jobs[:min(len(sample.Jobs), *v.options.Sample)]
	sample.SkippedJobs = sample.SkippedJobs[:min(len(sample.SkippedJobs), *v.options.Sample)]
	shown := changeResult{ChangeResult: &sample, past: v.past}
	for _, t := range shown.tables(a) {
		if t.Length() > 0 {
			fmt.Fprintln(a.stderr, t.Render())
		}
	}
	a.say("%s", shown.summary())
	return true
}

// report prints what was done. After an error that is what was done before it.
func (v *bulkVerb) report(a *app, result *admin.ChangeResult, err error) error {
	unknown, interrupted := unknownOf(err), a.wasInterrupted(err)
	if err != nil && (result == nil || result.DryRun || result.Matched == 0) {
		if interrupted && unknown == nil {
			return errInterrupted
		}
		return err
	}
	result.DryRun = v.dryRun // a preview without changes stands for the call
	shown := changeResult{result, unknown, v.past}
	printErr := a.print(shown)
	a.say("%s", shown.summary()) // even if the result could not be printed
	switch {
	case unknown != nil:
		return fmt.Errorf("stopped after %s; the next batch may be done, and the others are untouched: %w", plural(result.Matched, "job"), err)
	case interrupted:
		return &statusError{exitInterrupted, fmt.Errorf("interrupted after %s; the others are untouched", plural(result.Matched, "job"))}
	case err != nil:
		return &statusError{exitError, fmt.Errorf("stopped after %s; the others are untouched: %w", plural(result.Matched, "job"), err)}
	case printErr != nil:
		return printErr
	case result.Changed < result.Matched:
		return status(exitSkipped)
	}
	return nil
}

// changeResult prints what a bulk verb did.
type changeResult struct {
	*admin.ChangeResult
	OutcomeUnknown *unknownOutcome `json:"outcome_unknown,omitempty"`

	past string
}

// jobLines are the lines of the jobs.
func (r changeResult) jobLines() []any {
	var lines []any
	for _, job := range r.Jobs {
		lines = append(lines, struct {
			DryRun bool      `json:"dry_run"`
			Job    admin.Job `json:"job"`
		}{r.DryRun, job})
	}
	for _, skip := range r.SkippedJobs {
		lines = append(lines, struct {
			DryRun bool       `json:"dry_run"`
			Skip   admin.Skip `json:"skipped_job"`
		}{r.DryRun, skip})
	}
	return lines
}

// lines are a line for each job and one with the numbers.
func (r changeResult) lines() []any {
	return append(r.jobLines(), struct {
		DryRun  bool                       `json:"dry_run"`
		Matched int64                      `json:"matched"`
		Changed int64                      `json:"changed"`
		Skipped map[admin.SkipReason]int64 `json:"skipped"`
		States  admin.Counts               `json:"states,omitempty"`
		More    bool                       `json:"more"`
	}{r.DryRun, r.Matched, r.Changed, r.Skipped, r.States, r.More})
}

func (r changeResult) tables(a *app) []table.Writer {
	states := a.table("MATCHING JOBS", "state", "jobs")
	for _, state := range admin.States {
		if jobs := r.States[state]; jobs > 0 {
			states.AppendRow(table.Row{state, jobs})
		}
	}
	skipped := a.table("LEFT ALONE", "id", "left alone", "locked by", "since")
	for _, s := range r.SkippedJobs {
		skipped.AppendRow(table.Row{s.ID, s.Reason, deref(s.LockedBy), a.moment(s.LockedAt)})
	}
	return []table.Writer{states, a.changedTable(strings.ToUpper(outcome(r.DryRun, r.past)), r.Jobs), skipped}
}

func (r changeResult) summary() string {
	text := fmt.Sprintf("%d %s, %d %s", r.Changed, outcome(r.DryRun, r.past), r.Matched-r.Changed, outcome(r.DryRun, "left alone"))
	var reasons []string
	for _, reason := range admin.SkipReasons {
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

// outcome says what was done, or in a dry run would be.
func outcome(dryRun bool, past string) string {
	if dryRun {
		return "would be " + past
	}
	return past
}
