package main

import (
	"context"
	"fmt"
	"io"

	"github.com/gwadmin/gwadmin/internal/pgserver"
)

// startPostgres starts a PostgreSQL server that ends with this process, and forgets
// everything. It is for trying this out: leave it out of a service of yours.
func startPostgres(ctx context.Context, out io.Writer) (*pgserver.Server, error) {
	found, err := pgserver.Find(ctx, pgserver.FindOptions{Fetch: true, Progress: out})
	if err != nil {
		return nil, fmt.Errorf("%w\n  name your own with -database-url", err)
	}
	server, err := pgserver.Start(ctx, pgserver.Options{Installation: found, TCP: true})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "PostgreSQL %s runs until this ends. Look into it with\n\n  psql '%s'\n\n", found.Version, server.URL("postgres"))
	return server, nil
}
