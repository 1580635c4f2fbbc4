package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
)

// An import adds the jobs of an export to another database, with all that add_jobs can set.
func TestImport(t *testing.T) {
	t.Parallel()
	from, to := seeded(t, "ours"), ours(t)
	from.exec(`delete from graphile_worker._private_jobs as jobs using graphile_worker._private_tasks as tasks
		where tasks.id = jobs.task_id and tasks.identifier = ''`) // AddJobs refuses it
	export := from.run("jobs", "export")
	checkCode(t, exitOK, export)
	if strings.Count(export.Stdout, "\n") < 20 {
		t.Fatal("too few jobs for a test")
	}

	dry := to.piped(export.Stdout, "jobs", "import", "--dry-run", "-o", "json")
	checkCode(t, exitOK, dry)
	check(t, "jobs after a dry run", []int64{}, to.ids())
	got := to.piped(export.Stdout, "jobs", "import", "--yes", "-o", "json")
	checkCode(t, exitOK, got)
	would, did := parse[imported](t, dry), parse[imported](t, got)
	check(t, "a dry run", true, would.DryRun)
	would.DryRun = false
	check(t, "what would be done, and is", would, did)

	want, have := exported(t, export.Stdout), exported(t, to.run("jobs", "export").Stdout)
	counts := imported{Lines: int64(len(want)), Added: int64(len(want))}
	for _, job := range want {
		if job.Attempts > 0 {
			counts.Reset.Attempts++
		}
		if job.LastError != nil {
			counts.Reset.LastError++
		}
		if job.LockedAt != nil {
			counts.Reset.Locks++
		}
	}
	check(t, "counts", counts, did)
	if counts.Reset.Attempts == 0 || counts.Reset.LastError == 0 || counts.Reset.Locks == 0 {
		t.Error("nothing that is reset: too little for a test")
	}
	// imports are the jobs with only the fields that are imported, sorted.
	imports := func(jobs []admin.ListedJob) (left []admin.ListedJob) {
		for _, job := range jobs {
			left = append(left, admin.ListedJob{Job: admin.Job{
				TaskIdentifier: job.TaskIdentifier, QueueName: job.QueueName, Payload: job.Payload, RunAt: job.RunAt,
				Priority: job.Priority, MaxAttempts: job.MaxAttempts, Key: job.Key, Flags: job.Flags,
			}})
		}
		slices.SortStableFunc(left, func(a, b admin.ListedJob) int { return cmp.Compare(string(a.Payload), string(b.Payload)) })
		return left
	}
	check(t, "what is imported", imports(want), imports(have))
	for _, job := range have {
		if job.Attempts != 0 || job.LastError != nil || job.LockedAt != nil || job.Revision != 0 {
			t.Errorf("job %d is not as new: %+v", job.ID, job)
		}
	}
}

// Lines update the jobs that have their keys. The second of two lines with the same key
// updates the job of the first.
func TestImportKeys(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	lines := `
{"task_identifier": "send", "payload": 1, "key": "key 2", "run_at": "2100-01-01T00:00:00Z"}
{"task_identifier": "send", "payload": null, "key": "key 3"}
{"task_identifier": "new", "payload": [1], "key": "new", "max_attempts": 1, "priority": -1, "queue_name": "q", "flags": ["f"], "run_at": "infinity"}

{"task_identifier": "new", "payload": [2], "key": "new"}`
	args := []string{"jobs", "import", "-o", "json", "--preserve-run-at"}
	before := s.jobRows()
	dry := s.piped(lines, append(args, "--dry-run")...)
	checkCode(t, exitOK, dry)
	check(t, "jobs after a dry run", before, s.jobRows())
	got := s.piped(lines, append(args, "--yes")...)
	checkCode(t, exitOK, got)
	check(t, "counts", imported{Lines: 4, Added: 2, Updated: 2}, parse[imported](t, got))
	check(t, "said", "2 added, 2 updated\n", got.Stderr)
	// The job with key 2 was attempted: its time is replaced. That with key 3 is locked: it
	// loses its key.
	check(t, "the time", "2100-01-01T00:00:00Z", s.job(2).RunAt.String())
	check(t, "the held job's key", (*string)(nil), s.job(3).Key)
	added := parse[admin.ListedJob](t, s.run("jobs", "show", "--key", "new", "-o", "json"))
	check(t, "of two lines with one key", []any{`[1, 2]`, "infinity", 1}, []any{
		value[string](s, `select payload::jsonb::text from graphile_worker._private_jobs where key = 'new'`), added.RunAt.String(), added.Revision})
}

