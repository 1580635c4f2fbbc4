package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/internal/testdb"
)

// The help of every command is as in testdata.
func TestHelp(t *testing.T) {
	t.Parallel()
	walk(rootCommand(&app{}), func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			t.Parallel()
			// This needs no database, and shows no password.
			got := gwadmin(t, []string{"DATABASE_URL=postgres://u:secret@127.0.0.1:1/db"}, "", append(path[1:], "--help")...)
			checkCode(t, exitOK, got)
			check(t, "stderr", "", got.Stderr)
			golden(t, "help/"+strings.Join(path, "-")+".txt", got.Stdout)
			if len(path) > 1 && !cmd.HasSubCommands() && cmd.Example == "" {
				t.Error("the help has no example")
			}
			if cmd.HasSubCommands() && cmd.Name() != "queues" && cmd.Name() != "crontabs" { // which list them
				check(t, "without a verb it prints its help", got, gwadmin(t, nil, "", path[1:]...))
			}
		})
	})
}

// If the result cannot be printed, the summary still says what was done.
func TestFullDiskChange(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"1", "2"}, {"--id", "1,2"}} {
		s := fixture(t)
		cmd := command(t, s.env(), append([]string{"jobs", "complete", "--yes"}, args...)...)
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = full, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		check(t, "exit code", exitError, exitOf(t, cmd))
		if said := stderr.String(); !strings.HasPrefix(said, "2 completed, 0 left alone\ngwadmin: ") || !strings.Contains(said, "no space left") {
			t.Errorf("%q said %q", args, said)
		}
	}
}

// If standard output cannot be written, the command fails.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	s, empty := fixture(t), newSite(t, nil)
	for _, tc := range []struct {
		site *site
		args []string
	}{
		{s, []string{"version"}},
		{s, []string{"--version"}},
		{s, []string{"--help"}},
		{s, []string{"jobs"}},
		{s, []string{"migrate", "sql", "--from-nothing"}},
		{s, []string{"migrate", "grants", "reader", "web"}},
		{s, []string{"stats"}},
		{s, []string{"jobs", "list", "-o", "ndjson"}},
		{s, []string{"jobs", "list", "--watch=1h"}},
		{s, []string{"jobs", "export"}},
		{s, []string{"jobs", "export", "-o", "csv", "--id", "99"}},
		{s, []string{"jobs", "complete", "1", "99", "--dry-run"}},
		{empty, []string{"migrate", "sql"}},
		{empty, []string{"migrate", "plan"}},
	} {
		cmd := command(t, tc.site.env(), tc.args...)
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = full, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		code := exitOf(t, cmd)
		checkCode(t, exitError, result{Stderr: stderr.String(), Code: code})
		if !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("%q said %s", tc.args, stderr.String())
		}
	}
}

// Control characters in the database are never printed.
func TestEscapes(t *testing.T) {
	t.Parallel()
	s := ours(t)
	const evil = "a\x1b]0;evil\x07\u009b2J\u202eb\nc\td"
	s.exec(`select graphile_worker.add_job($1, '{}', queue_name => $1, job_key => $1)`, evil)
	s.exec(`update graphile_worker._private_jobs set last_error = $1, locked_by = $1, locked_at = now() - interval '1 hour'`, evil)
	s.exec(`update graphile_worker._private_job_queues set locked_by = $1, locked_at = now() - interval '1 hour'`, evil)
	for _, args := range [][]string{
		{"jobs", "list"}, {"jobs", "show", "1"}, {"jobs", "complete", "1", "--dry-run"}, {"jobs", "remove", evil, "--dry-run"},
		{"jobs", "add", evil, "--key", evil, "--dry-run"}, {"queues"}, {"tasks"}, {"stats"}, {"workers", "list"},
		{"workers", "unlock", evil, "none" + evil, "--dry-run"}, {"workers", "unlock", evil, "--yes", "--young", "2h"},
		{"cleanup", "--tasks", evil, "--dry-run"},
	} {
		for _, got := range []result{s.run(args...), onTerminal(t, s.env("NO_COLOR=1"), 200, args...).wait()} {
			if said := got.Stdout + got.Stderr; strings.ContainsAny(said, "\x1b\x07\u009b\u202e") || !strings.Contains(said, `a\x1b`) {
				t.Errorf("%q printed %q", args, said)
			}
		}
	}
	check(t, "in JSON", evil, parse[map[string]any](t, s.run("jobs", "show", "1", "-o", "json"))["task_identifier"].(string))
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for shell, mark := range map[string]string{
		"bash":       "complete -o default -F __start_gwadmin gwadmin",
		"zsh":        "#compdef gwadmin",
		"fish":       "complete -c gwadmin",
		"powershell": "Register-ArgumentCompleter -CommandName 'gwadmin'",
	} {
		got := gwadmin(t, nil, "", "completion", shell)
		if !strings.Contains(got.Stdout, mark) || got.Stderr != "" || got.Code != exitOK {
			t.Errorf("%s: exit code %d, %d bytes without %q\n%s", shell, got.Code, len(got.Stdout), mark, got.Stderr)
		}
	}
}

