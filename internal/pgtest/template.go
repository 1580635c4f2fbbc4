package pgtest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const buildTimeout = 5 * time.Minute

// Template is a database that tests get copies of. It is built once for each
// server, whichever test binary comes first.
type Template struct {
	// Name tells templates apart.
	Name string

	// Key stands for everything that Build depends on, such as the content of
	// the migrations. Another key makes another template.
	Key string

	// Build fills the empty database at url, and leaves no connection to it open.
	Build func(ctx context.Context, url string) error
}

// database is the name of the template's database, complete as soon as it exists.
func (t *Template) database() string {
	return fmt.Sprintf("%s%x", t.prefix(), sha256.Sum256([]byte(t.Key)))[:len(t.prefix())+12]
}

func (t *Template) prefix() string { return fmt.Sprintf("gwadmin_template_%.28s_", slug(t.Name)) }

// template returns the database of the template, which it builds where it is missing.
func (c *Cluster) template(t *Template) (string, error) {
	name := t.database()
	build, _ := c.templates.LoadOrStore(name, sync.OnceValue(func() error {
		// Every test that wants the template waits for this, so no single
		// test's context bounds it.
		ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
		defer cancel()
		return c.build(ctx, t, name)
	}))
	return name, build.(func() error)()
}

// build makes the template under another name, which is then changed: so it is
// there whole or not at all. A lock, held by this process to its end, says
// that the template is in use.
func (c *Cluster) build(ctx context.Context, t *Template, name string) error {
	lease, err := c.admin.Acquire(ctx)
	if err != nil {
		return err
	}
	conn := lease.Hijack()
	c.mu.Lock()
	c.inUse = append(c.inUse, conn)
	c.mu.Unlock()

	if err := run(ctx, conn, "select pg_advisory_lock_shared($1)", lockKey(name)); err != nil {
		return err
	}
	if there, err := databaseExists(ctx, conn, name); there || err != nil {
		return err
	}
	if err := run(ctx, conn, "select pg_advisory_unlock_shared($1)", lockKey(name)); err != nil {
		return err
	}
	if err := run(ctx, conn, "select pg_advisory_lock($1)", lockKey(name)); err != nil {
		return err
	}
	there, err := databaseExists(ctx, conn, name)
	if err == nil && !there {
		err = c.create(ctx, conn, t, name)
	}
	if err != nil {
		conn.Close(ctx) // and with it the lock: others may try
		return err
	}
	if err := run(ctx, conn, "select pg_advisory_lock_shared($1)", lockKey(name)); err != nil {
		return err
	}
	return run(ctx, conn, "select pg_advisory_unlock($1)", lockKey(name))
}

func (c *Cluster) create(ctx context.Context, conn *pgx.Conn, t *Template, name string) error {
	unfinished := name + "_new"
	for _, sql := range []string{
		"drop database if exists " + unfinished + " with (force)",
		"create database " + unfinished + " template template0",
	} {
		if err := run(ctx, conn, sql); err != nil {
			return err
		}
	}
	if err := t.Build(ctx, c.url(unfinished)); err != nil {
		return err
	}
	// A database that somebody is connected to can be neither renamed nor copied.
	for _, sql := range []string{
		"alter database " + unfinished + " allow_connections false",
		"select pg_terminate_backend(pid) from pg_stat_activity where datname = '" + unfinished + "'",
		"alter database " + unfinished + " rename to " + name,
	} {
		if err := run(ctx, conn, sql); err != nil {
			return err
		}
	}
	return dropStale(ctx, conn, t, name)
}

// dropStale drops the template's databases of other keys that no process uses.
func dropStale(ctx context.Context, conn *pgx.Conn, t *Template, name string) error {
	rows, err := conn.Query(ctx, "select datname from pg_database where datname ~ $1 and datname <> $2",
		"^"+t.prefix()+"[0-9a-f]{12}$", name)
	if err != nil {
		return err
	}
	stale, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, old := range stale {
		var unused bool
		if err := conn.QueryRow(ctx, "select pg_try_advisory_lock($1)", lockKey(old)).Scan(&unused); err != nil {
			return err
		}
		if !unused {
			continue
		}
		if err := run(ctx, conn, "drop database if exists "+old); err != nil {
			return err
		}
		if err := run(ctx, conn, "select pg_advisory_unlock($1)", lockKey(old)); err != nil {
			return err
		}
	}
	return nil
}

func databaseExists(ctx context.Context, conn *pgx.Conn, name string) (there bool, err error) {
	err = conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", name).Scan(&there)
	return there, err
}

func run(ctx context.Context, conn *pgx.Conn, sql string, args ...any) error {
	_, err := conn.Exec(ctx, sql, args...)
	return err
}

func lockKey(name string) int64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return int64(h.Sum64())
}
