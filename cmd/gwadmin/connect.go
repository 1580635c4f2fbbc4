package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
)

// connect makes a pool of one connection to the database that the flags and the
// environment name. It connects when it is first used, and works through a
// transaction-mode pooler.
func (a *app) connect(ctx context.Context) (*pgxpool.Pool, error) {
	if a.pool != nil {
		return a.pool, nil
	}
	config, err := a.config()
	if err != nil {
		return nil, err
	}
	config.MaxConns = 1
	return pgxpool.NewWithConfig(ctx, config)
}

// config reads the flags and the environment. Its error shows no password. Several targets
// are an error.
func (a *app) config() (*pgxpool.Config, error) {
	url := a.databaseURL
	switch {
	case len(a.targets) > 1:
		names := namesOf(a.targets)
		return nil, usage(fmt.Errorf("this works on one target, and there are %s: name one with --target", strings.Join(names, ", ")))
	case len(a.targets) == 1:
		url = a.targets[0].url
	case url == "":
		url = os.Getenv("DATABASE_URL")
	}
	return parseConfig(url)
}

// release closes a pool of connect, unless it is the target's own.
func (a *app) release(pool *pgxpool.Pool) {
	if pool != a.pool {
		closePool(pool)
	}
}

// closePool closes a pool. It does not wait until the connections are closed, which takes
// long if the network is gone.
func closePool(pool *pgxpool.Pool) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		pool.Close()
	}()
	select {
	case <-closed:
	case <-time.After(cancelWait):
	}
}

const urlBegins = "a URL begins with postgres:// or postgresql://, in small letters, without a space or a quote before it"

// parameterName is what the name of a parameter of a connection string looks like.
var parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// parseConfig reads a connection string. Its error shows no password. A name that is no
// parameter's may be a mistyped URL with a password, which the server would log and answer
// with: it is refused.
func parseConfig(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		switch text := err.Error(); { // the causes show what they take for a port or a keyword
		case strings.Contains(text, "failed to parse as URL"):
			return nil, usage(errors.New("cannot parse the connection string as a URL: " +
				"write special characters in the user and the password as %XX, such as %40 for @ and %2F for /"))
		case strings.Contains(text, "failed to parse as keyword/value"):
			return nil, usage(errors.New("cannot parse the connection string as keywords and values: " +
				"write each as keyword=value, and quote a value with a space as 'a b'; " + urlBegins))
		}
		parse.ConnString = "the connection string" // pgx does not find every password in it
	}
	if err != nil {
		return nil, err
	}
	for name := range config.ConnConfig.RuntimeParams {
		if !parameterName.MatchString(name) {
			return nil, usage(errors.New("cannot parse the connection string: what is before = is no name of a parameter; " + urlBegins))
		}
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &canceler{conn: conn}
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "gwadmin"
	}
	return config, nil
}

// withClient runs fn with a client on the database. The client's first call connects,
// after it has validated its input.
func (a *app) withClient(ctx context.Context, fn func(*admin.Client) error) error {
	pool, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer a.release(pool)
	return fn(admin.New(pool, admin.WithSchema(a.schema)))
}

// withPool connects and runs fn.
func (a *app) withPool(ctx context.Context, fn func(*pgxpool.Pool) error) error {
	pool, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer a.release(pool)
	if err := pool.Ping(ctx); err != nil {
		return err
	}
	return fn(pool)
}
