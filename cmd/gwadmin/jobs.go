package main

import "github.com/spf13/cobra"

func jobsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "Add, list, show, export, complete, fail, reschedule, retry and remove jobs",
		Long: `Add, list, show, export, complete, fail, reschedule, retry and remove jobs.

Where ids are asked for, "-" reads them from standard input, one a line; where
there are none nothing is done, without connecting, and that is no error. A job
that a worker holds is left alone, and said so. Many ids are handled in batches
of 5000, each a transaction of its own.

Instead of ids, complete, fail, reschedule and retry take the filters of list.`,
	}
	cmd.AddCommand(jobsAddCommand(a), jobsListCommand(a), jobsCountCommand(a), jobsShowCommand(a), jobsExportCommand(a), jobsImportCommand(a), jobsCompleteCommand(a), jobsFailCommand(a),
		jobsRescheduleCommand(a), jobsRetryCommand(a), jobsRemoveCommand(a))
	return cmd
}
