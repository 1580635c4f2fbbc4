package main

import (
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsCompleteCommand(a *app) *cobra.Command {
	v := &bulkVerb{saver: &saver{}, past: "completed", byIDs: (*admin.Client).CompleteJobs, byFilter: (*admin.Client).CompleteWhere}
	return v.command(a, &cobra.Command{
		Use:   "complete [ID…]",
		Short: "Delete jobs as if they had been run",
		Example: `  gwadmin jobs complete 42 43
  gwadmin jobs complete 42 --dry-run
  psql "$DATABASE_URL" -XAtc "select id from graphile_worker.jobs where task_identifier = 'old'" | gwadmin jobs complete - --yes
  gwadmin jobs complete --task old --created-before -30d --limit 10000
  gwadmin jobs complete --state permafailed --save dead.ndjson`,
	})
}
