package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/jsontext"
)

func jobsShowCommand(a *app) *cobra.Command {
	var key *string
	cmd := &cobra.Command{
		Use:   "show [ID]",
		Short: "Show a job with all its fields, and why it is in its state",
		Long: `Show a job with all its fields, and why it is in its state.

Graphile Worker keeps no log. The history is what the job's row tells: it has
neither earlier failures nor earlier changes.`,
		Example: "  gwadmin jobs show 42\n  gwadmin jobs show --key welcome-42 --output json",
		Args:    takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (key != nil) {
				return usage(errors.New("jobs show takes either an id or a --key"))
			}
			var id int64
			if key == nil {
				var err error
				if id, err = parseID(args[0]); err != nil {
					return usage(err)
				}
			}
			return a.withClient(cmd.Context(), func(client *admin.Client) error {
				var job *admin.ListedJob
				var err error
				if key != nil {
					job, err = client.GetJobByKey(cmd.Context(), *key)
				} else {
					job, err = client.GetJob(cmd.Context(), id)
				}
				if errors.Is(err, admin.ErrJobNotFound) {
					return &statusError{exitSkipped, err}
				}
				if err != nil {
					return err
				}
				now, err := client.Now(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(shownJob{job, now})
			})
		},
	}
	cmd.Flags().Var(optionalText(&key), "key", "the job's key, instead of its id")
	return cmd
}

// shownJob prints a job, a line for each of its fields, and its history.
type shownJob struct {
	*admin.ListedJob
	now time.Time // by the database's clock
}

func (j shownJob) lines() []any { return []any{j.ListedJob} }

// mostShown is the longest payload, in bytes, that a table has whole. A table needs 50 times
// the memory.
const mostShown = 100_000

func (j shownJob) tables(a *app) []table.Writer {
	var payload bytes.Buffer
	if len(j.Payload) > mostShown {
		fmt.Fprintf(&payload, "%s…\n%d bytes: jobs export --id %d writes all of them", strings.ToValidUTF8(string(j.Payload[:mostShown]), ""), len(j.Payload), j.ID)
	} else if jsontext.Indent(&payload, "", j.Payload) != nil {
		payload.Write(j.Payload)
	}
	t := a.table("JOB", "field", "value")
	t.AppendRows([]table.Row{
		{"id", j.ID},
		{"state", string(j.State)},
		{"task", j.TaskIdentifier},
		{"queue", deref(j.QueueName)},
		{"key", deref(j.Key)},
		{"priority", j.Priority},
		{"run at", runAt(j.RunAt, a.moment)},
		{"on hold", onHold(a, &j.Job)},
		{"attempts", j.Attempts},
		{"max attempts", j.MaxAttempts},
		{"last error", block(deref(j.LastError))},
		{"locked by", deref(j.LockedBy)},
		{"locked at", a.moment(j.LockedAt)},
		{"flags", strings.Join(j.Flags, ", ")},
		{"created at", a.moment(&j.CreatedAt)},
		{"updated at", a.moment(&j.UpdatedAt)},
		{"revision", j.Revision},
		{"payload", block(payload.String())},
	})
	history := a.table("HISTORY", "when", "what")
	for _, event := range j.history(a) {
		history.AppendRow(table.Row{fixed(event.when), event.what})
	}
	return []table.Writer{t, history}
}

// An event is a line of the history.
type event struct {
	at   time.Time
	when string // at, in words
	what string
}

