package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func queuesPauseCommand(a *app) *cobra.Command {
	var c consent
	var options admin.PauseOptions
	var by *string
	cmd := &cobra.Command{
		Use:   "pause QUEUE",
		Short: "Pause a queue, so that no more of its jobs start",
		Long: `Pause a queue, so that no more of its jobs start.

A job that a worker has already taken is finished. Jobs can still be added to
the queue. They are in the state paused until gwadmin queues resume. A queue
that does not exist is added. gwadmin queues shows who has paused a queue, when
and why.

The pause is a lock on the queue that no worker clears. gwadmin workers unlock
and gwadmin cleanup leave it alone.`,
		Example: "  gwadmin queues pause mails --reason 'the mail server moves'\n  gwadmin queues pause mails --dry-run",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" { // from an unset variable
				return usage(errors.New("QUEUE is empty"))
			}
			if err := c.need(a); err != nil {
				return err
			}
			ctx := actor(cmd.Context(), by)
			return a.withClient(ctx, func(client *admin.Client) error {
				result, err := withConsent(a, &c, func(dryRun bool) (*admin.PauseResult, error) {
					options.DryRun = dryRun
					return client.PauseQueue(ctx, args[0], &options)
				}, func(preview *admin.PauseResult) bool {
					a.say("%s", a.paused(preview))
					return !preview.Already
				})
				if err != nil {
					return err
				}
				result.DryRun = c.dryRun
				printErr := a.print(shownPause{result})
				a.say("%s", a.paused(result))
				return printErr
			})
		},
	}
	cmd.Flags().StringVar(&options.Reason, "reason", "", "why, for those who find the queue paused")
	byFlag(cmd, &by)
	c.flags(cmd)
	return cmd
}

// byFlag adds the flag that names who makes the change.
func byFlag(cmd *cobra.Command, by **string) {
	cmd.Flags().Var(optionalText(by), "by", "who makes the change (default the user of the operating system)")
}

// actor names who makes the changes.
func actor(ctx context.Context, by *string) context.Context {
	if by != nil {
		return admin.WithActor(ctx, *by)
	}
	if u, err := user.Current(); err == nil {
		return admin.WithActor(ctx, u.Username)
	}
	return ctx
}

// describePause says who has paused a queue, when and why.
func (a *app) describePause(pause admin.Pause) string {
	return fmt.Sprintf("since %s", a.moment(&pause.Since)) + pausedBy(pause)
}

// pausedBy says who has paused a queue and why.
func pausedBy(pause admin.Pause) (text string) {
	if pause.By != "" {
		text += " by " + pause.By
	}
	if pause.Reason != "" {
		text += ": " + pause.Reason
	}
	return text
}

// paused says what pausing a queue did.
func (a *app) paused(r *admin.PauseResult) string {
	if r.Already {
		return fmt.Sprintf("%s is already paused %s", r.Queue, a.describePause(r.Pause))
	}
	text := fmt.Sprintf("%s %s", r.Queue, outcome(r.DryRun, "paused"))
	if r.Added {
		text += "; the queue is new"
	}
	if r.HeldBy != nil {
		text += fmt.Sprintf("; %s finishes the job it runs", *r.HeldBy)
	}
	return text
}

// shownPause prints the pause of a queue.
type shownPause struct{ *admin.PauseResult }

func (p shownPause) lines() []any { return []any{p} }

func (p shownPause) tables(a *app) []table.Writer {
	t := a.table("", "queue", "paused since", "by", "reason", "held by", "since")
	t.ifEmpty = []int{3, 4, 5, 6}
	t.AppendRow(table.Row{p.Queue, a.moment(&p.Pause.Since), p.Pause.By, p.Pause.Reason, deref(p.HeldBy), a.moment(p.HeldSince)})
	return []table.Writer{t}
}

func queuesResumeCommand(a *app) *cobra.Command {
	var c consent
	var by *string
	cmd := &cobra.Command{
		Use:   "resume QUEUE",
		Short: "End the pause of a queue",
		Long: `End the pause of a queue.

Workers take its next job at once. If a worker still runs a job that it took
before the pause, the next job starts when that one has finished.`,
		Example: "  gwadmin queues resume mails",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.need(a); err != nil {
				return err
			}
			ctx := actor(cmd.Context(), by)
			return a.withClient(ctx, func(client *admin.Client) error {
				result, err := withConsent(a, &c, func(dryRun bool) (*admin.ResumeResult, error) {
					return client.ResumeQueue(ctx, args[0], &admin.ResumeOptions{DryRun: dryRun})
				}, func(preview *admin.ResumeResult) bool {
					if preview.Pause != nil {
						a.say("%s", a.resumed(preview))
					}
					return preview.Pause != nil
				})
				if result == nil {
					return err
				}
				result.DryRun = c.dryRun
				if printErr := a.print(shownResume{result}); err == nil {
					err = printErr
				}
				a.say("%s", a.resumed(result))
				if err == nil && result.Pause == nil {
					for _, note := range unknownNames(ctx, client, admin.Filter{QueueNames: args}) {
						a.say("%s", note)
					}
					err = status(exitSkipped)
				}
				return err
			})
		},
	}
	byFlag(cmd, &by)
	c.flags(cmd)
	return cmd
}

// resumed says what resuming a queue did.
func (a *app) resumed(r *admin.ResumeResult) string {
	if r.Pause == nil {
		return r.Queue + " is not paused"
	}
	text := fmt.Sprintf("%s %s; it was paused %s", r.Queue, outcome(r.DryRun, "resumed"), a.describePause(*r.Pause))
	if r.Running != nil {
		text += fmt.Sprintf("; %s still runs job %d, and the next job starts after it", r.Running.LockedBy, r.Running.ID)
	}
	return text
}

// shownResume prints the pause that was ended.
type shownResume struct{ *admin.ResumeResult }

func (r shownResume) lines() []any { return []any{r} }

func (r shownResume) tables(a *app) []table.Writer {
	t := a.table("", "queue", "was paused since", "by", "reason", "running job", "held by", "since")
	t.ifEmpty = []int{3, 4, 5, 6, 7}
	if r.Pause != nil {
		row := table.Row{r.Queue, a.moment(&r.Pause.Since), r.Pause.By, r.Pause.Reason}
		if r.Running != nil {
			row = append(row, r.Running.ID, r.Running.LockedBy, a.moment(&r.Running.LockedAt))
		} else {
			row = append(row, "", "", "")
		}
		t.AppendRow(row)
	}
	return []table.Writer{t}
}
