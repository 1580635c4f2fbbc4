package upstream

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Install brings a schema to the revision of a release, as `graphile-worker
// --schema-only` does; a schema that is there already is migrated, its data
// kept. An empty schema name is [DefaultSchema]. The url is any connection
// string that pgx reads; of several hosts the first is taken. It is safe for use
// from many goroutines, and no connection is left behind. Without node or npm
// the error is [ErrUnavailable].
func Install(ctx context.Context, version, url, schema string) error {
	cmd, err := command(ctx, version, url, func(dir string) []string {
		return []string{
			filepath.Join(dir, "node_modules", "graphile-worker-"+version, "dist", "cli.js"),
			"--schema-only",
			"--schema=" + cmp.Or(schema, DefaultSchema),
		}
	})
	if err == nil {
		var out []byte
		if out, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		return fmt.Errorf("install graphile-worker %s: %w", version, err)
	}
	return nil
}

// command prepares node to run in the directory of the packages, which it hands
// to args, on the database behind url.
func command(ctx context.Context, version, url string, args func(dir string) []string) (*exec.Cmd, error) {
	if Revision(version) == 0 {
		return nil, fmt.Errorf("unknown release %q, want one of %q", version, Versions)
	}
	dir, err := packages(ctx)
	if err != nil {
		return nil, err
	}
	env, err := connectionEnv(url)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "node", args(dir)...)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), misleads), env...)
	return cmd, nil
}

// misleads tells whether a variable of the environment would send
// graphile-worker elsewhere than it is told to go.
func misleads(variable string) bool {
	for _, prefix := range []string{"PG", "DATABASE_URL=", "GRAPHILE_", "NODE_OPTIONS=", "NODE_PG_"} {
		if strings.HasPrefix(variable, prefix) {
			return true
		}
	}
	return false
}

// connectionEnv turns a connection string into the variables that node-postgres
// reads. Those mean the same to it whatever form the string has, sockets and
// keyword/value pairs included, and show no password to ps.
func connectionEnv(url string) ([]string, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	plain := cfg.TLSConfig == nil
	for _, fallback := range cfg.Fallbacks {
		plain = plain || fallback.TLSConfig == nil
	}
	sslmode := "no-verify"
	if plain {
		sslmode = "disable"
	}
	env := []string{
		"PGHOST=" + cfg.Host,
		"PGPORT=" + strconv.Itoa(int(cfg.Port)),
		"PGUSER=" + cfg.User,
		"PGDATABASE=" + cmp.Or(cfg.Database, cfg.User),
		"PGSSLMODE=" + sslmode,
	}
	if cfg.Password != "" {
		env = append(env, "PGPASSWORD="+cfg.Password)
	}
	var options []string
	for _, name := range slices.Sorted(maps.Keys(cfg.RuntimeParams)) {
		value := cfg.RuntimeParams[name]
		if name == "options" {
			options = append(options, value)
			continue
		}
		value = strings.NewReplacer(`\`, `\\`, " ", `\ `).Replace(value)
		options = append(options, "-c "+name+"="+value)
	}
	if options != nil {
		env = append(env, "PGOPTIONS="+strings.Join(options, " "))
	}
	return env, nil
}
