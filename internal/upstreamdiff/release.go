package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/catalog"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// A release is what is compared of one. The maps are by name.
type release struct {
	version   string
	needs     map[string]string // the versions of node and of other packages
	revisions map[string]string // the SQL of each revision
	objects   map[string]string // what the catalog says of each object
	functions map[string]string // the source of each function
	modules   map[string]string // JavaScript that sends statements
	types     map[string]string // TypeScript's declarations
}

// read installs a release in an empty database, and reads it.
func read(ctx context.Context, version, url string) (*release, error) {
	dir, err := upstream.Fetch(ctx, version)
	if err != nil {
		return nil, err
	}
	r := &release{version: version}
	if err := r.readPackage(os.DirFS(dir)); err != nil {
		return nil, err
	}
	if err := upstream.Install(ctx, version, url, ""); err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	return r, pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return r.readSchema(ctx, tx) })
}

func (r *release) readPackage(dir fs.FS) error {
	text, err := fs.ReadFile(dir, "package.json")
	if err != nil {
		return err
	}
	var manifest struct{ Engines, Dependencies, PeerDependencies map[string]string }
	if err := json.Unmarshal(text, &manifest); err != nil {
		return fmt.Errorf("package.json: %w", err)
	}
	r.needs, r.revisions, r.modules, r.types = map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	for _, group := range []map[string]string{manifest.Engines, manifest.Dependencies, manifest.PeerDependencies} {
		for name, version := range group {
			r.needs[name] = version
		}
	}
	return fs.WalkDir(dir, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return err
		}
		source := string(text)
		switch {
		case path.Dir(name) == "sql":
			r.revisions[name] = source
		case strings.HasSuffix(name, ".d.ts"):
			r.types[name] = source
		case strings.HasSuffix(name, ".js") && strings.Contains(source, "${escapedWorkerSchema}"):
			r.modules[name] = source
		}
		return nil
	})
}

func (r *release) readSchema(ctx context.Context, tx pgx.Tx) error {
	found, err := catalog.Read(ctx, tx, upstream.DefaultSchema)
	if err != nil {
		return err
	}
	r.objects, r.functions = map[string]string{}, map[string]string{}
	for _, fact := range found.Facts {
		r.objects[fact.Object] = fact.Definition
	}
	rows, err := tx.Query(ctx, `
		select p.oid::regprocedure::text, pg_get_functiondef(p.oid) from pg_proc as p
		where p.pronamespace = to_regnamespace($1) and p.prokind in ('f', 'p')`, upstream.DefaultSchema)
	if err != nil {
		return err
	}
	var name, source string
	_, err = pgx.ForEachRow(rows, []any{&name, &source}, func() error {
		r.functions[name] = source
		return nil
	})
	return err
}
