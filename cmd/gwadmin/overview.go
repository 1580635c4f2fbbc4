package main

import (
	"context"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

// The verbs that show all queues and workers.

func queuesCommand(a *app) *cobra.Command {
	cmd := a.reading(&cobra.Command{
		Use:     "queues",
		Short:   "List the queues, who holds or has paused them, and their jobs by state",
		Example: "  gwadmin queues\n  gwadmin queues --watch",
	}, func(ctx context.Context, client *admin.Client) (printable, error) {
		queues, err := client.Queues(ctx)
		return shownQueues(queues), err
	})
	cmd.AddCommand(queuesPauseCommand(a), queuesResumeCommand(a), queuesRestoreCommand(a))
	return cmd
}

type shownQueues []admin.Queue

func (q shownQueues) lines() []any { return anys(q) }

func (q shownQueues) notes(*app) []string { return noneOf(q, "no queues") }

func (q shownQueues) tables(a *app) []table.Writer {
	t := a.countsTable("", "queue", "locked by", "since", "pause")
	for _, queue := range q {
		var pause string
		if queue.Paused != nil {
			pause = a.describePause(*queue.Paused)
		}
		t.AppendRow(countsRow(queue.Jobs, queue.Name, deref(queue.LockedBy), a.shortMoment(queue.LockedAt), pause))
	}
	return []table.Writer{t}
}

func workersListCommand(a *app) *cobra.Command {
	return a.reading(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the workers that hold locks, and since when",
		Long: `List the workers that hold locks, and since when.

Graphile Worker does not record workers that hold no lock.`,
		Example: "  gwadmin workers list\n  gwadmin workers list --watch=10s",
	}, func(ctx context.Context, client *admin.Client) (printable, error) {
		workers, err := client.Workers(ctx)
		return shownWorkers(workers), err
	})
}

type shownWorkers []admin.Worker

func (w shownWorkers) lines() []any { return anys(w) }

func (w shownWorkers) notes(*app) []string { return noneOf(w, "no worker holds a lock") }

func (w shownWorkers) tables(a *app) []table.Writer {
	t := a.table("", "worker", "jobs", "queues", "stale", "oldest lock", "newest lock")
	for _, worker := range w {
		t.AppendRow(table.Row{worker.ID, worker.Jobs, worker.Queues, worker.Stale, a.shortMoment(&worker.Oldest), a.shortMoment(&worker.Newest)})
	}
	return []table.Writer{t}
}

// countsTable is a table with the given columns, one for each state and one for the total.
// Columns of states without jobs are left out.
func (a *app) countsTable(title string, columns ...any) *cells {
	given := len(columns)
	for _, state := range admin.States {
		columns = append(columns, state)
	}
	t := a.table(title, append(columns, "total")...)
	if a.wide {
		return t
	}
	for i := given + len(admin.States); i > given; i-- {
		t.ifNarrow = append(t.ifNarrow, i)
	}
	for i := 2; i <= given; i++ {
		t.ifNarrow = append(t.ifNarrow, i)
	}
	t.ifEmpty = t.ifNarrow
	return t
}

func countsRow(counts admin.Counts, columns ...any) table.Row {
	row := table.Row(columns)
	for _, state := range admin.States {
		row = append(row, counts[state])
	}
	return append(row, counts.Total())
}

func anys[T any](values []T) []any {
	lines := make([]any, len(values))
	for i, value := range values {
		lines[i] = value
	}
	return lines
}

// noneOf is the note of a list that is empty.
func noneOf[T any](list []T, note string) []string {
	if len(list) > 0 {
		return nil
	}
	return []string{note}
}
