package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// There is a manual page for each verb, with its example.
func TestMan(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "share", "man1")
	got := gwadmin(t, nil, "", "man", dir)
	checkCode(t, exitOK, got)
	check(t, "printed", "", got.Stdout+got.Stderr)
	walk(rootCommand(&app{}), func(cmd *cobra.Command) {
		page, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"))
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(page), strings.Fields(cmd.Short)[0]) || cmd.Example != "" && !strings.Contains(string(page), ".SH EXAMPLE\n") {
			t.Errorf("%s:\n%s", cmd.CommandPath(), page)
		}
	})

	checkCode(t, exitUsage, gwadmin(t, nil, "", "man"))
	checkCode(t, exitError, gwadmin(t, nil, "", "man", filepath.Join(dir, "gwadmin.1", "below a file")))
}
