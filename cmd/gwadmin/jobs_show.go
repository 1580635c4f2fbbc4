package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsShowCommand(a *app) *cobra.Command {
	var key *string
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a job with everything it holds",
		Example: "  gwadmin jobs show 42\n  gwadmin jobs show --key welcome-42 --output json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (key != nil) {
				return usage(errors.New("show takes an id or a --key, and one of them only"))
			}
			var id int64
			if key == nil {
				var err error
				if id, err = parseID(args[0]); err != nil {
					return usage(err)
				}
			}
			return a.withClient(cmd.Context(), func(client *admin.Client) error {
				var job *admin.Job
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
				return a.print(shownJob{job})
			})
		},
	}
	optionalStringFlag(cmd.Flags(), &key, "key", "the job's key, instead of its id")
	return cmd
}

// shownJob prints a job, a line for each of its fields.
type shownJob struct{ *admin.Job }

func (j shownJob) lines() []any { return []any{j.Job} }

func (j shownJob) tables(a *app) []table.Writer {
	var payload bytes.Buffer
	if json.Indent(&payload, j.Payload, "", "  ") != nil {
		payload.Write(j.Payload)
	}
	t := a.table("JOB", "field", "value")
	t.AppendRows([]table.Row{
		{"id", j.ID},
		{"task", j.TaskIdentifier},
		{"queue", deref(j.QueueName)},
		{"key", deref(j.Key)},
		{"priority", j.Priority},
		{"run at", when(j.RunAt)},
		{"attempts", j.Attempts},
		{"max attempts", j.MaxAttempts},
		{"last error", block(deref(j.LastError))},
		{"locked by", deref(j.LockedBy)},
		{"locked at", moment(j.LockedAt)},
		{"flags", strings.Join(j.Flags, ", ")},
		{"created at", moment(&j.CreatedAt)},
		{"updated at", moment(&j.UpdatedAt)},
		{"revision", j.Revision},
		{"payload", block(payload.String())},
	})
	return []table.Writer{t}
}
