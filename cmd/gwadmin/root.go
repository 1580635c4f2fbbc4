package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// An app is one run of the command: its streams and its global flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	interrupted    <-chan struct{}

	databaseURL string
	schema      string
	format      format
	wide        bool // do not fit tables to the terminal
	noHeaders   bool
	watching    bool
}

// run runs the command on the given streams and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &sink{Writer: stdout}
	a := &app{stdin: stdin, stdout: out, stderr: stderr, interrupted: ctx.Done(), format: formatTable, databaseURL: handedOver()}
	root := rootCommand(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	started := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if schema := os.Getenv("GWADMIN_SCHEMA"); schema != "" && !cmd.Flags().Changed("schema") {
			a.schema = schema
		}
		if a.schema == "" {
			return errors.New("--schema is empty")
		}
		started = true
		return nil
	}

	cmd, err := root.ExecuteContextC(ctx)
	if out.err != nil && (err == nil || err.Error() == "" || errors.Is(err, out.err)) {
		err, started = out.err, true
	}
	if err == nil {
		return exitOK
	}
	a.printUnknown(err, out.printed)
	code := exitCode(err)
	if code == exitError && a.wasInterrupted(err) {
		code = exitInterrupted
	}
	if !started {
		code = exitUsage
	}
	if text := describe(err); text != "" {
		if code == exitInterrupted && a.wasInterrupted(err) {
			text, _, _ = strings.Cut(text, " (SQLSTATE 57014)") // and advice about timeouts
			text = "interrupted: " + text
		}
		fmt.Fprintln(stderr, "gwadmin:", text)
	}
	if code == exitUsage {
		fmt.Fprintf(stderr, "See %s --help.\n", cmd.CommandPath())
	}
	return code
}

// rootCommand returns the tree of all verbs.
func rootCommand(a *app) *cobra.Command {
	build := currentBuild()
	root := &cobra.Command{
		Use:   "gwadmin",
		Short: "Administer a Graphile Worker job queue on PostgreSQL",
		Long: `Administer a Graphile Worker job queue on PostgreSQL.

The connection string is --database-url or, without it, DATABASE_URL. What the
string does not say, such as a password, and everything if there is no string,
comes from PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSSLMODE,
PGSERVICE, …, the service file and the password file, as psql reads them.

Data goes to standard output, everything else to standard error. NO_COLOR
switches colours off.

` + exitCodeHelp,
		Version:       build.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate(build.text())
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 80"))
	flags := root.PersistentFlags()
	flags.Var((*connectionString)(&a.databaseURL), "database-url", "connection string, as a URL or as keywords and values")
	flags.Lookup("database-url").DefValue = ""
	flags.StringVar(&a.schema, "schema", "graphile_worker", "the schema that Graphile Worker is installed in, or GWADMIN_SCHEMA")
	flags.VarP(&a.format, "output", "o", "table, json, or ndjson: one JSON value a line")
	flags.BoolVar(&a.wide, "wide", false, "do not fit tables to the terminal's width")
	flags.BoolVar(&a.noHeaders, "no-headers", false, "leave out the names of a table's columns")
	root.AddCommand(
		group(jobsCommand(a)),
		queuesCommand(a),
		tasksCommand(a),
		crontabsCommand(a),
		group(workersCommand(a)),
		statsCommand(a),
		metricsCommand(a),
		cleanupCommand(a),
		group(migrateCommand(a)),
		schemaCommand(a),
		uiCommand(a),
		demoCommand(a),
		manCommand(),
		versionCommand(a),
	)
	group(root)
	walk(root, func(cmd *cobra.Command) {
		if cmd.Args == nil && !strings.Contains(cmd.Use, " ") { // the usage has no arguments
			cmd.Args = takes(0, 0)
		}
	})
	a.complete(root)
	return root
}

// group is a command that only has others below it. It prints its help.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = verbOnly
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}
