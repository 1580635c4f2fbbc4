package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/aymanbagabas/go-udiff"
)

// compare writes what changed, part by part. A part in which nothing did is left out.
func compare(w io.Writer, from, to *release) {
	fmt.Fprintf(w, "# graphile-worker %s to %s\n", from.version, to.version)
	facts(w, "What it needs", from.needs, to.needs)
	sources(w, "Revisions", from.revisions, to.revisions)
	facts(w, "Objects of the schema", from.objects, to.objects)
	sources(w, "Functions", from.functions, to.functions)
	sources(w, "Statements of the worker", from.modules, to.modules)
	sources(w, "Types", from.types, to.types)
	fmt.Fprintf(w, "\nThe tests on it: make upstream-test TO=%s\n", to.version)
}

// facts compares short definitions.
func facts(w io.Writer, title string, from, to map[string]string) {
	changed(w, title, from, to, func(name, was, is string, had, has bool) {
		switch {
		case !had:
			fmt.Fprintf(w, "+ %s: %s\n", name, is)
		case !has:
			fmt.Fprintf(w, "- %s: %s\n", name, was)
		default:
			fmt.Fprintf(w, "~ %s\n  - %s\n  + %s\n", name, was, is)
		}
	})
}

// sources compares texts by their lines.
func sources(w io.Writer, title string, from, to map[string]string) {
	changed(w, title, from, to, func(name, was, is string, had, has bool) {
		old, new := name, name
		if !had {
			old = "/dev/null"
		}
		if !has {
			new = "/dev/null"
		}
		fmt.Fprint(w, udiff.Unified(old, new, was, is))
	})
}

// changed calls write for each name whose text differs, below a title with their number.
func changed(w io.Writer, title string, from, to map[string]string, write func(name, was, is string, had, has bool)) {
	all := maps.Clone(from)
	maps.Copy(all, to)
	var names []string
	for name := range all {
		was, had := from[name]
		is, has := to[name]
		if was != is || had != has {
			names = append(names, name)
		}
	}
	if names == nil {
		return
	}
	slices.Sort(names)
	fmt.Fprintf(w, "\n## %s: %d\n\n", title, len(names))
	for _, name := range names {
		was, had := from[name]
		is, has := to[name]
		write(name, was, is, had, has)
	}
}
