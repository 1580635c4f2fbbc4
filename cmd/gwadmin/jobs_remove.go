package main

import (
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsRemoveCommand(a *app) *cobra.Command {
	var c consent
	var detach bool
	cmd := &cobra.Command{
		Use:     "remove KEY",
		Aliases: []string{"rm"},
		Short:   "Delete the job that has a key",
		Long: `Delete the job that has a key.

A job that a worker holds is left alone. With --detach-locked it loses its key,
and is not retried if it fails.`,
		Example: "  gwadmin jobs remove welcome-42",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.need(a); err != nil {
				return err
			}
			ctx := cmd.Context()
			return a.withClient(ctx, func(client *admin.Client) error {
				result, err := withConsent(a, &c, func(dryRun bool) (*admin.RemoveResult, error) {
					return client.RemoveJob(ctx, args[0], &admin.RemoveOptions{DetachLocked: detach, DryRun: dryRun})
				}, func(preview *admin.RemoveResult) bool {
					if preview.Outcome == admin.Left || preview.Outcome == admin.NoSuch {
						return false
					}
					a.say("%s", removed{true, preview}.sentence())
					return true
				})
				if err != nil {
					return err
				}
				shown := removed{c.dryRun, result}
				if err := a.print(shown); err != nil {
					return err
				}
				a.say("%s", shown.sentence())
				if result.Outcome == admin.Left || result.Outcome == admin.NoSuch {
					return status(exitSkipped)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&detach, "detach-locked", false, "remove the key of a job that a worker holds, and its further attempts")
	c.flags(cmd)
	return cmd
}

// removed prints what happened to the job with a key.
type removed struct {
	DryRun bool `json:"dry_run"`
	*admin.RemoveResult
}

func (r removed) lines() []any { return []any{r} }

func (r removed) tables(a *app) []table.Writer {
	if r.Job == nil {
		return nil
	}
	return []table.Writer{a.changedTable("JOB", []admin.Job{*r.Job})}
}

func (r removed) sentence() string {
	verb, left := "was ", "left alone"
	if r.DryRun {
		verb, left = "would be ", "would be left alone"
	}
	switch r.Outcome {
	case admin.NoSuch:
		return "no job has this key"
	case admin.Left:
		return "job " + r.Skip.String() + ": " + left
	case admin.Detached:
		return "the job is locked: it " + verb + "detached from its key, and will not be retried"
	}
	return "the job " + verb + "removed"
}
