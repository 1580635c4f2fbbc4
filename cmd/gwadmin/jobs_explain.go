package main

import (
	"errors"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/shell"
)

func jobsExplainCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Say why a job is not running, and what to do about it",
		Long: `Say why a job is not running, and what to do about it.

The command lists everything that stands in the way of the job: no worker takes
it as long as something blocks it. Other things delay it. It says what the
database knows: which tasks a worker has, and which flags it forbids, is known
to the worker only.`,
		Example: "  gwadmin jobs explain 42\n  gwadmin jobs explain 42 -o json | jq '.reasons[].do'",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return usage(err)
			}
			return a.withClient(cmd.Context(), func(client *admin.Client) error {
				explanation, err := client.Explain(cmd.Context(), id)
				if errors.Is(err, admin.ErrJobNotFound) {
					return &statusError{exitSkipped, err}
				}
				if err != nil {
					return err
				}
				if len(a.targets) > 0 {
					for i, reason := range explanation.Reasons {
						explanation.Reasons[i].Do = shell.OnTarget(reason.Do, a.targets[0].name)
					}
				}
				return a.print(shownExplanation{explanation})
			})
		},
	}
}

// shownExplanation prints the reasons why a job is not running.
type shownExplanation struct{ *admin.Explanation }

func (e shownExplanation) lines() []any { return []any{e.Explanation} }

func (e shownExplanation) tables(a *app) []table.Writer {
	job := a.jobsTable("JOB", []admin.ListedJob{e.Job}, nil)
	reasons := a.table("WHY", "blocks", "reason", "what to do")
	reasons.ifEmpty = []int{1, 3}
	for _, reason := range e.Reasons {
		blocks := ""
		if reason.Blocks {
			blocks = "yes"
		}
		reasons.AppendRow(table.Row{blocks, reason.Text, reason.Do})
	}
	return []table.Writer{job, reasons}
}