// history is what the row tells, in the order of time: what has happened, how the job is
// now, and what will happen.
func (j shownJob) history(a *app) []event {
	var events []event
	tell := func(at time.Time, what string, args ...any) {
		events = append(events, event{at, string(a.moment(&at)), fmt.Sprintf(what, args...)})
	}
	tell(j.CreatedAt, "created")
	if j.UpdatedAt != j.CreatedAt {
		updated := "last updated"
		if j.Revision > 0 {
			updated = fmt.Sprintf("last updated; its key has updated it %s", times(j.Revision))
		}
		tell(j.UpdatedAt, "%s", updated)
	}
	if j.LockedAt != nil {
		tell(*j.LockedAt, "taken by %s, as attempt %d of %d", j.holder(), j.Attempts, j.MaxAttempts)
		tell(j.LockedAt.Add(admin.StaleAfter), "its lock becomes stale: a worker clears it")
	}
	if j.QueueLockedAt != nil && j.State == admin.Waiting {
		tell(*j.QueueLockedAt, "its queue %s locked by %s, for another job", deref(j.QueueName), someone(j.QueueLockedBy))
	}
	if j.QueuePaused != nil {
		tell(j.QueuePaused.Since, "its queue %s paused%s", deref(j.QueueName), pausedBy(*j.QueuePaused))
	}
	if j.RunAt.Infinity == pgtype.Finite {
		tell(j.RunAt.Time, "due")
	}
	events = append(events, event{j.now, "now", j.standing(a)})
	slices.SortStableFunc(events, func(x, y event) int { return x.at.Compare(y.at) })
	return events
}

// standing says what state the job is in, and why no worker runs it.
func (j shownJob) standing(a *app) string {
	var said string
	switch j.State {
	case admin.Ready:
		said = "ready: the next worker that knows its task and does not forbid its flags takes it"
	case admin.Scheduled:
		said = "scheduled: not due yet"
	case admin.Retrying:
		said = "retrying: it has failed, and is not due yet"
	case admin.Waiting:
		said = fmt.Sprintf("waiting: its queue %s is locked by %s since %s", deref(j.QueueName), someone(j.QueueLockedBy), a.moment(j.QueueLockedAt))
		if j.QueueLockedAt != nil && j.now.Sub(*j.QueueLockedAt) > admin.StaleAfter {
			said += ": that lock is stale, and a worker clears it"
		}
	case admin.Paused:
		said = fmt.Sprintf("paused: its queue %s is paused%s; gwadmin queues resume ends the pause", deref(j.QueueName), pausedBy(*j.QueuePaused))
	case admin.Running:
		said = fmt.Sprintf("running: locked by %s since %s", j.holder(), a.moment(j.LockedAt))
	case admin.Stale:
		said = fmt.Sprintf("stale: locked by %s since %s, for more than 4 hours: a worker clears such a lock", j.holder(), a.moment(j.LockedAt))
	case admin.Permafailed:
		said = "permafailed: no attempt is left, and no worker takes it; gwadmin jobs retry gives it new ones"
	case admin.Stranded:
		said = "stranded: its queue is gone, and no worker takes it; gwadmin queues restore adds the queue again"
	}
	switch {
	case j.Hold != nil:
		said += ", because it is on hold; gwadmin jobs release ends that"
	case (j.State == admin.Scheduled || j.State == admin.Retrying) && j.RunAt.Infinity == pgtype.Infinity:
		said += ", and never will be unless it is rescheduled"
	}
	if j.TaskIdentifier == "" {
		said += "; its task is gone: no worker knows it"
	}
	if j.LockedAt == nil && j.Attempts > 0 {
		said += fmt.Sprintf("; %d of %d attempts are used", j.Attempts, j.MaxAttempts)
	}
	if j.LastError != nil {
		said += fmt.Sprintf("; the last error is %q", a.firstLine(*j.LastError))
	}
	return said
}

// onHold says since when a job has been on hold, by whom, and its run_at before.
func onHold(a *app, job *admin.Job) string {
	if job.Hold == nil {
		return ""
	}
	text := "since " + string(a.moment(&job.Hold.Since))
	if job.Hold.By != "" {
		text += " by " + job.Hold.By
	}
	return text + "; run at was " + string(runAt(job.Hold.RunAt, a.moment))
}

func (j shownJob) holder() string { return someone(j.LockedBy) }

func someone(worker *string) string {
	if worker == nil {
		return "an unnamed worker"
	}
	return *worker
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return plural(n, "time")
}
