package pgtest

import (
	"context"
	"errors"
	"sync"
)

// Template is a database that tests get copies of. Each test binary builds it
// once.
type Template struct {
	// Name and Key tell templates apart. Key stands for everything that Build
	// depends on: two templates with the same name and key are one.
	Name, Key string

	// Build fills the empty database at url.
	Build func(ctx context.Context, url string) error
}

// template returns the database of the template, which it builds where it is missing.
func (c *Cluster) template(t *Template) (string, error) {
	build, _ := c.templates.LoadOrStore([2]string{t.Name, t.Key}, sync.OnceValues(func() (string, error) {
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
	for _, sql := range []string{
		"alter database " + name + " allow_connections false",
		"select pg_terminate_backend(pid) from pg_stat_activity where datname = '" + name + "'",
	} {
		if _, err := c.admin.Exec(ctx, sql); err != nil {
			return "", err
		}
	}
	return name, nil
}
