package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsAddCommand(a *app) *cobra.Command {
	var c consent
	var options admin.AddJobOptions
	var runAt runAtFlag
	var mode string
	cmd := &cobra.Command{
		Use:   "add TASK [PAYLOAD]",
		Short: "Add a job, or update the one that has its key",
		Long: `Add a job, or update the one that has its key.

The payload is JSON, or "-" for JSON on standard input; left out it is {}. A dry
run adds the job in a transaction that it rolls back.`,
		Example: `  gwadmin jobs add send_email '{"to":"ada@example.com"}'
  gwadmin jobs add monthly_report --run-at 2027-01-01T00:00:00Z --key report
  gwadmin jobs add resize_image - --queue images --yes < payload.json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.RunAt, options.JobKeyMode = runAt.at, admin.JobKeyMode(mode)
			var payload any
			if len(args) == 2 {
				raw, err := a.readPayload(args[1])
				if err != nil {
					return err
				}
				payload = raw
			}
			if err := c.need(a); err != nil {
				return err
			}
			ctx := cmd.Context()
			return a.withPool(ctx, func(pool *pgxpool.Pool) error {
				client := admin.New(pool, admin.WithSchema(a.schema))
				if !c.dryRun {
					if err := c.ask(a, "Add this job to the queue?"); err != nil {
						return err
					}
				}
				job, err := addJob(ctx, pool, client, c.dryRun, args[0], payload, &options)
				if err != nil {
					return err
				}
				shown := addedJob{c.dryRun, *job}
				if err := a.print(shown); err != nil {
					return err
				}
				a.say("%s", shown.sentence())
				return nil
			})
		},
	}
	flags := cmd.Flags()
	optionalStringFlag(flags, &options.QueueName, "queue", "the queue, whose jobs run one after another")
	flags.Var(&runAt, "run-at", runAtUsage)
	optionalIntFlag(flags, &options.MaxAttempts, "max-attempts", "1 to 32767 (default 25)")
	optionalStringFlag(flags, &options.JobKey, "key", "the job's key, unique among jobs")
	flags.StringVar(&mode, "key-mode", "", "what becomes of the job that has the key: replace, preserve_run_at or unsafe_dedupe (default replace)")
	optionalIntFlag(flags, &options.Priority, "priority", "-32768 to 32767, smaller runs earlier (default 0)")
	flags.StringArrayVar(&options.Flags, "flag", nil, "a flag, which workers may forbid; may be given many times")
	c.flags(cmd)
	return cmd
}

// addJob adds a job; in a dry run it takes it back.
func addJob(ctx context.Context, pool *pgxpool.Pool, client *admin.Client, dryRun bool, task string, payload any, options *admin.AddJobOptions) (*admin.Job, error) {
	if !dryRun {
		return client.AddJob(ctx, task, payload, options)
	}
	var job *admin.Job
	rollback := errors.New("dry run")
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		if job, err = client.WithTx(tx).AddJob(ctx, task, payload, options); err != nil {
			return err
		}
		return rollback
	})
	if !errors.Is(err, rollback) {
		return nil, err
	}
	return job, nil
}

// addedJob prints the job that was added.
type addedJob struct {
	DryRun bool      `json:"dry_run"`
	Job    admin.Job `json:"job"`
}

func (j addedJob) lines() []any { return []any{j} }

func (j addedJob) tables(a *app) []table.Writer {
	return []table.Writer{a.jobsTable("JOB", []admin.Job{j.Job})}
}

func (j addedJob) sentence() string {
	switch {
	case j.DryRun && j.Job.Revision > 0:
		return "the job with this key would be updated"
	case j.DryRun:
		return "the job would be added"
	case j.Job.Revision > 0:
		return "the job with this key was updated"
	}
	return "the job was added"
}
