package main

import (
	"fmt"
	"strings"
	"testing"
)

// strand adds two jobs whose queue, 99, is gone.
func (s *site) strand() {
	s.Helper()
	s.exec(`insert into graphile_worker._private_jobs (task_id, job_queue_id, run_at)
		select min(id), 99, '2024-03-01 12:00:00Z' from graphile_worker._private_tasks, generate_series(1, 2) group by generate_series`)
}

// Stranded jobs are shown as such, and queues restore puts them back in reach.
func TestRestore(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, args := range [][]string{{}, {"--queue", "mails"}} {
		s := fixture(t)
		s.strand()
		show := func(args ...string) result {
			got := s.run(args...)
			checkCode(t, exitOK, got)
			fmt.Fprintf(&text, "$ gwadmin %s\n%s", strings.Join(args, " "), got.transcript())
			return got
		}
		show("jobs", "list", "--state", "stranded")
		show("jobs", "count", "--state", "stranded")
		show("jobs", "show", "8")
		before := s.jobRows()
		show(append([]string{"queues", "restore", "--dry-run"}, args...)...)
		show(append([]string{"queues", "restore", "--dry-run", "-o", "json"}, args...)...)
		check(t, "the jobs after a dry run", before, s.jobRows())
		show(append([]string{"queues", "restore", "--yes"}, args...)...)
		show("jobs", "list", "--id", "8,9")
		show(append([]string{"queues", "restore", "--yes", "-o", "ndjson"}, args...)...)
	}
	golden(t, "restore.txt", text.String())
}

// A filter with an unknown task or queue is answered with similar names.
func TestUnknownNames(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	s.exec(`select graphile_worker.add_job('send_email', queue_name => 'priority mails')`)
	unchanged := s.unchanged()
	var text strings.Builder
	for _, tc := range []struct {
		code int
		args []string
	}{
		{exitSkipped, []string{"jobs", "retry", "--task", "send_emial", "--yes"}},
		{exitSkipped, []string{"jobs", "retry", "--task", "send_emial", "--dry-run", "-o", "json"}},
		{exitSkipped, []string{"jobs", "complete", "--task", "send_email,frobnicate", "--state", "permafailed", "--dry-run"}},
		{exitSkipped, []string{"jobs", "fail", "--queue", "mail,priority-mails", "--state", "stale", "--dry-run"}},
		{exitOK, []string{"jobs", "retry", "--task", "send_email", "--state", "permafailed", "--yes"}},
		{exitOK, []string{"jobs", "list", "--task", "send_emial"}},
		{exitOK, []string{"jobs", "count", "--queue", "priority"}},
	} {
		got := s.run(tc.args...)
		checkCode(t, tc.code, got)
		fmt.Fprintf(&text, "$ gwadmin %s\n%s", quoted(tc.args), got.transcript())
	}
	unchanged()
	golden(t, "unknown.txt", text.String())
}

// A terminal is not asked if nothing would be changed.
func TestNothingToAsk(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	unchanged := s.unchanged()
	for _, tc := range []struct {
		code int
		says string
		args []string
	}{
		{exitSkipped, "0 completed, 3 left alone: 1 not found, 2 locked", []string{"jobs", "complete", "3", "7", "99"}},
		{exitSkipped, "0 given all attempts again, 2 left alone: 2 locked", []string{"jobs", "retry", "--state", "running"}},
		{exitSkipped, "no job has this key", []string{"jobs", "remove", "none"}},
		{exitSkipped, "job 3: locked by pool-a", []string{"jobs", "remove", "key 3"}},
		{exitSkipped, "none holds nothing", []string{"workers", "unlock", "none"}},
		{exitOK, "GC_TASK_IDENTIFIERS would delete 0", []string{"cleanup", "--tasks", "GC_TASK_IDENTIFIERS", "--keep", "unused"}},
		{exitOK, "0 jobs of 0 missing queues put back in reach", []string{"queues", "restore"}},
	} {
		got := onTerminal(t, s.env("NO_COLOR=1"), 100, tc.args...).wait()
		checkCode(t, tc.code, got)
		if !strings.Contains(got.Stdout, tc.says) || strings.Contains(got.Stdout, "[y/N]") {
			t.Errorf("%q shows %s", tc.args, got.Stdout)
		}
	}
	unchanged()
}
