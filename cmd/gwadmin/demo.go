package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/internal/demo"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/migrations"
)

func demoCommand(a *app) *cobra.Command {
	var keep, yes, page bool
	var listen string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what the calls that change jobs do, on a server of its own",
		Long: `Show what the calls that change jobs do.

The demo adds jobs of several kinds, lets a worker hold some of them, and makes
each call. It starts a PostgreSQL server of its own, from the programs on this
machine or from npm, and removes it at the end.

If there is a --database-url or DATABASE_URL it asks, and then uses that
database. It works in the schema gwadmin_demo, which it drops at the end.

--ui serves the admin page of a queue that lives: simulated workers take, fail
and finish jobs until Ctrl-C.`,
		Example: "  gwadmin demo\n  gwadmin demo --keep\n  gwadmin demo --ui",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !page && cmd.Flags().Changed("listen") {
				return usage(errors.New("--listen is for --ui"))
			}
			if !page {
				listen = ""
			}
			return runDemo(a, cmd, keep, yes, listen)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the database until Ctrl-C")
	cmd.Flags().BoolVar(&page, "ui", false, "serve the admin page of a queue that lives, until Ctrl-C")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:7070", "with --ui, address and port of the page")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask before using --database-url or DATABASE_URL")
	return cmd
}

// runDemo runs the demo. If listen is not empty, it is that of the admin page.
func runDemo(a *app, cmd *cobra.Command, keep, yes bool, listen string) (err error) {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	schema, given, psql := demo.Schema, "--database-url is given", "psql with that connection string"
	if a.databaseURL == "" {
		given, psql = "DATABASE_URL is set", `psql "$DATABASE_URL"`
	}
	var config *pgxpool.Config
	if a.databaseURL != "" || os.Getenv("DATABASE_URL") != "" {
		if config, err = a.config(); err != nil {
			return err
		}
		if !yes {
			if err := a.confirm(given + ". Create the schema gwadmin_demo in that database, and drop it afterwards?"); err != nil {
				return err
			}
		}
	} else {
		schema = graphile.DefaultSchema
		found, err := pgserver.Find(ctx, pgserver.FindOptions{Fetch: true, Progress: cmd.ErrOrStderr()})
		if err != nil {
			return err
		}
		server, err := pgserver.Start(ctx, pgserver.Options{Installation: found, TCP: true})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		url := server.URL("postgres") // its password is useless when the demo has ended
		if config, err = pgxpool.ParseConfig(url); err != nil {
			return err
		}
		psql = "psql '" + url + "'"
		fmt.Fprintf(out, "Started PostgreSQL %s (%s).\n", found.Version, found.Source)
	}

	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	if schema == demo.Schema {
		if err := demo.Create(ctx, pool); err != nil {
			return err
		}
		defer func() {
			// Ctrl-C has cancelled ctx.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			err = errors.Join(err, demo.Drop(ctx, pool))
		}()
	}
	if err := a.migrateDemo(ctx, pool, schema); err != nil {
		return err
	}
	if listen != "" {
		return a.demoUI(ctx, pool, schema, listen)
	}
	if err := demonstrate(ctx, a, pool, schema); err != nil {
		return err
	}
	if keep {
		fmt.Fprintf(out, "\nHave a look, for instance with\n\n  %s\n\nCtrl-C ends it.\n", psql)
		<-ctx.Done()
	}
	return nil
}

// demoUI serves the admin page of a queue that lives.
func (a *app) demoUI(ctx context.Context, pool *pgxpool.Pool, schema, listen string) error {
	flags := uiFlags{listen: listen}
	options, token, err := flags.options()
	if err != nil {
		return usage(err)
	}
	ctx, end := context.WithCancel(ctx)
	living := make(chan error, 1)
	go func() {
		defer end() // without it the page would show a queue that stands still
		living <- demo.Live(ctx, pool, schema)
	}()
	err = a.serveUI(ctx, []uiPage{newUIPage("", pool, schema, options)}, listen, token)
	end()
	return errors.Join(err, <-living)
}

func (a *app) migrateDemo(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	migrator, err := migrations.New(pool, &migrations.Options{Schema: schema})
	if err != nil {
		return err
	}
	start := time.Now()
	result, err := migrator.Up(ctx, nil)
	if err != nil {
		return err
	}
	names := make([]string, len(result.Applied))
	for i, m := range result.Applied {
		names[i] = m.Name
	}
	fmt.Fprintf(a.stdout, "Migrated schema %s to revision %d in %d ms: %s.\n",
		schema, result.After, time.Since(start).Milliseconds(), strings.Join(names, ", "))
	return nil
}

func demonstrate(ctx context.Context, a *app, pool *pgxpool.Pool, schema string) error {
	out := a.stdout
	jobs, steps, err := demo.Run(ctx, pool, schema)
	if err != nil {
		return err
	}
	added := a.changedTable("JOBS ADDED", jobs, "id", "task", "queue", "key", "priority", "run_at", "flags", "payload")
	fmt.Fprintf(out, "\n%s\n", added.Render())
	fmt.Fprintf(out, "\nA worker, pool-demo, has taken jobs %d and %d, the latter with its queue.\n", jobs[2].ID, jobs[3].ID)

	did := a.table("WHAT EACH CALL DID", "call", "changed", "left alone, and why")
	for _, step := range steps {
		did.AppendRow(table.Row{step.Call, step.Changed, block(step.Left)})
	}
	fmt.Fprintf(out, "\n%s\n", did.Render())
	return nil
}
