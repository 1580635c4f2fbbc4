package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	referenceBegin = "<!-- The command reference: written by go test ./cmd/gwadmin -run Reference -update -->\n"
	referenceEnd   = "<!-- The end of the command reference -->\n"
)

// The command reference in docs is what the help says.
func TestReference(t *testing.T) {
	var want strings.Builder
	writeReference(&want, rootCommand(&app{}))
	section(t, "../../docs/command.md", referenceBegin, referenceEnd, want.String())
}

// The sample in the README is what the command prints of such jobs.
func TestReadmeSample(t *testing.T) {
	t.Parallel()
	s := ours(t)
	s.exec(`insert into graphile_worker._private_tasks (identifier) values ('send_email'), ('resize_image')`)
	s.exec(`
		insert into graphile_worker._private_jobs (id, task_id, run_at, attempts, max_attempts, locked_at, locked_by) overriding system value
		select j.id, tasks.id, j.run_at::timestamptz, j.attempts, j.max_attempts, j.locked_at::timestamptz, j.locked_by
		from (values
			(41, 'send_email',   '2026-11-20 08:15:00Z', 25, 25, null,                   null),
			(42, 'send_email',   '2026-11-20 08:20:00Z', 2,  25, '2999-11-20 09:14:30Z', 'pool-1f3a9c'),
			(43, 'resize_image', '2026-11-20 09:01:12Z', 3,  3,  null,                   null)
		) as j (id, task, run_at, attempts, max_attempts, locked_at, locked_by)
		join graphile_worker._private_tasks as tasks on tasks.identifier = j.task`)
	got := s.run("jobs", "retry", "41", "42", "43", "--dry-run")
	checkCode(t, exitSkipped, got)
	section(t, "../../README.md", "$ gwadmin jobs retry 41 42 43 --dry-run\n", "```\n\nVerbs that change",
		strings.Replace(got.Stdout, "2999-", "2026-", 1)+got.Stderr) // a lock of 2026 would be stale
}

// section compares what is between two lines of a page, which -update rewrites.
func section(t testing.TB, file, begin, end, want string) {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no %s", file, begin)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s is stale, run with -update (-want +got):\n%s", file, diff)
	}
}

// writeReference writes a section for each verb and a line for each of its flags. The flags
// of filters are written once.
func writeReference(w io.Writer, root *cobra.Command) {
	filter := pflag.NewFlagSet("filter", pflag.ContinueOnError)
	new(filterFlags).flags(filter)
	flags := func(set *pflag.FlagSet, leaveOut func(*pflag.Flag) bool) {
		set.VisitAll(func(flag *pflag.Flag) {
			if !leaveOut(flag) {
				fmt.Fprintf(w, "- `--%s`: %s\n", flag.Name, flag.Usage)
			}
		})
	}
	fmt.Fprintf(w, "#### Filters\n\nThe verbs that take filters have these flags.\n\n")
	flags(filter, func(*pflag.Flag) bool { return false })
	walk(root, func(cmd *cobra.Command) {
		if !cmd.HasParent() || cmd.HasSubCommands() && !cmd.LocalNonPersistentFlags().HasAvailableFlags() {
			return
		}
		fmt.Fprintf(w, "\n#### `%s`\n\n%s.\n", cmd.UseLine(), cmd.Short)
		own, filters := 0, false
		isFilter := func(flag *pflag.Flag) bool {
			like := filter.Lookup(flag.Name)
			return like != nil && like.Usage == flag.Usage
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
			filters = filters || isFilter(flag)
			if flag.Name != "help" && !isFilter(flag) {
				own++
			}
		})
		if own > 0 || filters {
			fmt.Fprintln(w)
		}
		if filters {
			fmt.Fprintln(w, "- the flags of filters")
		}
		flags(cmd.LocalNonPersistentFlags(), func(flag *pflag.Flag) bool { return flag.Name == "help" || isFilter(flag) })
	})
}

// TestLinks follows the links within the README and the pages of docs/.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	found := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links.FindAllStringSubmatch(string(text), -1) {
			found++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if found == 0 {
		t.Error("there are no links")
	}
}