// A wrong line is refused with its number, and nothing of its batch is sent.
func TestImportInvalid(t *testing.T) {
	t.Parallel()
	s := ours(t)
	unchanged := s.unchanged()
	const good = `{"task_identifier": "send", "payload": {}}` + "\n"
	var text strings.Builder
	for _, lines := range []string{
		"id,task_identifier\n",
		"[]\n",
		"{\n",
		good + `{"task_identifier": "send", "payload": {}} {}`,
		good + `{"task_identifier": "send", "payload": {}, "queue": "q"}`,
		good + `{"task_identifier": 1, "payload": {}}`,
		good + `{"task_identifier": "send"}`,
		good + `{"task_identifier": "send", "payload": null, "payload_bytes": 70}`,
		good + `{"task_identifier": "send", "payload": {}, "run_at": "tomorrow"}`,
		good + `{"task_identifier": "send", "payload": {}, "max_attempts": 0}` + "\n\n" + `{"task_identifier": "send", "payload": {}, "priority": 32768, "key": ""}`,
		strings.Repeat(`{"task_identifier": "send", "payload": {}, "max_attempts": 0}`+"\n", 12),
	} {
		got := s.piped(lines, "jobs", "import", "--yes")
		checkCode(t, exitUsage, got)
		fmt.Fprintf(&text, "$ gwadmin jobs import --yes < %q\n%s", strings.TrimPrefix(lines, good)[:min(75, len(strings.TrimPrefix(lines, good)))], got.transcript())
	}
	unchanged()

	for _, args := range [][]string{{"none"}, {"."}, {"-", "-"}, {"--priority", "1"}} {
		got := s.run(append([]string{"jobs", "import", "--yes"}, args...)...)
		if got.Code != exitUsage && got.Code != exitError {
			t.Error(got.transcript())
		}
		fmt.Fprintf(&text, "$ gwadmin jobs import --yes %s\n%s", quoted(args), got.transcript())
	}
	got := s.piped(good, "jobs", "import")
	checkCode(t, exitRefused, got)
	fmt.Fprintf(&text, "$ gwadmin jobs import\n%s", got.transcript())
	unchanged()

	// The batches before a wrong line are imported.
	file := filepath.Join(t.TempDir(), "jobs")
	lines := strings.Repeat(good, importLines+5)
	if err := os.WriteFile(file, []byte(lines+"{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got = s.run("jobs", "import", file, "--yes", "-o", "json")
	checkCode(t, exitError, got)
	check(t, "lines", int64(importLines), parse[imported](t, got).Lines)
	check(t, "jobs", importLines, len(s.ids()))
	fmt.Fprintf(&text, "$ gwadmin jobs import --yes, with a later batch\n-- stderr --\n%s", got.Stderr)
	golden(t, "import/invalid.txt", text.String())
}

// On a terminal an import first makes a dry run, and asks.
func TestImportOnTerminal(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "jobs")
	if err := os.WriteFile(file, bytes.Repeat([]byte(`{"task_identifier": "send", "payload": {}, "attempts": 2}`+"\n"), 3), 0o600); err != nil {
		t.Fatal(err)
	}
	for jobs, answer := range map[int]string{0: "n\n", 3: "y\n"} {
		s := ours(t)
		term := onTerminal(t, s.env("NO_COLOR=1"), 100, "jobs", "import", file)
		term.expect("3 would be added, 0 would be updated; not imported: 3 had attempts\nGo on? [y/N] ")
		check(t, "jobs before an answer", 0, len(s.ids()))
		term.press(answer)
		got := term.wait()
		check(t, answer, jobs, len(s.ids()))
		if jobs > 0 && !strings.HasSuffix(got.Stdout, "3 added, 0 updated; not imported: 3 had attempts\n") {
			t.Errorf("it shows %q", got.Stdout)
		}
	}
}

// After Ctrl-C an import finishes its batch, and says where to go on.
func TestImportInterrupted(t *testing.T) {
	t.Parallel()
	s := ours(t)
	s.exec(`insert into graphile_worker._private_tasks (identifier) values ('send')`)
	release := s.holding(`lock table graphile_worker._private_jobs in share mode`)
	lines := strings.Repeat(`{"task_identifier": "send", "payload": {}}`+"\n", 3*importLines)
	p := start(t, s.env(), strings.NewReader(lines), "jobs", "import", "--yes", "-o", "json")
	s.blocked()
	p.interrupt()
	p.expect("interrupted: ends after this batch")
	release()
	got := p.wait()
	checkCode(t, exitInterrupted, result{Code: got.Code, Stderr: got.Stderr})
	check(t, "jobs", importLines, len(s.ids()))
	check(t, "lines", int64(importLines), parse[imported](t, got).Lines)
	check(t, "said", "interrupted: ends after this batch; once more, and it ends at once\n"+
		"1000 added, 0 updated\n"+
		"gwadmin: interrupted: the lines before 1001 are imported: go on with line 1001\n", got.Stderr)
}

// jobs count counts the jobs that jobs export exports.
func TestCount(t *testing.T) {
	t.Parallel()
	type counts struct {
		Total  int64
		States admin.Counts
	}
	s := seeded(t, "ours")
	all := admin.Counts{}
	for _, job := range exported(t, s.run("jobs", "export").Stdout) {
		all[job.State]++
	}
	check(t, "all jobs", counts{all.Total(), all}, parse[counts](t, s.run("jobs", "count", "-o", "json")))
	for _, state := range admin.States {
		want := admin.Counts{}
		if all[state] > 0 {
			want[state] = all[state]
		}
		got := s.run("jobs", "count", "--state", string(state), "-o", "ndjson")
		checkCode(t, exitOK, got)
		check(t, string(state), counts{want.Total(), want}, parse[counts](t, got))
	}
	small := fixture(t)
	check(t, "a table", "state        jobs\nscheduled       1\npermafailed     1\ntotal           2\n", small.run("jobs", "count", "--state", "permafailed,scheduled").Stdout)
	check(t, "none", "state  jobs\ntotal     0\n", small.run("jobs", "count", "--id", "99").Stdout)
	for args, code := range map[string]int{"--schema nosuch": exitPending, "--state red": exitUsage, "--payload-path $[": exitUsage} {
		got := small.run(append([]string{"jobs", "count"}, strings.Fields(args)...)...)
		checkCode(t, code, got)
		if !strings.HasPrefix(got.Stderr, "gwadmin: count jobs: ") || strings.Contains(args, "--state") && !strings.Contains(got.Stderr, "invalid input: --state has ") {
			t.Errorf("jobs count %s says %s", args, got.Stderr)
		}
	}
}
