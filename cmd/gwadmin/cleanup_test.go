package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestCleanup(t *testing.T) {
	t.Parallel()
	type left struct{ Jobs, Tasks, Queues []string }
	jobs := []string{"1", "2", "3", "4", "5", "6", "7"}
	tasks := []string{"send", "unused"}
	queues := []string{"busy", "mails", "unused"}
	for _, tc := range []struct {
		reason string
		args   []string
		want   left
	}{
		{"the default", nil, left{jobs, tasks, []string{"busy", "mails"}}},
		{"failed jobs", []string{"--tasks", "DELETE_PERMAFAILED_JOBS"}, left{[]string{"1", "2", "3", "4", "6", "7"}, tasks, queues}},
		{"tasks", []string{"--tasks", "GC_TASK_IDENTIFIERS"}, left{jobs, []string{"send"}, queues}},
		{"tasks but one", []string{"--tasks", "GC_TASK_IDENTIFIERS", "--keep", "unused,not there"}, left{jobs, tasks, queues}},
		{"all, comma-separated", []string{"--tasks", "GC_JOB_QUEUES,GC_TASK_IDENTIFIERS,DELETE_PERMAFAILED_JOBS"},
			left{[]string{"1", "2", "3", "4", "6", "7"}, []string{"send"}, []string{"busy", "mails"}}},
		{"all, with blanks, twice and apart", []string{"--tasks", " DELETE_PERMAFAILED_JOBS, GC_JOB_QUEUES,GC_JOB_QUEUES", "--tasks=GC_TASK_IDENTIFIERS"},
			left{[]string{"1", "2", "3", "4", "6", "7"}, []string{"send"}, []string{"busy", "mails"}}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			for _, output := range []format{formatTable, formatJSON, formatNDJSON} {
				s := fixture(t)
				args := append([]string{"cleanup", "-o", string(output)}, tc.args...)
				unchanged := s.unchanged()
				dry := s.run(append(args, "--dry-run")...)
				unchanged()
				done := s.run(append(args, "--yes")...)
				checkCode(t, exitOK, dry)
				checkCode(t, exitOK, done)
				names := func(sql string) []string { return value[[]string](s, sql) }
				check(t, "what is left", tc.want, left{
					names(`select array_agg(id::text order by id) from graphile_worker._private_jobs`),
					names(`select array_agg(identifier order by identifier) from graphile_worker._private_tasks`),
					names(`select array_agg(queue_name order by queue_name) from graphile_worker._private_job_queues`),
				})
				fmt.Fprintf(&text, "$ %s --dry-run\n%s$ %s --yes\n%s", output, dry.transcript(), output, done.transcript())
			}
			golden(t, "cleanup/"+fileName(tc.reason), text.String())
		})
	}
}
