package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/schema"
)

func schemaCommand(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the schema as DDL, for sqlc and other tools that read one",
		Long: `Print the schema as DDL, for sqlc and other tools that read one: the type, tables,
indexes, view and functions that migrate up builds. It does not connect.

Commit the output beside your queries, and let CI run --check: it exits with 4, and
shows the difference, when the committed copy is not what this version prints.

Use migrate up or migrate sql to install the schema: this output lacks the records
that Graphile Worker and gwadmin look for.`,
		Example: `  gwadmin schema > graphile_worker.sql
  gwadmin schema --check graphile_worker.sql
  gwadmin schema --schema jobs`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ddl, err := schema.SQL(a.schema)
			if err != nil {
				return usage(err)
			}
			if !cmd.Flags().Changed("check") {
				return a.print(sqlText{ddl})
			}
			if file == "" {
				return usage(errors.New("--check is empty: name a file, or - for standard input"))
			}
			name, copied, err := a.readCopy(file)
			if err != nil {
				return fmt.Errorf("read the copy: %w", err)
			}
			diff := udiff.Unified(name, "gwadmin schema", copied, ddl)
			result := checkedCopy{name, diff == "", diff}
			if err := a.print(result); err != nil {
				return err
			}
			if !result.Current {
				a.say("%s is stale: replace it with the output of gwadmin schema", name)
				return status(exitDrifted)
			}
			a.say("%s is current", name)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "check", "", "compare a file with the output instead of printing it; - is standard input")
	return cmd
}

// readCopy reads a file, or standard input for -, and returns what to call it. Git may
// have changed the line ends.
func (a *app) readCopy(file string) (name, text string, err error) {
	var content []byte
	if file == "-" {
		name = "standard input"
		err = a.read(func() (err error) { content, err = io.ReadAll(a.stdin); return err })
	} else {
		name = file
		content, err = os.ReadFile(file)
	}
	return name, strings.ReplaceAll(string(content), "\r\n", "\n"), err
}

// checkedCopy prints how a copy of the schema differs from what it should be.
type checkedCopy struct {
	File    string `json:"file"`
	Current bool   `json:"current"`
	Diff    string `json:"diff"` // unified
}

func (c checkedCopy) lines() []any { return []any{c} }

func (c checkedCopy) tables(a *app) []table.Writer {
	const most = 20
	lines := strings.SplitAfter(c.Diff, "\n")
	more := len(lines) - 1 - most // the last is empty
	if more > 0 {
		lines = append(lines[:most], fmt.Sprintf("… and %s more\n", plural(int64(more), "line")))
	}
	fmt.Fprint(a.stdout, visibleLines(strings.Join(lines, "")))
	return nil
}
