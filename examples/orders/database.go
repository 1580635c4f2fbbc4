package main

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/gwadmin/gwadmin/migrations"
)

//go:embed migrations/*.sql
var files embed.FS

// migrate brings the queue's schema and this service's tables up to date. Each has its
// own versions: those of the queue are in graphile_worker.goose_db_version, and these in
// orders_goose_version. Several processes may migrate at once.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	queue, err := migrations.New(pool, nil)
	if err != nil {
		return err
	}
	if _, err := queue.Up(ctx, nil); err != nil {
		return fmt.Errorf("migrate the queue: %w", err)
	}

	own, err := fs.Sub(files, "migrations")
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	on := stdlib.OpenDBFromPool(pool)
	defer on.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, on, own,
		goose.WithTableName("orders_goose_version"), goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the tables of orders: %w", err)
	}
	return nil
}
