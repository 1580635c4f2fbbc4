package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/migrations"
)

func migrateCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Install, upgrade, check and document the schema",
		Long: `Install, upgrade, check and document the schema, without a JavaScript runtime.

The schema is that of Graphile Worker 0.18.0, revision 20.`,
	}
	cmd.AddCommand(migrateUpCommand(a), migrateDownCommand(a), migrateStatusCommand(a), migratePlanCommand(a),
		migrateSQLCommand(a), migrateValidateCommand(a), migrateGrantsCommand(a), migrateIndexesCommand(a))
	return cmd
}

// limits are the flags that bound how long a migration waits.
type limits struct{ waitLock, lockTimeout, statementTimeout time.Duration }

func (l *limits) flags(flags *pflag.FlagSet) {
	flags.DurationVar(&l.waitLock, "wait-lock", time.Minute, "how long to wait for another migrator; 0 waits on")
	flags.DurationVar(&l.lockTimeout, "lock-timeout", 5*time.Second, "how long a statement waits for a lock before everything is rolled back and tried again, up to ten times")
	flags.DurationVar(&l.statementTimeout, "statement-timeout", 0, "how long a statement may take; 0 is the server's setting")
}

// withMigrator runs fn with a migrator on the database.
func (a *app) withMigrator(ctx context.Context, l limits, fn func(*migrations.Migrator) error) error {
	return a.withPool(ctx, func(pool *pgxpool.Pool) error {
		migrator, err := a.migrator(pool, l)
		if err != nil {
			return err
		}
		return fn(migrator)
	})
}

func (a *app) migrator(pool *pgxpool.Pool, l limits) (*migrations.Migrator, error) {
	for _, limit := range []struct {
		flag string
		d    time.Duration
	}{{"--wait-lock", l.waitLock}, {"--lock-timeout", l.lockTimeout}, {"--statement-timeout", l.statementTimeout}} {
		if limit.d < 0 {
			return nil, usage(fmt.Errorf("%s %s is negative", limit.flag, limit.d))
		}
	}
	migrator, err := migrations.New(pool, &migrations.Options{
		Schema:           a.schema,
		WaitLock:         l.waitLock,
		LockTimeout:      l.lockTimeout,
		StatementTimeout: l.statementTimeout,
	})
	if err != nil {
		return nil, usage(err)
	}
	return migrator, nil
}
