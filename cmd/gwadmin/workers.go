package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func workersCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "workers",
		Short: "List the workers that hold locks, and unlock dead ones",
	}
	cmd.AddCommand(workersListCommand(a), workersUnlockCommand(a))
	return cmd
}

const unlockWarning = `Warning: unlock only workers that are dead. A live one goes on with its jobs,
and another worker starts the same jobs beside it. Since Graphile Worker 0.17
the ids are those of worker pools.`

func workersUnlockCommand(a *app) *cobra.Command {
	var c consent
	var young time.Duration
	var force bool
	cmd := &cobra.Command{
		Use:   "unlock WORKER-ID…",
		Short: "Clear the locks of dead workers, on jobs and on queues",
		Long: `Clear the locks of dead workers, on jobs and on queues.

` + unlockWarning + `

A worker whose newest lock is younger than --young may be alive. The command
asks about such a worker once more. With --yes it refuses it, unless --force is
given.`,
		Example: "  gwadmin workers unlock pool-1f3a9c --dry-run\n  gwadmin workers unlock pool-1f3a9c --yes",
		Args:    takes(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if young < 0 {
				return usage(fmt.Errorf("--young %s is negative", young))
			}
			if slices.Contains(args, "") {
				return usage(errors.New("a WORKER-ID is empty"))
			}
			if err := c.need(a); err != nil {
				return err
			}
			ctx := cmd.Context()
			return a.withClient(ctx, func(client *admin.Client) error {
				held, err := client.ForceUnlockWorkers(ctx, args, &admin.UnlockOptions{DryRun: true})
				if err != nil {
					return err
				}
				if c.dryRun {
					for _, locks := range held.Unlocked {
						if sign := signOfLife(locks, young); sign != "" && !force {
							a.say("%s: it needs --force, or a second yes", sign)
						}
					}
					return a.finishUnlock(unlocked{true, held})
				}
				if len(held.Unlocked) == 0 { // nothing to ask about
					return a.finishUnlock(unlocked{false, held})
				}
				a.say("%s", unlockWarning)
				if !c.yes {
					for _, locks := range held.Unlocked {
						a.say("%s", a.describeLocks(locks))
					}
					if err := c.ask(a, "Unlock?"); err != nil {
						return err
					}
					// A worker that took a lock during the question is alive.
					if held, err = client.ForceUnlockWorkers(ctx, args, &admin.UnlockOptions{DryRun: true}); err != nil {
						return err
					}
				}
				for _, locks := range held.Unlocked {
					sign := signOfLife(locks, young)
					if sign == "" || force {
						continue
					}
					if c.yes {
						return refused(sign + ": pass --force if it is dead")
					}
					if err := c.ask(a, sign+". Unlock it all the same?"); err != nil {
						return err
					}
				}
				result, err := client.ForceUnlockWorkers(ctx, args, nil)
				if err != nil {
					return err
				}
				return a.finishUnlock(unlocked{false, result})
			})
		},
	}
	cmd.Flags().DurationVar(&young, "young", 5*time.Minute, "a worker that took a lock less than that ago, by the database's clock, may be alive")
	cmd.Flags().BoolVar(&force, "force", false, "unlock workers that may be alive, without asking again")
	c.flags(cmd)
	return cmd
}

// signOfLife says that a worker took a lock less than young ago, if it did.
func signOfLife(locks admin.WorkerLocks, young time.Duration) string {
	if locks.Newest == nil || locks.NewestAge >= young {
		return ""
	}
	return fmt.Sprintf("%s took a lock %s ago, and may be alive", locks.WorkerID, locks.NewestAge.Round(time.Second))
}

func (a *app) finishUnlock(result unlocked) error {
	if err := a.print(result); err != nil {
		return err
	}
	for _, id := range result.Idle {
		a.say("%s holds nothing", id)
	}
	if len(result.Idle) > 0 {
		return status(exitSkipped)
	}
	return nil
}

func (a *app) describeLocks(locks admin.WorkerLocks) string {
	return fmt.Sprintf("%s holds %s and %s, the oldest since %s, the newest since %s", locks.WorkerID, plural(locks.Jobs, "job"), plural(locks.Queues, "queue"),
		a.moment(locks.Oldest), a.moment(locks.Newest))
}

// unlocked prints what was unlocked.
type unlocked struct {
	DryRun bool `json:"dry_run"`
	*admin.UnlockResult
}

func (u unlocked) lines() []any {
	var lines []any
	for _, locks := range u.Unlocked {
		lines = append(lines, struct {
			DryRun   bool              `json:"dry_run"`
			Unlocked admin.WorkerLocks `json:"unlocked"`
		}{u.DryRun, locks})
	}
	for _, id := range u.Idle {
		lines = append(lines, struct {
			DryRun bool   `json:"dry_run"`
			Idle   string `json:"idle"`
		}{u.DryRun, id})
	}
	return lines
}

func (u unlocked) tables(a *app) []table.Writer {
	title := "UNLOCKED"
	if u.DryRun {
		title = "WOULD BE UNLOCKED"
	}
	t := a.table(title, "worker", "jobs", "queues", "oldest lock", "newest lock")
	for _, locks := range u.Unlocked {
		t.AppendRow(table.Row{locks.WorkerID, locks.Jobs, locks.Queues, a.moment(locks.Oldest), a.moment(locks.Newest)})
	}
	return []table.Writer{t}
}
