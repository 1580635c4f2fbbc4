package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man FOLDER",
		Short: "Write the manual pages",
		Long: `Write the manual pages, one for each verb, to a folder, which is made if need be.
Releases have them already.`,
		Example: "  gwadmin man ~/.local/share/man/man1",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			build, root := currentBuild(), cmd.Root()
			root.DisableAutoGenTag = true // which has the date
			return doc.GenManTree(root, &doc.GenManHeader{
				Date: build.CommitDate, Source: "gwadmin " + build.Version, Manual: "gwadmin",
			}, args[0])
		},
	}
}
