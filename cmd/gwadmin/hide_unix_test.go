//go:build unix

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// withoutURL removes the flag, and nothing that only looks like it.
func TestWithoutURL(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ args, rest, url string }{
		{"jobs show 1", "jobs show 1", ""},
		{"--database-url=X jobs show 1", "jobs show 1", "X"},
		{"--database-url X jobs show 1", "jobs show 1", "X"},
		{"jobs --database-url X show --key K", "jobs show --key K", "X"},
		{"jobs show 1 --database-url X --database-url=Y -o json", "jobs show 1 -o json", "Y"},
		{"jobs show 1 --database-url=", "jobs show 1 --database-url=", ""},
		{"jobs show 1 --database-url", "jobs show 1 --database-url", ""},
		{"jobs show 1 --database-url --schema", "jobs show 1", "--schema"},
		{"jobs fail 1 --reason --database-url=X --yes", "jobs fail 1 --reason --database-url=X --yes", ""},
		{"jobs fail 1 --reason --database-url X --yes", "jobs fail 1 --reason --database-url X --yes", ""},
		{"jobs fail 1 --reason --database-url=X --database-url=Y", "jobs fail 1 --reason --database-url=X", "Y"},
		{"jobs fail 1 --database-url --reason --database-url=Y", "jobs fail 1", "Y"},
		{"jobs add send --database-url X -- --database-url=Y", "jobs add send -- --database-url=Y", "X"},
		{"jobs fail 1 -y --database-url X --help", "jobs fail 1 -y --help", "X"},
		{"--version --database-url X", "--version", "X"},
		{"frobnicate --database-url X", "frobnicate", "X"},
	} {
		rest, url := withoutURL(strings.Fields(tc.args))
		check(t, tc.args, []string{tc.rest, tc.url}, []string{strings.Join(rest, " "), url})
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
	for _, stale := range []string{"postgres://127.0.0.1:1/none", "1:postgres://127.0.0.1:1/none", fmt.Sprintf("%d:postgres://127.0.0.1:1/none", os.Getpid())} {
		checkCode(t, exitOK, gwadmin(t, s.env(urlHandover+"="+stale), "", "jobs", "show", "1"))
	}
}

// handedOver unsets the variable.
func TestHandedOver(t *testing.T) {
	t.Setenv(urlHandover, strconv.Itoa(os.Getpid())+":postgres://h/db")
	check(t, "handed over", "postgres://h/db", handedOver())
	if _, there := os.LookupEnv(urlHandover); there {
		t.Error("children inherit it")
	}
}

func FuzzWithoutURL(f *testing.F) {
	for _, text := range []string{"jobs show 1", "--database-url=X jobs", "--database-url", "-- --database-url X", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, args := range [][]string{{text}, {"--database-url", text}, {"jobs", "list", text}, strings.Fields(text)} {
			rest, url := withoutURL(args)
			if len(rest) > len(args) || url != "" && !strings.Contains(strings.Join(args, " "), url) {
				t.Errorf("withoutURL(%q) is %q, %q", args, rest, url)
			}
		}
	})
}
