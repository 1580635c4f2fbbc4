package main

import (
	"context"
	"errors"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
)

// connect makes a pool on the database that the flags and the environment name.
// It connects when it is first used, once, and works through a transaction-mode pooler.
func (a *app) connect(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := a.config()
	if err != nil {
		return nil, err
	}
	config.MaxConns = 1
	return pgxpool.NewWithConfig(ctx, config)
}

// config reads the flags and the environment. Its error shows no password.
func (a *app) config() (*pgxpool.Config, error) {
	url := a.databaseURL
	if url == "" {
		url = os.Getenv("DATABASE_URL")
	}
	config, err := pgxpool.ParseConfig(url)
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		parse.ConnString = "the connection string" // where pgx does not see every password
	}
	if err != nil {
		return nil, err
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "gwadmin"
	}
	return config, nil
}

// withClient runs fn with a client on the database. It connects with the first call
// whose input is good, so that bad input is said to be wrong whatever the database.
func (a *app) withClient(ctx context.Context, fn func(*admin.Client) error) error {
	pool, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	return fn(admin.New(pool, admin.WithSchema(a.schema)))
}

func (a *app) withPool(ctx context.Context, fn func(*pgxpool.Pool) error) error {
	pool, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := pool.Ping(ctx); err != nil {
		return err
	}
	return fn(pool)
}