// The shell completes verbs, the values of flags, and names in the database.
func TestCompletedValues(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	s.exec(`select graphile_worker.add_job('send_email', queue_name => 'priority mails')`)
	commas := ours(t)
	commas.exec(`select graphile_worker.add_job(name, queue_name => name) from unnest(array['od,d', 'say "hi"', 'plain']) as name`)
	quoting := "DATABASE_URL=" + commas.url
	other := siteIn(t, testdb.Ours(weird), weird)
	other.exec(`select graphile_worker.add_job('elsewhere')`)
	at := "DATABASE_URL=" + s.url
	for _, tc := range []struct {
		env  string
		args []string
		want string
	}{
		{at, []string{"jobs", "re"}, "release remove reschedule retry"},
		{at, []string{"queues", ""}, "pause restore resume"},
		{at, []string{"jobs", "list", "--state", "s"}, "scheduled stale stranded"},
		{at, []string{"jobs", "list", "--state", "stale,s"}, "stale,scheduled stale,stranded"},
		{at, []string{"jobs", "list", "--state=re"}, "ready retrying"},
		{at, []string{"jobs", "list", "--sort=-"}, "-id -run_at -created_at -priority -attempts"},
		{at, []string{"jobs", "list", "--columns", "id,last"}, "id,last_error"},
		{at, []string{"jobs", "list", "-o", ""}, "table json ndjson"},
		{at, []string{"jobs", "export", "-o", ""}, "ndjson csv"},
		{at, []string{"jobs", "add", "send"}, "send send_email"},
		{at, []string{"jobs", "add", "send", "--key-mode", "u"}, "unsafe_dedupe"},
		{at, []string{"jobs", "retry", "--task", "send,s"}, "send,send_email"},
		{at, []string{"jobs", "retry", "--queue", ""}, "busy mails priority mails unused"},
		{at, []string{"jobs", "retry", "--queue", "ma"}, "mails"},
		{at, []string{"jobs", "list", "--worker", ""}, "pool-a pool-b"},
		{at, []string{"workers", "unlock", ""}, "pool-a pool-b"},
		{at, []string{"workers", "unlock", "pool-a", ""}, "pool-b"},
		{at, []string{"cleanup", "--tasks", "GC_"}, "GC_TASK_IDENTIFIERS GC_JOB_QUEUES"},
		{at, []string{"cleanup", "--keep", "unused,"}, "unused,send unused,send_email"},
		{quoting, []string{"jobs", "list", "--task", ""}, `"od,d" plain "say ""hi"""`},
		{quoting, []string{"jobs", "list", "--task", `"o`}, `"od,d"`},
		{quoting, []string{"jobs", "list", "--queue", `"say ""`}, `"say ""hi"""`},
		{quoting, []string{"jobs", "list", "--task", `"od,d",`}, `"od,d",plain "od,d","say ""hi"""`},
		{quoting, []string{"queues", "pause", "o"}, "od,d"},
		{at, []string{"jobs", "list", "--error", ""}, ""},
		{at, []string{"jobs", "show", ""}, ""},
		{"DATABASE_URL=" + other.url, []string{"--schema", weird, "jobs", "list", "--task", ""}, "elsewhere"},
		{"PGPORT=1", []string{"--database-url", s.url, "jobs", "list", "--task", "send_"}, "send_email"},
		{"DATABASE_URL=postgres://127.0.0.1:1/none", []string{"jobs", "list", "--task", ""}, ""},
	} {
		got := gwadmin(t, []string{tc.env}, "", append([]string{"__completeNoDesc"}, tc.args...)...)
		values, directive, _ := strings.Cut("\n"+got.Stdout, "\n:")
		check(t, strings.Join(tc.args, " "), tc.want, strings.Join(strings.Split(strings.TrimPrefix(values, "\n"), "\n"), " "))
		if directive == "0\n" {
			t.Errorf("%q completes files", tc.args)
		}
	}
	for _, args := range [][]string{{"jobs", "import", ""}, {"jobs", "export", "--to", ""}, {"schema", "--check", ""}, {"tasks", "--declared-file", ""}} {
		check(t, strings.Join(args, " ")+" completes files", ":0\n", gwadmin(t, nil, "", append([]string{"__complete"}, args...)...).Stdout)
	}
}

