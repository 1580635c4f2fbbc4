//go:build unix

package main

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
)

// withoutURLs removes the flags, and nothing that only looks like them.
func TestWithoutURLs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ args, rest, hidden string }{
		{"jobs show 1", "jobs show 1", ""},
		{"--database-url=X jobs show 1", "jobs show 1", "database-url=X"},
		{"--database-url X jobs show 1", "jobs show 1", "database-url=X"},
		{"jobs --database-url X show --key K", "jobs show --key K", "database-url=X"},
		{"jobs show 1 --database-url X --database-url=Y -o json", "jobs show 1 -o json", "database-url=X&database-url=Y"},
		{"jobs show 1 --database-url=", "jobs show 1 --database-url=", ""},
		{"jobs show 1 --database-url", "jobs show 1 --database-url", ""},
		{"jobs show 1 --database-url --schema", "jobs show 1", "database-url=--schema"},
		{"jobs fail 1 --reason --database-url=X --yes", "jobs fail 1 --reason --database-url=X --yes", ""},
		{"jobs fail 1 --reason --database-url X --yes", "jobs fail 1 --reason --database-url X --yes", ""},
		{"jobs fail 1 --reason --database-url=X --database-url=Y", "jobs fail 1 --reason --database-url=X", "database-url=Y"},
		{"jobs fail 1 --database-url --reason --database-url=Y", "jobs fail 1", "database-url=--reason&database-url=Y"},
		{"jobs add send --database-url X -- --database-url=Y", "jobs add send -- --database-url=Y", "database-url=X"},
		{"jobs fail 1 -y --database-url X --help", "jobs fail 1 -y --help", "database-url=X"},
		{"--version --database-url X", "--version", "database-url=X"},
		{"frobnicate --database-url X", "frobnicate", "database-url=X"},
		{"--target eu=X stats --target=us/jobs=Y", "stats", "target=eu%3DX&target=us%2Fjobs%3DY"},
		{"stats --target eu", "stats", "target=eu"},
		{"stats --target=", "stats --target=", ""},
		{"jobs fail 1 --reason --target=X --yes", "jobs fail 1 --reason --target=X --yes", ""},
		{"jobs add send --target=X -- --target Y", "jobs add send -- --target Y", "target=X"},
	} {
		rest, hidden := withoutURLs(strings.Fields(tc.args))
		check(t, tc.args, []string{tc.rest, tc.hidden}, []string{strings.Join(rest, " "), hidden.Encode()})
	}
}

// A value that looks like the flag reaches the verb.
func TestFlagThatIsAValue(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	checkCode(t, exitOK, s.run("jobs", "fail", "1", "--reason", "--database-url=X", "--yes"))
	check(t, "the reason", "--database-url=X", *s.job(1).LastError)
}

// A string for another process is ignored.
func TestHandover(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	for _, stale := range []string{"3", "1:3", fmt.Sprintf("%d:3", os.Getpid()), "1:database-url=postgres%3A%2F%2F127.0.0.1%3A1%2Fnone"} {
		checkCode(t, exitOK, gwadmin(t, s.env(urlHandover+"="+stale), "", "jobs", "show", "1"))
	}
}

// handedOver unsets the variable, and takes no other database if the pipe cannot be read.
func TestHandedOver(t *testing.T) {
	from, err := handOver(url.Values{urlFlagName: {"X", "postgres://h/db"}, targetFlagName: {"eu=A", "us=B"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(urlHandover, fmt.Sprintf("%d:%d", os.Getpid(), from))
	databaseURL, targets := handedOver()
	check(t, "handed over", []string{"postgres://h/db", "eu=A", "us=B"}, append([]string{databaseURL}, targets...))
	if _, there := os.LookupEnv(urlHandover); there {
		t.Error("children inherit it")
	}
	if _, err := handOver(url.Values{urlFlagName: {strings.Repeat("x", 1<<20)}}); err == nil {
		t.Error("a pipe holds a megabyte")
	}
	t.Setenv(urlHandover, fmt.Sprintf("%d:%d", os.Getpid(), 1<<20))
	databaseURL, _ = handedOver()
	if _, err := parseConfig(databaseURL); databaseURL == "" || err == nil {
		t.Errorf("a pipe that is closed: %q, %v", databaseURL, err)
	}
}

func FuzzWithoutURLs(f *testing.F) {
	for _, text := range []string{"jobs show 1", "--database-url=X jobs", "--database-url", "-- --database-url X", "--target a=X stats", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, args := range [][]string{{text}, {"--database-url", text}, {"--target", text}, {"jobs", "list", text}, strings.Fields(text)} {
			rest, hidden := withoutURLs(args)
			if len(rest) > len(args) {
				t.Errorf("withoutURLs(%q) is %q, %q", args, rest, hidden)
			}
			for _, values := range hidden {
				for _, value := range values {
					if !strings.Contains(strings.Join(args, " "), value) {
						t.Errorf("withoutURLs(%q) is %q, %q", args, rest, hidden)
					}
				}
			}
		}
	})
}
