package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/dryrun"
)

func jobsAddCommand(a *app) *cobra.Command {
	var c consent
	var options admin.AddJobOptions
	var mode string
	cmd := &cobra.Command{
		Use:   "add TASK [PAYLOAD]",
		Short: "Add a job, or update the one that has its key",
		Long: `Add a job, or update the one that has its key.

The payload is JSON. It is read from standard input if it is "-", or if it is
left out and standard input is a pipe or a file. Without a payload it is {}.

If a job has the key, the command says what becomes of that job, and asks.
Otherwise it does not ask. A dry run adds the job in a transaction that it
rolls back.`,
		Example: `  gwadmin jobs add send_email '{"to":"ada@example.com"}'
  gwadmin jobs add monthly_report --run-at 2027-01-01T00:00:00Z --key report
  gwadmin jobs add resize_image --queue images < payload.json`,
		Args: takes(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.JobKeyMode = admin.JobKeyMode(mode)
			payload, err := a.readPayload(args[1:])
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			// Without a database it only checks the input.
			if _, err := admin.New(nil).AddJob(ctx, args[0], payload, &options); errors.Is(err, admin.ErrInvalid) {
				return err
			}
			return a.withPool(ctx, func(pool *pgxpool.Pool) error {
				client := admin.New(pool, admin.WithSchema(a.schema))
				if options.JobKey != nil && options.JobKeyMode != admin.UnsafeDedupe && !c.dryRun && !c.yes {
					if err := askToReplace(ctx, a, &c, client, *options.JobKey); err != nil {
						return err
					}
				}
				job, before, err := dryrun.AddJob(ctx, client, c.dryRun, args[0], payload, &options)
				if err != nil {
					return err
				}
				shown := addedJob{c.dryRun, *job, before, options.JobKeyMode == admin.UnsafeDedupe}
				if err := a.print(shown); err != nil {
					return err
				}
				a.say("%s", shown.sentence(a))
				return nil
			})
		},
	}
	flags := cmd.Flags()
	flags.Var(filled{optionalText(&options.QueueName), "none"}, "queue", "the queue, whose jobs run one after another")
	flags.Var(runAtFlag(&options.RunAt), "run-at", runAtUsage)
	flags.Var(optionalInt(&options.MaxAttempts), "max-attempts", "1 to 32767 (default 25)")
	flags.Var(optionalText(&options.JobKey), "key", "the job's key, unique among jobs")
	flags.StringVar(&mode, "key-mode", "", "what happens to the job that has the key: replace, preserve_run_at or unsafe_dedupe (default replace)")
	flags.Var(optionalInt(&options.Priority), "priority", "-32768 to 32767, smaller runs earlier (default 0)")
	flags.StringArrayVar(&options.Flags, "flag", nil, "a flag, which workers may forbid; can be repeated")
	c.flags(cmd)
	return cmd
}

// askToReplace says what becomes of the job that has the key, if there is one, and asks.
func askToReplace(ctx context.Context, a *app, c *consent, client *admin.Client, key string) error {
	found, err := client.GetJobByKey(ctx, key)
	if errors.Is(err, admin.ErrJobNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	would := addedJob{DryRun: true, before: &found.Job}
	if a.plight(&found.Job) == "" {
		would.Job = found.Job
		would.Job.Revision++
	}
	a.say("%s", would.sentence(a))
	if err := c.need(a); err != nil {
		return err
	}
	return c.ask(a, "Go on?")
}

// addedJob prints the job that was added.
type addedJob struct {
	DryRun bool      `json:"dry_run"`
	Job    admin.Job `json:"job"`

	before *admin.Job // the job that had the key
	dedupe bool       // whether that is left as it is
}

func (j addedJob) lines() []any { return []any{j} }

func (j addedJob) tables(a *app) []table.Writer {
	return []table.Writer{a.changedTable("JOB", []admin.Job{j.Job})}
}

// sentence says what happened to the job that had the key, and to the new one.
func (j addedJob) sentence(a *app) string {
	was, lost, retried, added := "was", "lost", "will not be", "was"
	if j.DryRun {
		was, lost, retried, added = "would be", "would lose", "not be", "be"
	}
	switch {
	case j.Job.Revision == 0 && j.before != nil:
		return fmt.Sprintf("the job that had this key, %d, %s: it %s the key and %s retried, and a new job %s added",
			j.before.ID, cmp.Or(a.plight(j.before), "was taken or removed meanwhile"), lost, retried, added)
	case j.Job.Revision == 0:
		return "the job " + was + " added"
	case !j.dedupe:
		return fmt.Sprintf("the job with this key, %d, %s updated", j.Job.ID, was)
	}
	sentence := fmt.Sprintf("the job that has this key, %d, %s left as it is", j.Job.ID, was)
	if why := a.plight(&j.Job); why != "" {
		sentence += ": it " + why
	}
	return sentence
}

// plight says why add_job does not update a job, or "" if it does.
func (a *app) plight(job *admin.Job) string {
	switch {
	case job.LockedBy != nil:
		return fmt.Sprintf("is locked by %s since %s", *job.LockedBy, a.moment(job.LockedAt))
	case job.Permafailed():
		return "has failed for good"
	}
	return ""
}
