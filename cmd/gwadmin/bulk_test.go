package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// By filter, each verb does what it prints, and what its dry run has printed, and nothing
// else.
func TestWhereVerbs(t *testing.T) {
	t.Parallel()
	for name, verb := range idVerbs {
		for _, output := range []format{formatTable, formatJSON, formatNDJSON} {
			t.Run(fmt.Sprintf("%s/%s", name, output), func(t *testing.T) {
				t.Parallel()
				s := fixture(t)
				args := append(verb, "--task", "send", "--priority-to", "0", "--sample", "2", "--output", string(output))
				unchanged := s.unchanged()
				dry := s.run(append(args, "--dry-run")...)
				unchanged()
				checkCode(t, exitSkipped, dry)
				done := s.run(append(args, "--yes")...)
				checkCode(t, exitSkipped, done)
				golden(t, fmt.Sprintf("where/%s-%s.txt", name, output), "$ --dry-run\n"+dry.transcript()+"$ --yes\n"+done.transcript())
			})
		}
		for _, on := range append([]string{"ours", weird}, upstream.Versions...) {
			t.Run(fmt.Sprintf("%s/%s", name, on), func(t *testing.T) {
				t.Parallel()
				s := seeded(t, on)
				before := s.jobRows()
				args := append(verb, "--all", "--batch", "3", "--pause", "1ms", "--sample", "1000", "-o", "json")
				dry := s.run(append(args, "--dry-run")...)
				check(t, "the rows after a dry run", before, s.jobRows())
				done := s.run(append(args, "--yes")...)
				checkCode(t, exitSkipped, done)
				would, did := parse[admin.ChangeResult](t, dry), parse[admin.ChangeResult](t, done)
				check(t, "ids that would be changed, and are", whereIDs(would.Jobs), whereIDs(did.Jobs))
				check(t, "ids that would be left alone, and are", would.SkippedJobs, did.SkippedJobs)
				check(t, "how many matched", int64(len(before)), did.Matched)
				if did.Changed < 20 || did.Skipped[admin.Locked] < 3 {
					t.Errorf("changed %d and left %v alone: too few for a test", did.Changed, did.Skipped)
				}
				after := s.jobRows()
				for _, job := range did.Jobs {
					if after[job.ID] == before[job.ID] {
						t.Errorf("job %d was changed, and is as before", job.ID)
					}
					delete(before, job.ID)
					delete(after, job.ID)
				}
				check(t, "the rows of the others", before, after)
			})
		}
	}
}

func whereIDs(jobs []admin.Job) (ids []int64) {
	for _, job := range jobs {
		ids = append(ids, job.ID)
	}
	return ids
}

// retry by filter finds nothing the second time.
func TestWhereRetry(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	args := strings.Fields("jobs retry --state permafailed --task send")
	unchanged := s.unchanged()
	dry := s.run(append(args, "--dry-run")...)
	checkCode(t, exitOK, dry)
	check(t, "said", "1 would be given all attempts again, 0 would be left alone\n", dry.Stderr)
	unchanged()
	checkCode(t, exitOK, s.run(append(args, "--yes")...))
	check(t, "attempts", 0, s.job(5).Attempts)
	again := s.run(append(args, "--yes")...)
	checkCode(t, exitOK, again)
	check(t, "said of none", "0 given all attempts again, 0 left alone\n", again.Stderr)
}

// Wrong usage is refused, and nothing is changed.
func TestWhereUsage(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	s := fixture(t)
	unchanged := s.unchanged()
	for _, args := range [][]string{
		{},
		{"--limit", "5"},
		{"1", "--state", "ready"},
		{"-", "--all"},
		{"1", "--limit", "5"},
		{"--all", "--state", "ready"},
		{"--all=false"},
		{"--task", "send", "--batch", "0"},
		{"--task", "send", "--batch", "10001"},
		{"--task", "send", "--limit", "-1"},
		{"--task", "send", "--limit", "0"},
		{"--task", "send", "--pause", "-1s"},
		{"--task", "send", "--pause", "soon"},
		{"--task", "send", "--sample", "-1"},
		{"--state", "red"},
		{"--attempts-from", "3", "--attempts-to", "2"},
		{"--payload-path", "$["},
		{"--max-attempts", "3"},
	} {
		got := s.run(append([]string{"jobs", "retry", "--yes"}, args...)...)
		checkCode(t, exitUsage, got)
		check(t, fmt.Sprintf("%q printed", args), "", got.Stdout)
		fmt.Fprintf(&text, "$ gwadmin jobs retry --yes %s\n%s", quoted(args), got.transcript())
	}
	for _, args := range [][]string{
		{"--run-at", "now", "--run-after", "+1h", "--run-before", "-1h"},
		{"--max-attempts", "0", "--attempts-to", "99999999999"},
		{"--task", "send"},
	} {
		got := s.run(append([]string{"jobs", "reschedule", "--yes"}, args...)...)
		checkCode(t, exitUsage, got)
		fmt.Fprintf(&text, "$ gwadmin jobs reschedule --yes %s\n%s", quoted(args), got.transcript())
	}
	unchanged()
	golden(t, "where/usage.txt", moments.ReplaceAllString(text.String(), "MOMENT"))
}

