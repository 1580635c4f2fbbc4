package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gwadmin/gwadmin/migrations"
)

func migrateCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Install, upgrade and check the schema, and let roles use it",
		Long: `Install, upgrade and check the schema, and let roles use it, without a JavaScript
runtime.

The schema is that of Graphile Worker 0.18.0, revision 20.`,
	}
	cmd.AddCommand(migrateUpCommand(a), migrateDownCommand(a), migrateStatusCommand(a), migratePlanCommand(a),
		migrateSQLCommand(a), migrateValidateCommand(a), migrateGrantsCommand(a), migrateIndexesCommand(a))
	return cmd
}

// limits are the flags that limit how long a migration waits.
type limits struct{ waitLock, lockTimeout, statementTimeout time.Duration }

func (l *limits) flags(flags *pflag.FlagSet) {
	flags.DurationVar(&l.waitLock, "wait-lock", time.Minute, "how long to wait for another migrator; 0 has no limit")
	flags.DurationVar(&l.lockTimeout, "lock-timeout", 5*time.Second, "how long a statement waits for a lock before everything is rolled back and tried again, up to ten times")
	flags.DurationVar(&l.statementTimeout, "statement-timeout", 0, "how long a statement may take; 0 is the server's setting")
}

// withMigrator runs fn with a migrator of the database. It connects when fn first calls it
// with valid input.
func (a *app) withMigrator(ctx context.Context, l limits, fn func(*migrations.Migrator) error) error {
	for _, limit := range []struct {
		flag string
		d    time.Duration
	}{{"--wait-lock", l.waitLock}, {"--lock-timeout", l.lockTimeout}, {"--statement-timeout", l.statementTimeout}} {
		if limit.d < 0 {
			return usage(fmt.Errorf("%s %s is negative", limit.flag, limit.d))
		}
	}
	pool, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer a.release(pool)
	migrator, err := migrations.New(pool, &migrations.Options{
		Schema:           a.schema,
		WaitLock:         l.waitLock,
		LockTimeout:      l.lockTimeout,
		StatementTimeout: l.statementTimeout,
	})
	if err != nil {
		return usage(err)
	}
	switch err := fn(migrator); {
	case errors.Is(err, migrations.ErrNoMigration), errors.Is(err, migrations.ErrNoIndex):
		return usage(err)
	case errors.Is(err, migrations.ErrIndexTaken):
		return &statusError{exitRefused, err}
	default:
		return err
	}
}

// onMigrators runs fn with a migrator of the database, or of each target.
func (a *app) onMigrators(ctx context.Context, l limits, fn func(context.Context, *app, *migrations.Migrator) error) error {
	return a.onTargets(ctx, func(ctx context.Context, a *app) error {
		return a.withMigrator(ctx, l, func(migrator *migrations.Migrator) error { return fn(ctx, a, migrator) })
	})
}

// migrationTable is a table of migrations by number and name.
func (a *app) migrationTable(title string, list []migrations.Migration) []table.Writer {
	t := a.table(title, "migration", "name")
	for _, m := range list {
		t.AppendRow(table.Row{m.Version, m.Name})
	}
	return []table.Writer{t}
}

// pending says how many migrations are pending.
func pending(n int) string {
	if n == 1 {
		return "1 migration is pending"
	}
	return plural(n, "migration") + " are pending"
}

// sqlText prints SQL unchanged.
type sqlText struct {
	SQL string `json:"sql"`
}

func (s sqlText) lines() []any { return []any{s} }

func (s sqlText) tables(a *app) []table.Writer {
	fmt.Fprint(a.stdout, s.SQL)
	return nil
}
