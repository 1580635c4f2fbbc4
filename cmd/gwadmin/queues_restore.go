package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func queuesRestoreCommand(a *app) *cobra.Command {
	var c consent
	var queue *string
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Put stranded jobs, whose queue is gone, back in reach of workers",
		Long: `Put stranded jobs, whose queue is gone, back in reach of workers.

A job is stranded if a cleanup deletes its queue while the transaction that
adds the job is open. No worker ever takes it. The names of the queues are
lost: each queue is added again as restored-ID, so that its jobs still run one
after another. With --queue all stranded jobs go to that queue instead.`,
		Example: "  gwadmin jobs list --state stranded\n  gwadmin queues restore --dry-run\n  gwadmin queues restore --queue mails",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.need(a); err != nil {
				return err
			}
			ctx := cmd.Context()
			return a.withClient(ctx, func(client *admin.Client) error {
				result, err := withConsent(a, &c, func(dryRun bool) (*admin.RestoreResult, error) {
					return client.RestoreQueues(ctx, &admin.RestoreOptions{QueueName: queue, DryRun: dryRun})
				}, func(preview *admin.RestoreResult) bool {
					a.say("%s", restored{preview}.sentence())
					return preview.Jobs > 0
				})
				if err != nil {
					return err
				}
				result.DryRun = c.dryRun
				printErr := a.print(restored{result})
				a.say("%s", restored{result}.sentence())
				return printErr
			})
		},
	}
	cmd.Flags().Var(optionalText(&queue), "queue", "the queue for all stranded jobs")
	c.flags(cmd)
	return cmd
}

// restored prints which queues were restored.
type restored struct{ *admin.RestoreResult }

func (r restored) lines() []any {
	var lines []any
	for _, queue := range r.Queues {
		lines = append(lines, struct {
			DryRun bool `json:"dry_run"`
			admin.RestoredQueue
		}{r.DryRun, queue})
	}
	return lines
}

func (r restored) tables(a *app) []table.Writer {
	t := a.table("", "id", "queue", "jobs")
	for _, queue := range r.Queues {
		t.AppendRow(table.Row{queue.ID, queue.Name, queue.Jobs})
	}
	return []table.Writer{t}
}

func (r restored) sentence() string {
	return fmt.Sprintf("%s of %s %s", plural(r.Jobs, "job"), plural(len(r.Queues), "missing queue"), outcome(r.DryRun, "put back in reach"))
}
