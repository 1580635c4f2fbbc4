package main

import (
	"context"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

// The verbs that show the whole queue. Counting goes through all jobs.

// showing makes a verb that takes no arguments and prints what it reads.
func (a *app) showing(use, short, example string, read func(context.Context, *admin.Client) (printable, error)) *cobra.Command {
	return &cobra.Command{
		Use:     use,
		Short:   short,
		Example: example,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(client *admin.Client) error {
				data, err := read(cmd.Context(), client)
				if err != nil {
					return err
				}
				return a.print(data)
			})
		},
	}
}

// countsTable has a column for each state, after those given.
func (a *app) countsTable(title string, columns ...any) table.Writer {
	for _, state := range admin.States {
		columns = append(columns, state)
	}
	return a.table(title, append(columns, "total")...)
}

func countsRow(counts admin.Counts, columns ...any) table.Row {
	row := table.Row(columns)
	for _, state := range admin.States {
		row = append(row, counts[state])
	}
	return append(row, counts.Total())
}

func queuesCommand(a *app) *cobra.Command {
	return a.showing("queues", "List the queues, who holds them, and their jobs by state", "  gwadmin queues", func(ctx context.Context, client *admin.Client) (printable, error) {
		read, err := client.Queues(ctx)
		return shownQueues(read), err
	})
}

type shownQueues []admin.Queue

func (q shownQueues) lines() []any { return anys(q) }

func (q shownQueues) tables(a *app) []table.Writer {
	t := a.countsTable("QUEUES", "queue", "locked by", "since")
	for _, queue := range q {
		t.AppendRow(countsRow(queue.Jobs, queue.Name, deref(queue.LockedBy), moment(queue.LockedAt)))
	}
	return []table.Writer{t}
}

func tasksCommand(a *app) *cobra.Command {
	return a.showing("tasks", "List the tasks, and their jobs by state", "  gwadmin tasks", func(ctx context.Context, client *admin.Client) (printable, error) {
		read, err := client.Tasks(ctx)
		return shownTasks(read), err
	})
}

type shownTasks []admin.Task

func (s shownTasks) lines() []any { return anys(s) }

func (s shownTasks) tables(a *app) []table.Writer {
	t := a.countsTable("TASKS", "task")
	for _, task := range s {
		t.AppendRow(countsRow(task.Jobs, task.Identifier))
	}
	return []table.Writer{t}
}

func workersListCommand(a *app) *cobra.Command {
	cmd := a.showing("list", "List the workers that hold locks, and since when", "  gwadmin workers list", func(ctx context.Context, client *admin.Client) (printable, error) {
		read, err := client.Workers(ctx)
		return shownWorkers(read), err
	})
	cmd.Aliases = []string{"ls"}
	return cmd
}

type shownWorkers []admin.Worker

func (w shownWorkers) lines() []any { return anys(w) }

func (w shownWorkers) tables(a *app) []table.Writer {
	t := a.table("WORKERS", "worker", "jobs", "queues", "stale", "oldest lock", "newest lock")
	for _, worker := range w {
		t.AppendRow(table.Row{worker.ID, worker.Jobs, worker.Queues, worker.Stale, moment(&worker.Oldest), moment(&worker.Newest)})
	}
	return []table.Writer{t}
}

func anys[T any](values []T) []any {
	lines := make([]any, len(values))
	for i, value := range values {
		lines[i] = value
	}
	return lines
}
