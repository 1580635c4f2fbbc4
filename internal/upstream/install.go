package upstream

import (
	"bytes"
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

// Install installs a schema, or migrates it to the revision of a release, as
// `graphile-worker --schema-only` does. An empty schema name is [DefaultSchema]. The
// url is any connection string that pgx reads; of several hosts the first is used. It
// may be called from many goroutines at once, and leaves no connection open. Without
// node or npm the error is [ErrUnavailable].
func Install(ctx context.Context, version, url, schema string) error {
	cmd, err := CLI(ctx, version, url, "--schema-only", "--schema="+cmp.Or(schema, DefaultSchema))
	if err == nil {
		var out []byte
		out, err = cmd.CombinedOutput()
		if err != nil && bytes.Contains(out, []byte("Schema updated")) && bytes.Contains(out, []byte("failed to exit naturally")) {
			err = nil // it has done its work, and then a busy machine was too slow for it
		}
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		return fmt.Errorf("install graphile-worker %s: %w", version, err)
	}
	return nil
}

// CLI prepares a release's command graphile-worker to run on the database behind url. Without
// node or npm the error is [ErrUnavailable].
func CLI(ctx context.Context, version, url string, args ...string) (*exec.Cmd, error) {
	cmd, err := command(ctx, version, url)
	if err != nil {
		return nil, err
	}
	cmd.Args = append([]string{cmd.Args[0], filepath.Join(cmd.Dir, "node_modules", packageName(version), "dist", "cli.js")}, args...)
	return cmd, nil
}

// command prepares node to run in the directory of the packages. The environment leads
// node-postgres to the database behind url, and has no variables for graphile-worker.
func command(ctx context.Context, version, url string, args ...string) (*exec.Cmd, error) {
	dir, err := packages(ctx, version)
	if err != nil {
		return nil, err
	}
	env, err := connectionEnv(url)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), misleads), env...)
	return cmd, nil
}

// misleads reports whether a variable of the environment could make graphile-worker
// connect to another database.
func misleads(variable string) bool {
	for _, prefix := range []string{"PG", "DATABASE_URL=", "GRAPHILE_", "NODE_OPTIONS=", "NODE_PG_"} {
		if strings.HasPrefix(variable, prefix) {
			return true
		}
	}
	return false
}

// connectionEnv turns a connection string into the variables that node-postgres
// reads. It reads fewer forms of connection strings than pgx. In a variable the
// password is not in the list of processes.
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
