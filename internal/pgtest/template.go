package pgtest

import (
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/migrations"
)

// Template is a database that tests get copies of. Each test binary builds it
// once.
type Template struct {
	// Name and Key tell templates apart. Key, which is comparable, stands for
	// everything that Build depends on: two templates with the same name and key are one.
	Name string
	Key  any

	// Build fills the empty database at url.
	Build func(ctx context.Context, url string) error
}

// Migrated is a template with this module's schema, and then what setUp adds unless
// it is nil. An empty name of the schema means graphile_worker. The key does not
// stand for setUp.
func Migrated(schema string, setUp func(context.Context, *pgxpool.Pool) error) *Template {
	return &Template{Name: "migrated", Key: schema, Build: func(ctx context.Context, url string) error {
		pool, err := pgxpool.New(ctx, url)
		if err != nil {
			return err
		}
		defer pool.Close()
		migrator, err := migrations.New(pool, &migrations.Options{Schema: schema})
		if err != nil {
			return err
		}
		if _, err := migrator.Up(ctx, nil); err != nil || setUp == nil {
			return err
		}
		return setUp(ctx, pool)
	}}
}

// template returns the database of the template, which it builds where it is missing.
func (c *Cluster) template(t *Template) (string, error) {
	build, _ := c.templates.LoadOrStore([2]any{t.Name, t.Key}, sync.OnceValues(func() (string, error) {
		// Every test that wants the template waits for this, so no single
		// test's context bounds it.
		ctx, cancel := context.WithTimeout(context.Background(), setUpTimeout)
		defer cancel()
		return c.build(ctx, t)
	}))
	return build.(func() (string, error))()
}

func (c *Cluster) build(ctx context.Context, t *Template) (name string, err error) {
	name = c.name("template " + t.Name)
	if _, err := c.admin.Exec(ctx, "create database "+name+" template template0"); err != nil {
		return "", err
	}
	if err := t.Build(ctx, c.url(name)); err != nil {
		return "", errors.Join(err, c.drop(ctx, name))
	}
	// A database that somebody is connected to cannot be copied.
	if _, err := c.admin.Exec(ctx, "alter database "+name+" allow_connections false"); err != nil {
		return "", err
	}
	return name, c.disconnect(ctx, name)
}