// A list flag with an empty value, as of an unset variable, matches no job.
func TestWhereEmptyList(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	unchanged := s.unchanged()
	for _, flag := range []string{"--state", "--task", "--queue", "--key", "--worker", "--flag"} {
		got := s.run("jobs", "complete", flag, "", "--priority-to", "100", "--yes")
		checkCode(t, exitOK, got)
		check(t, flag, "0 completed, 0 left alone\n", got.Stderr)
		check(t, flag, 0, len(parse[admin.Page](t, s.run("jobs", "list", flag, "", "-o", "json")).Jobs))
	}
	unchanged()
}

// Every verb has the filters of jobs list.
func TestWhereFlags(t *testing.T) {
	t.Parallel()
	flagsOf := func(cmd *cobra.Command) map[string]string {
		usages := map[string]string{}
		cmd.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) { usages[flag.Name] = flag.Usage })
		return usages
	}
	jobs := jobsCommand(&app{})
	list, _, err := jobs.Find([]string{"list"})
	if err != nil {
		t.Fatal(err)
	}
	want := flagsOf(list)
	for _, own := range []string{"sort", "limit", "cursor", "payload", "watch", "columns"} {
		delete(want, own)
	}
	for verb := range idVerbs {
		cmd, _, err := jobs.Find([]string{verb})
		if err != nil {
			t.Fatal(err)
		}
		got := flagsOf(cmd)
		maps.DeleteFunc(got, func(name, _ string) bool { _, ok := want[name]; return !ok })
		check(t, verb, want, got)
	}
}

// On a terminal the verbs show what would be done, and ask.
func TestWhereConsent(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	unchanged := s.unchanged()
	args := []string{"jobs", "fail", "--task", "send"}
	checkCode(t, exitRefused, s.run(args...))
	var text string
	for _, answer := range []string{"n\n", "\x03", "y\n"} {
		term := onTerminal(t, s.env("NO_COLOR=1"), 160, args...)
		term.expect("[y/N] ")
		unchanged()
		term.press(answer)
		got := term.wait()
		checkCode(t, map[string]int{"n\n": exitRefused, "\x03": exitInterrupted, "y\n": exitSkipped}[answer], got)
		text += fmt.Sprintf("$ %q\n%s", answer, got.transcript())
	}
	none := onTerminal(t, s.env("NO_COLOR=1"), 160, "jobs", "fail", "--task", "unused").wait()
	checkCode(t, exitOK, none)
	text += "$ none\n" + none.transcript()
	golden(t, "where/consent.txt", text)
	check(t, "failed for good", []int64{1, 2, 4, 5, 6}, value[[]int64](s,
		`select array_agg(id order by id) from graphile_worker._private_jobs where attempts = max_attempts`))
}

// Ctrl-C comes in a pause; another time a batch fails.
func TestWhereInterrupted(t *testing.T) {
	t.Parallel()
	s, _ := many(t, 5000)
	rescheduled := func() []int {
		return value[[]int](s, `select array[count(*), coalesce(max(id), 0)] from graphile_worker._private_jobs where priority = 3`)
	}
	wait := func(n int) {
		for !slices.Equal(rescheduled(), []int{n, n}) {
			if t.Context().Err() != nil {
				t.Fatal("it does not get there")
			}
		}
	}
	args := []string{"jobs", "reschedule", "--priority", "3", "--priority-to", "2", "--yes", "-o", "json"}
	p := start(t, s.env(), nil, append(args, "--batch", "700", "--pause", "1h")...)
	wait(700)
	p.interrupt()
	got := p.wait()
	checkCode(t, exitInterrupted, got)
	check(t, "stderr", "700 rescheduled, 0 left alone\ngwadmin: interrupted after 700 jobs; the others are untouched\n", got.Stderr)
	check(t, "said to be changed", int64(700), parse[admin.ChangeResult](t, got).Changed)
	check(t, "changed", []int{700, 700}, rescheduled())

	s.exec(`create function public.fail() returns trigger language plpgsql as $$ begin raise exception 'enough'; end $$`)
	s.exec(`create trigger fail before update on graphile_worker._private_jobs for each row when (old.id = 3000) execute function public.fail()`)
	got = s.run(append(args, "--batch", "1000")...)
	checkCode(t, exitError, got)
	if !strings.Contains(got.Stderr, "2000 rescheduled, 0 left alone\ngwadmin: stopped after 2000 jobs; the others are untouched: ") {
		t.Errorf("stderr: %s", got.Stderr)
	}
	check(t, "changed", []int{2700, 2700}, rescheduled())

	got = s.run(append(args, "--limit", "100")...)
	checkCode(t, exitOK, got)
	check(t, "stderr", "100 rescheduled, 0 left alone; more may match\n", got.Stderr)
}
