package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/gwadmin/gwadmin/internal/netfault"
)

// through returns the site by way of a proxy.
func (s *site) through() (*netfault.Proxy, *site) {
	s.Helper()
	proxy := netfault.New(s.TB, s.url)
	broken := *s
	broken.url = proxy.URL()
	return proxy, &broken
}

var lost = regexp.MustCompile(`unexpected EOF|conn closed|read tcp .*: connection reset by peer`)

// A verb whose answer is lost says so by its exit code, and says what was sent and where to
// look. It has done the work here.
func TestUnknown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "jobs")
	if err := os.WriteFile(file, []byte(strings.Repeat(`{"task_identifier": "new", "payload": {}}`+"\n", 3)), 0o600); err != nil {
		t.Fatal(err)
	}
	named := func(query string) func(string) bool { return netfault.Containing("-- name: " + query + " ") }
	const jobs = "graphile_worker._private_jobs"
	const added = "select count(*) > 0 from " + jobs + " join graphile_worker._private_tasks as tasks on tasks.id = task_id where identifier = 'new'"
	var text strings.Builder
	for _, tc := range []struct {
		args []string
		at   func(string) bool
		done string
	}{
		{[]string{"jobs", "add", "new"}, named("JobAdd"), added},
		{[]string{"jobs", "add", "new", "--key", "new", "--yes", "-o", "json"}, named("JobAdd"), added},
		{[]string{"jobs", "complete", "1", "2", "--yes"}, named("JobComplete"), "select not exists (select from " + jobs + " where id <= 2)"},
		{[]string{"jobs", "retry", "5", "--yes", "-o", "ndjson"}, named("JobReschedule"), "select attempts = 0 from " + jobs + " where id = 5"},
		{[]string{"jobs", "fail", "--task", "send", "--yes", "-o", "json"}, netfault.Commit, "select attempts = 25 from " + jobs + " where id = 1"},
		{[]string{"jobs", "remove", "key 2", "--yes"}, named("JobRemove"), "select not exists (select from " + jobs + " where key = 'key 2')"},
		{[]string{"jobs", "import", file, "--yes", "-o", "json"}, netfault.Commit, added},
		{[]string{"workers", "unlock", "pool-a", "--force", "--yes"}, named("WorkerUnlock"), "select not exists (select from " + jobs + " where locked_by = 'pool-a')"},
		{[]string{"cleanup", "--yes", "-o", "json"}, named("QueueDelete"), "select not exists (select from graphile_worker._private_job_queues where queue_name = 'unused')"},
		{[]string{"queues", "pause", "unused", "--yes"}, netfault.Commit, "select locked_at = 'infinity' from graphile_worker._private_job_queues where queue_name = 'unused'"},
		{[]string{"migrate", "down", "--yes", "-o", "json"}, nil, "select to_regclass('" + jobs + "') is null"},
	} {
		s := fixture(t)
		proxy, broken := s.through()
		match := tc.at
		if match == nil { // the plan commits first, and does not change anything
			commits := 0
			match = func(sql string) bool {
				if netfault.Commit(sql) {
					commits++
				}
				return commits == 2
			}
		}
		trap := proxy.At(match, netfault.CutAnswer)
		got := broken.run(tc.args...)
		select {
		case <-trap.Sprung():
		default:
			t.Errorf("%v: it was not sent", tc.args)
		}
		check(t, strings.Join(tc.args, " ")+": exit code", exitUnknown, got.Code)
		check(t, strings.Join(tc.args, " ")+": it is done", true, value[bool](s, tc.done))
		got.Stderr = lost.ReplaceAllString(got.Stderr, "CAUSE")
		fmt.Fprintf(&text, "$ gwadmin %s\n%s\n", strings.ReplaceAll(strings.Join(tc.args, " "), file, "FILE"), got.transcript())
	}
	golden(t, "outcome.txt", text.String())
}

