// Command generate writes the generated files of this repository. It migrates an
// empty database and writes schema/schema.sql and the files of internal/catalog from
// it. Then it runs sqlc, which writes db/ from schema.sql and queries/ and prepares
// every query on that database. Run it from the repository's root:
//
//	go run ./internal/generate
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/catalog"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/migrations"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := generate(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(ctx context.Context) error {
	found, err := pgserver.Find(ctx, pgserver.FindOptions{Fetch: true, Progress: os.Stderr})
	if err != nil {
		return err
	}
	server, err := pgserver.Start(ctx, pgserver.Options{Installation: found, TCP: true})
	if err != nil {
		return err
	}
	defer server.Stop()
	url := server.URL("postgres")

	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	migrator, err := migrations.New(pool, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Up(ctx, nil); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	dumped, err := dump(ctx, conn, graphile.DefaultSchema)
	if err != nil {
		return fmt.Errorf("dump the schema: %w", err)
	}
	var live *catalog.Catalog
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
		live, err = catalog.Read(ctx, tx, graphile.DefaultSchema)
		return err
	})
	if err != nil {
		return fmt.Errorf("read the catalog: %w", err)
	}
	for name, content := range map[string]string{
		"schema/schema.sql":                   dumped,
		"internal/catalog/catalog.txt":        catalog.Format(live.Facts),
		"internal/catalog/bodies/gwadmin.txt": catalog.Format(live.Bodies),
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}

	const expanded = "internal/generate/queries" // where sqlc.yaml says
	if err := expand(expanded); err != nil {
		return fmt.Errorf("expand the queries: %w", err)
	}
	defer os.RemoveAll(expanded)
	// A file that no query file stands behind any more must not survive.
	if err := os.RemoveAll("db"); err != nil {
		return err
	}
	for _, verb := range []string{"generate", "vet"} {
		sqlc := exec.CommandContext(ctx, "go", "tool", "-modfile=internal/tools/go.mod", "sqlc", verb)
		sqlc.Env = append(os.Environ(), "GWADMIN_GENERATE_URL="+url)
		sqlc.Stdout, sqlc.Stderr = os.Stdout, os.Stderr
		if err := sqlc.Run(); err != nil {
			return fmt.Errorf("sqlc %s: %w", verb, err)
		}
	}
	return nil
}
