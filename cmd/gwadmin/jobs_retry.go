package main

import (
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsRetryCommand(a *app) *cobra.Command {
	v := &bulkVerb{past: "given all attempts again", byIDs: (*admin.Client).RetryJobs, byFilter: (*admin.Client).RetryWhere}
	return v.command(a, &cobra.Command{
		Use:     "retry [ID…]",
		Short:   "Give jobs, permanently failed ones too, their attempts again, to run now",
		Example: "  gwadmin jobs retry 42\n  gwadmin jobs retry - --yes < ids\n  gwadmin jobs retry --state permafailed --task send_email --dry-run",
	})
}