// The third batch by filter is unknown. The result says what the first two have done.
func TestUnknownBatch(t *testing.T) {
	t.Parallel()
	s, _ := many(t, 5)
	proxy, broken := s.through()
	commits := 0
	proxy.At(func(sql string) bool {
		if netfault.Commit(sql) {
			commits++
		}
		return commits == 3
	}, netfault.Cut)
	got := broken.run("jobs", "complete", "--all", "--batch", "2", "--yes", "-o", "json")
	checkCode(t, exitUnknown, got)
	type shown struct {
		Changed        int
		OutcomeUnknown unknownOutcome `json:"outcome_unknown"`
	}
	want := shown{Changed: 4}
	want.OutcomeUnknown.Call = "complete jobs where"
	want.OutcomeUnknown.Jobs, want.OutcomeUnknown.IDs, want.OutcomeUnknown.Batch = 1, []int64{5}, 3
	check(t, "result", want, parse[shown](t, got))
	const said = "4 completed, 0 left alone\ngwadmin: stopped after 4 jobs; the next batch may be done, and the others are untouched: " +
		"complete jobs where: outcome unknown: sent batch 3 with 1 job: CAUSE\n" +
		"What was sent is done whole or not at all. To see which: gwadmin jobs list --id 5\n"
	check(t, "said", said, lost.ReplaceAllString(got.Stderr, "CAUSE"))
	check(t, "jobs", []int64{5}, s.ids())
}

// A signal ends a verb whose COMMIT is stalled when the grace is over.
func TestUnknownStalled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		at   func(string) bool
		on   func(testing.TB) *site
	}{
		{[]string{"jobs", "complete", "--task", "send", "--yes"}, netfault.Commit, fixture},
		{[]string{"jobs", "complete", "1", "--yes"}, netfault.Containing("-- name: JobComplete "), fixture},
		{[]string{"migrate", "up"}, netfault.Commit, func(t testing.TB) *site { return newSite(t, nil) }},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			t.Parallel()
			s := tc.on(t)
			unchanged := s.unchanged()
			proxy, broken := s.through()
			trap := proxy.At(tc.at, netfault.Stall)
			p := start(t, broken.env(), strings.NewReader(""), tc.args...)
			<-trap.Sprung()
			p.interrupt()
			checkCode(t, exitUnknown, p.wait())
			proxy.Cut()
			unchanged()
		})
	}
}

// signals all ask a run to end.
var signals = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

// signal sends a signal to a run.
func (p *process) signal(signal syscall.Signal) {
	p.Helper()
	if runtime.GOOS == "windows" {
		p.Skip("one process cannot interrupt another here")
	}
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.Fatal(err)
	}
}

// Every signal ends a run as Ctrl-C does, and a second one ends it at once.
func TestSignals(t *testing.T) {
	t.Parallel()
	// Under nohup the command ignores SIGHUP, but not if this process has asked for it.
	ossignal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	for _, signal := range signals {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			s := fixture(t)
			release := s.holding(`lock table graphile_worker._private_jobs`)
			dir := t.TempDir()
			p := start(t, s.env(), strings.NewReader(""), "jobs", "export", "--to", filepath.Join(dir, "jobs.ndjson"))
			s.blocked()
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("files meanwhile: %v, %v", entries, err)
			}
			p.signal(signal)
			got := p.wait()
			checkCode(t, exitInterrupted, got)
			check(t, "said", "gwadmin: interrupted: list jobs: ERROR: canceling statement due to user request\n", got.Stderr)
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) > 0 {
				t.Errorf("it left %v, %v", entries, err)
			}

			p = start(t, s.env(), strings.NewReader(""), "jobs", "complete", "1", "--yes")
			s.blocked()
			p.signal(signal)
			p.expect("interrupted: ends after this batch")
			p.signal(signal)
			p.wait()
			check(t, "how it ended", "signal: "+signal.String(), p.cmd.ProcessState.String())
			release()
		})
	}
}

// Under nohup the end of the terminal does not end a run.
func TestNohup(t *testing.T) {
	t.Parallel()
	nohup, err := exec.LookPath("nohup")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("there is no nohup")
	}
	s := fixture(t)
	release := s.holding(`lock table graphile_worker._private_jobs`)
	cmd := command(t, s.env(), "jobs", "complete", "1", "--yes")
	cmd.Path, cmd.Args = nohup, append([]string{"nohup"}, cmd.Args...)
	p := &process{TB: t, cmd: cmd}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = strings.NewReader(""), &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.blocked()
	p.signal(syscall.SIGHUP)
	release()
	checkCode(t, exitOK, p.wait())
}
