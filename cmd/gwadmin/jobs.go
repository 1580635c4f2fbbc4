package main

import "github.com/spf13/cobra"

func jobsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "Add, list, change, export and import jobs",
		Long: `Add, list, change, export and import jobs.

complete, fail, reschedule, retry, hold and release take ids or the filters of list. The id
"-" reads ids from standard input, one a line; if there are none nothing is
done, and that is no error. 5000 ids are one transaction. A job that a worker
holds is left alone.`,
	}
	cmd.AddCommand(jobsAddCommand(a), jobsListCommand(a), jobsCountCommand(a), jobsShowCommand(a), jobsExplainCommand(a), jobsExportCommand(a), jobsImportCommand(a),
		jobsCompleteCommand(a), jobsFailCommand(a), jobsRescheduleCommand(a), jobsRetryCommand(a), jobsHoldCommand(a), jobsReleaseCommand(a), jobsRemoveCommand(a))
	return cmd
}
