package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsListCommand(a *app) *cobra.Command {
	var filter filterFlags
	var options admin.ListOptions
	var sort string
	var every watchFlag
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List jobs by state, task, queue and whatever else they hold",
		Long: `List jobs by state, task, queue and whatever else they hold.

All filters must hold that are given; one of a filter's values is enough. The
states are ready, scheduled, retrying, waiting (for their queue, whose other job
runs), running, stale (held for more than 4 hours) and permafailed.

Where there are more jobs than --limit, it says with which --cursor to go on. Only
the order by id comes off an index.

--watch shows the list again and again: on a terminal in place, elsewhere one after
the other. In JSON each is a value of its own; as ndjson the jobs of all follow each
other. Ctrl-C ends it, with exit code 0. An error ends it at the first time only: when
the database is away later, as in a failover, it says so and goes on trying. Times
from now, such as -1h, are from its start.`,
		Example: `  gwadmin jobs list --state permafailed --task send_email
  gwadmin jobs list --sort -run_at --limit 20
  gwadmin jobs list --state running,waiting --watch=5s
  gwadmin jobs list --error timeout -o ndjson | jq .id | gwadmin jobs retry - --dry-run`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && every != 0 {
				return fmt.Errorf("--watch takes its duration with an equals sign: --watch=%s", args[0])
			}
			return takes(0, 0)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			field, descending := strings.CutPrefix(sort, "-")
			options.SortBy, options.Descending = admin.SortKey(field), descending
			if options.PageSize == 0 { // which in Go is the default
				return usage(fmt.Errorf("--limit 0 is outside 1 to %d", admin.MaxPageSize))
			}
			ctx := cmd.Context()
			return a.withClient(ctx, func(client *admin.Client) error {
				if every != 0 {
					return a.watch(ctx, time.Duration(every), func() (printable, string, error) {
						page, err := client.ListJobs(ctx, filter.filter(cmd.Flags()), &options)
						if err != nil {
							return nil, "", err
						}
						return jobPage{page}, jobPage{page}.title(), nil
					})
				}
				page, err := client.ListJobs(ctx, filter.filter(cmd.Flags()), &options)
				if err != nil {
					return err
				}
				if err := a.print(jobPage{page}); err != nil {
					return err
				}
				if page.Next != "" {
					a.say("there are more: go on with --cursor %s", page.Next)
				}
				return nil
			})
		},
	}
	flags := cmd.Flags()
	filter.flags(flags)
	flags.StringVar(&sort, "sort", "id", "id, run_at, created_at, priority or attempts, each also with a minus in front")
	flags.IntVar(&options.PageSize, "limit", 100, "how many jobs at most, up to 10000")
	flags.StringVar(&options.Cursor, "cursor", "", "go on where the page before ended")
	flags.IntVar(&options.PayloadBytes, "payload", 0, "show payloads of up to so many bytes, in JSON output")
	every.flag(flags)
	return cmd
}

// filterFlags are the flags of a filter.
type filterFlags struct {
	admin.Filter
	states                        []string
	keyPrefix, error              *string
	contains, path                *string
	run, created, updated, locked timeRange
}

type timeRange struct{ after, before momentFlag }

func (f *filterFlags) flags(flags *pflag.FlagSet) {
	flags.Var((*idsFlag)(&f.IDs), "id", "ids")
	flags.StringSliceVar(&f.states, "state", nil, "states")
	flags.StringSliceVar(&f.TaskIdentifiers, "task", nil, "task identifiers")
	flags.StringSliceVar(&f.QueueNames, "queue", nil, "queue names")
	flags.StringSliceVar(&f.Keys, "key", nil, "job keys")
	searchedTextFlag(flags, &f.keyPrefix, "key-prefix", "what the key begins with")
	flags.StringSliceVar(&f.WorkerIDs, "worker", nil, "ids of the workers that hold the jobs")
	flags.StringSliceVar(&f.Flags, "flag", nil, "flags, of which the job has one")
	optionalIntFlag(flags, &f.MinPriority, "min-priority", "the least priority")
	optionalIntFlag(flags, &f.MaxPriority, "max-priority", "the largest priority")
	optionalIntFlag(flags, &f.MinAttempts, "attempts-from", "the fewest attempts")
	optionalIntFlag(flags, &f.MaxAttempts, "attempts-to", "the most attempts")
	searchedTextFlag(flags, &f.error, "error", "text somewhere in the last error, in upper or lower case")
	searchedTextFlag(flags, &f.contains, "payload-contains", "JSON that the payload contains, as PostgreSQL's @> means it")
	searchedTextFlag(flags, &f.path, "payload-path", "SQL/JSON path that finds something in the payload")
	for _, r := range []struct {
		name, what string
		times      *timeRange
	}{
		{"run", "due", &f.run}, {"created", "created", &f.created}, {"updated", "last updated", &f.updated}, {"locked", "locked", &f.locked},
	} {
		flags.Var(&r.times.after, r.name+"-after", r.what+" at that time or later: RFC 3339, or -1h, -3d, +1h from now")
		flags.Var(&r.times.before, r.name+"-before", r.what+" before that time")
	}
}

// filter returns the filter; a list is only part of it when its flag was given.
func (f *filterFlags) filter(flags *pflag.FlagSet) admin.Filter {
	filter := f.Filter
	for name, list := range map[string]*[]string{
		"task": &filter.TaskIdentifiers, "queue": &filter.QueueNames, "key": &filter.Keys, "worker": &filter.WorkerIDs, "flag": &filter.Flags,
	} {
		if !flags.Changed(name) {
			*list = nil
		}
	}
	if flags.Changed("state") {
		filter.States = []admin.State{}
	}
	for _, state := range f.states {
		filter.States = append(filter.States, admin.State(state))
	}
	filter.KeyPrefix, filter.ErrorText, filter.PayloadPath = f.keyPrefix, f.error, f.path
	if f.contains != nil {
		filter.PayloadContains = []byte(*f.contains)
	}
	filter.RunAt, filter.CreatedAt = f.run.times(), f.created.times()
	filter.UpdatedAt, filter.LockedAt = f.updated.times(), f.locked.times()
	return filter
}

func (r timeRange) times() admin.TimeRange {
	return admin.TimeRange{From: r.after.at, Before: r.before.at}
}

// jobPage prints a page of jobs.
type jobPage struct{ *admin.Page }

// title says how many jobs are in sight.
func (p jobPage) title() string {
	switch {
	case len(p.Jobs) == 0:
		return "no jobs"
	case p.Next != "":
		return "the first " + plural(len(p.Jobs), "job")
	}
	return plural(len(p.Jobs), "job")
}

func (p jobPage) lines() []any {
	var lines []any
	for _, job := range p.Jobs {
		lines = append(lines, job)
	}
	return lines
}

func (p jobPage) tables(a *app) []table.Writer { return []table.Writer{a.listTable("JOBS", p.Jobs)} }

func (a *app) listTable(title string, jobs []admin.ListedJob) table.Writer {
	t := a.table(title, "id", "state", "task", "queue", "key", "priority", "attempts", "run at", "locked by", "last error")
	for _, job := range jobs {
		t.AppendRow(table.Row{job.ID, job.State, job.TaskIdentifier, deref(job.QueueName), deref(job.Key), job.Priority,
			fmt.Sprintf("%d/%d", job.Attempts, job.MaxAttempts), when(job.RunAt), deref(job.LockedBy), firstLine(deref(job.LastError))})
	}
	return t
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	if runes := []rune(line); len(runes) > 60 {
		return string(runes[:59]) + "…"
	}
	return line
}
