package main

import (
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// expand writes the query files with the fragments of queries/fragments.tmpl put in to a
// directory for sqlc, which has no fragments of its own.
func expand(to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	fragments, err := template.ParseFiles("queries/fragments.tmpl")
	if err != nil {
		return err
	}
	files, err := filepath.Glob("queries/*.sql")
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		query, err := template.Must(fragments.Clone()).New(file).Parse(string(text))
		if err != nil {
			return err
		}
		var expanded strings.Builder
		if err := query.Execute(&expanded, nil); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(file)), []byte(expanded.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
