package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

const gcTasksWarning = `Warning: GC_TASK_IDENTIFIERS is unsafe while workers run. They remember tasks
by their id, and never find the jobs that are later added for the same task.
Stop them first, or keep their task identifiers with --keep.`

func cleanupCommand(a *app) *cobra.Command {
	var c consent
	var names []string
	var options admin.CleanupOptions
	var dead saver
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Delete failed jobs, unused tasks and unused queues",
		Long: `Delete failed jobs, unused tasks and unused queues.

  DELETE_PERMAFAILED_JOBS  unlocked jobs that have used up their attempts
  GC_TASK_IDENTIFIERS      tasks that no job refers to
  GC_JOB_QUEUES            unlocked queues that no job refers to

They run in this order, in batches of up to 10000 rows, each a transaction. If
the command ends early it says what was deleted. A dry run counts each by
itself: a task that only failed jobs refer to is not in its count.

GC_JOB_QUEUES cannot see a job that an open transaction has added to an empty
queue. If the queue is deleted the job is stranded. The command says how many
such jobs there are, and gwadmin queues restore puts them back in reach of
workers.

` + gcTasksWarning + "\n\n" + strings.Replace(saveHelp, "the jobs are", "the failed jobs are", 1),
		Example: `  gwadmin cleanup --tasks DELETE_PERMAFAILED_JOBS,GC_JOB_QUEUES --dry-run
  gwadmin cleanup --tasks GC_TASK_IDENTIFIERS --keep send_email,resize_image --yes`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(names) == 0 {
				return usage(errors.New("--tasks names none: leave it out for GC_JOB_QUEUES"))
			}
			for _, name := range names {
				options.Tasks = append(options.Tasks, admin.CleanupTask(strings.TrimSpace(name)))
			}
			if dead.name != "" && !slices.Contains(options.Tasks, admin.DeletePermafailedJobs) {
				return usage(fmt.Errorf("--save is for --tasks %s", admin.DeletePermafailedJobs))
			}
			if err := dead.check(); err != nil {
				return err
			}
			defer dead.close(a)
			if err := c.need(a); err != nil {
				return err
			}
			if slices.Contains(options.Tasks, admin.GCTaskIdentifiers) {
				a.say("%s", gcTasksWarning)
			}
			ctx := cmd.Context()
			return a.withClient(ctx, func(client *admin.Client) error {
				result, err := withConsent(a, &c, func(dryRun bool) (*admin.CleanupResult, error) {
					options.DryRun, options.Save = dryRun, dead.save(dryRun)
					return client.Cleanup(ctx, options)
				}, func(preview *admin.CleanupResult) bool {
					shown := cleaned{DryRun: true, CleanupResult: preview}
					a.say("%s", shown.sentence())
					return slices.ContainsFunc(shown.counts(), func(count cleanedTask) bool { return count.Rows > 0 })
				})
				if result == nil || err != nil && len(result.Deleted) == 0 {
					return err
				}
				printErr := a.print(cleaned{c.dryRun, result, unknownOf(err)}) // after an error, what was done before it
				if result.Stranded > 0 {
					a.say("%s stranded: added to a queue that was deleted meanwhile; gwadmin queues restore puts them back in reach", plural(result.Stranded, "job"))
				}
				return errors.Join(err, printErr)
			})
		},
	}
	cmd.Flags().StringSliceVar(&names, "tasks", []string{string(admin.GCJobQueues)}, "which of them to run, in any order")
	cmd.Flags().StringSliceVar(&options.KeepTasks, "keep", nil, "task identifiers that GC_TASK_IDENTIFIERS does not delete"+separated)
	dead.flags(cmd.Flags())
	c.flags(cmd)
	return cmd
}

// cleaned prints how many rows each cleanup task deleted.
type cleaned struct {
	DryRun bool `json:"dry_run"`
	*admin.CleanupResult
	OutcomeUnknown *unknownOutcome `json:"outcome_unknown,omitempty"`
}

// counts are the tasks in the order they ran.
func (c cleaned) counts() []cleanedTask {
	var counts []cleanedTask
	for _, task := range []admin.CleanupTask{admin.DeletePermafailedJobs, admin.GCTaskIdentifiers, admin.GCJobQueues} {
		if rows, ok := c.Deleted[task]; ok {
			count := cleanedTask{DryRun: c.DryRun, Task: task, Rows: rows}
			if task == admin.GCJobQueues {
				count.Stranded = c.Stranded
			}
			counts = append(counts, count)
		}
	}
	return counts
}

type cleanedTask struct {
	DryRun bool              `json:"dry_run"`
	Task   admin.CleanupTask `json:"task"`
	Rows   int64             `json:"deleted"`
	// Stranded is how many jobs GC_JOB_QUEUES left without their queue.
	Stranded int64 `json:"stranded,omitempty"`
}

func (c cleaned) lines() []any {
	var lines []any
	for _, count := range c.counts() {
		lines = append(lines, count)
	}
	return lines
}

func (c cleaned) tables(a *app) []table.Writer {
	column := "deleted"
	if c.DryRun {
		column = "would be deleted"
	}
	t := a.table("CLEANUP", "task", column)
	for _, count := range c.counts() {
		t.AppendRow(table.Row{count.Task, count.Rows})
	}
	return []table.Writer{t}
}

func (c cleaned) sentence() string {
	var parts []string
	for _, count := range c.counts() {
		parts = append(parts, fmt.Sprintf("%s would delete %d", count.Task, count.Rows))
	}
	return strings.Join(parts, ", ")
}
