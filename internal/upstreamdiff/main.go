// Command upstreamdiff says what changed between two npm releases of graphile-worker: the
// package, the objects of the schema, the sources of its functions, the statements of the
// worker, and the types. It installs both in a PostgreSQL of its own. A release may be a tag
// of npm, such as latest. With one release, the other is the newest that the tests know. See
// docs/upstream.md for what to do with the answer.
//
//	go run ./internal/upstreamdiff latest
//	go run ./internal/upstreamdiff 0.17.3 0.18.0
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"

	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	releases := os.Args[1:]
	if len(releases) == 1 {
		releases = []string{upstream.Newest, releases[0]}
	}
	if len(releases) != 2 {
		fmt.Fprintln(os.Stderr, "usage: upstreamdiff [FROM] TO, such as upstreamdiff 0.18.0 latest")
		os.Exit(2)
	}
	var report bytes.Buffer
	if err := run(ctx, &report, releases[0], releases[1]); err != nil {
		fmt.Fprintln(os.Stderr, "upstreamdiff:", err)
		os.Exit(1)
	}
	os.Stdout.Write(report.Bytes())
}

// run reads both releases, and writes what changed.
func run(ctx context.Context, w io.Writer, from, to string) error {
	for _, version := range []*string{&from, &to} {
		var err error
		if *version, err = exact(ctx, *version); err != nil {
			return err
		}
	}
	found, err := pgserver.Find(ctx, pgserver.FindOptions{Fetch: true, Progress: os.Stderr})
	if err != nil {
		return err
	}
	server, err := pgserver.Start(ctx, pgserver.Options{Installation: found, TCP: true})
	if err != nil {
		return err
	}
	defer server.Stop()
	var releases []*release
	for i, version := range []string{from, to} {
		database := []string{"postgres", "template1"}[i] // both are empty
		r, err := read(ctx, version, server.URL(database))
		if err != nil {
			return fmt.Errorf("graphile-worker %s: %w", version, err)
		}
		releases = append(releases, r)
	}
	compare(w, releases[0], releases[1])
	return nil
}

var version = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// exact returns the version behind a tag of npm, such as "latest".
func exact(ctx context.Context, name string) (string, error) {
	if version.MatchString(name) {
		return name, nil
	}
	if !regexp.MustCompile(`^[a-z]+$`).MatchString(name) {
		return "", fmt.Errorf("%q is no version: want one such as 0.18.0, or latest", name)
	}
	out, err := exec.CommandContext(ctx, "npm", "view", "graphile-worker@"+name, "version").Output()
	found := strings.TrimSpace(string(out))
	if err == nil && !version.MatchString(found) {
		err = fmt.Errorf("npm says %q", found)
	}
	if err != nil {
		return "", fmt.Errorf("ask npm for the version of graphile-worker@%s: %w", name, err)
	}
	return found, nil
}