// Standard output is JSON, also if nothing was done.
func TestJSONAlways(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	for _, tc := range []struct {
		code int
		args []string
	}{
		{exitSkipped, []string{"jobs", "complete", "99"}},
		{exitSkipped, []string{"jobs", "fail", "3"}},
		{exitSkipped, []string{"jobs", "reschedule", "3", "99", "--priority", "1"}},
		{exitOK, []string{"jobs", "retry", "-"}},
		{exitSkipped, []string{"jobs", "remove", "none"}},
		{exitSkipped, []string{"jobs", "remove", "key 3"}},
		{exitOK, []string{"jobs", "remove", "key 3", "--detach-locked"}},
		{exitOK, []string{"jobs", "add", "new"}},
		{exitSkipped, []string{"workers", "unlock", "none"}},
		{exitOK, []string{"workers", "unlock", "pool-a", "pool-b"}},
		{exitOK, []string{"cleanup"}},
		{exitOK, []string{"cleanup", "--tasks", "GC_TASK_IDENTIFIERS", "--keep", "unused"}},
	} {
		for _, output := range []string{"json", "ndjson"} {
			got := s.run(append(tc.args, "--dry-run", "--output", output)...)
			checkCode(t, tc.code, got)
			texts := []string{got.Stdout}
			if output == "ndjson" {
				texts = slices.Collect(strings.Lines(got.Stdout))
			}
			for _, text := range texts {
				var object struct {
					DryRun *bool `json:"dry_run"`
				}
				if err := json.Unmarshal([]byte(text), &object); err != nil || object.DryRun == nil || !*object.DryRun {
					t.Errorf("%q printed %q, which is no JSON object with dry_run: %v", tc.args, text, err)
				}
			}
		}
	}
}

// uncoloured is a terminal's text without colours and trailing blanks.
func uncoloured(text string) string {
	lines := strings.Split(escapes.ReplaceAllString(text, ""), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// Tables fit the terminal, and have colours unless NO_COLOR is set.
func TestTerminal(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	args := []string{"jobs", "complete", "1", "2", "99", "--dry-run"}
	var text strings.Builder
	for _, columns := range []int{120, 72, 40} {
		plain := onTerminal(t, s.env("NO_COLOR=1"), columns, args...).wait()
		checkCode(t, exitSkipped, plain)
		for line := range strings.Lines(plain.Stdout) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > columns && !strings.Contains(line, "would be left") && !strings.HasPrefix(line, "no room for ") {
				t.Errorf("%d columns, of a line that has %d: %s", columns, n, line)
			}
		}
		if escapes.MatchString(plain.Stdout) {
			t.Errorf("coloured despite NO_COLOR: %q", plain.Stdout)
		}
		fmt.Fprintf(&text, "%d columns\n%s", columns, normal(plain.Stdout))

		coloured := onTerminal(t, s.env("TERM=xterm"), columns, args...).wait()
		if !escapes.MatchString(coloured.Stdout) {
			t.Errorf("not coloured: %q", coloured.Stdout)
		}
		check(t, "text but for the colours", plain.Stdout, uncoloured(coloured.Stdout))
	}
	golden(t, "terminal.txt", text.String())
	narrow := onTerminal(t, s.env("NO_COLOR=1"), 100, "jobs", "retry", "--state", "ready", "--task", "send", "--dry-run").wait()
	if !strings.HasPrefix(narrow.Stdout, "MATCHING JOBS\nstate  jobs\n") {
		t.Errorf("the title is not in one line:\n%s", narrow.Stdout)
	}

	for _, output := range []string{"json", "ndjson"} {
		got := onTerminal(t, s.env(), 40, append(args, "-o", output)...).wait()
		if escapes.MatchString(got.Stdout) {
			t.Errorf("%s is coloured: %q", output, got.Stdout)
		}
	}
	off := s.run(args...)
	if escapes.MatchString(off.Stdout + off.Stderr) {
		t.Errorf("coloured off a terminal:\n%s", off.transcript())
	}
}

// A terminal shows progress if there is more than one batch.
func TestProgress(t *testing.T) {
	t.Parallel()
	s, ids := many(t, 2*idBatch+1)
	args := append([]string{"jobs", "reschedule", "--priority", "1", "--yes", "-o", "ndjson"}, strings.Fields(ids)...)
	for _, env := range []string{"NO_COLOR=1", "TERM=xterm"} {
		release := s.holding(fmt.Sprintf(`select from graphile_worker._private_jobs where id = %d for update`, 2*idBatch))
		term := onTerminal(t, s.env(env), 100, args...)
		s.blocked()
		term.expect("50.00%")
		release()
		got := term.wait()
		checkCode(t, exitOK, result{Code: got.Code, Stderr: got.Stdout[max(0, len(got.Stdout)-2000):]})
		if !strings.Contains(got.Stdout, "10001 rescheduled, 0 left alone\n") {
			t.Error("no summary after the bar")
		}
	}
}
