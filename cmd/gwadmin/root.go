package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
)

// An app is one run of the command: its streams and its global flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	interrupted    <-chan struct{}

	databaseURL string
	schema      string
	targetFlags []string // as given; findTargets reads them
	targets     []target // several, or one by its name; none: databaseURL
	format      format
	wide        bool // do not fit tables to the terminal
	noHeaders   bool
	watching    bool

	// Of a copy of the app that works on one of the targets.
	name    string            // the target's
	pool    *pgxpool.Pool     // the target's
	outcome *targetOutcome    // collects what is printed and said; nil: it is printed
	cursors map[string]string // of jobs list, by target
}

// run runs the command on the given streams and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &sink{Writer: stdout}
	a := &app{stdin: stdin, stdout: out, stderr: stderr, interrupted: ctx.Done(), format: formatTable}
	a.databaseURL, a.targetFlags = handedOver()
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
		if err := a.findTargets(); err != nil {
			return err
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
	code, text := a.verdict(err)
	if !started {
		code = exitUsage
	}
	if text != "" {
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

--target names a database, or a schema in one, as NAME=CONNECTION or
NAME/SCHEMA=CONNECTION. It can be given several times. Without it and without
--database-url the targets are the lines of GWADMIN_TARGETS, of which --target
NAME chooses. Lists, counts, stats, metrics, ui and migrate status, plan, up and
validate work on all targets. A target that fails does not stop the others; the
exit code is the worst of all, in the order 130, 9, 1, 6, 5, 7, 4, 3, 8, 0. The
other verbs take one target.

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
	flags.Var((*targetFlag)(&a.targetFlags), "target", "NAME=CONNECTION or NAME/SCHEMA=CONNECTION, or NAME of GWADMIN_TARGETS; repeatable")
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
