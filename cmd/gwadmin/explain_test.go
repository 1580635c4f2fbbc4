package main

import (
	"fmt"
	"strings"
	"testing"
)

// Why jobs are not running.
func TestExplain(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	s.exec(`select graphile_worker.add_job('send', queue_name => 'busy', run_at => '2024-03-01 12:00:00Z', flags => array['gpu'])`)
	s.exec(`insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by) values
		('quiet', 'infinity', 'gwadmin:paused:{"by":"ada","reason":"the mail server moves","since":"2024-03-01T12:00:00Z"}')`)
	s.exec(`select graphile_worker.add_job('other', queue_name => 'quiet', run_at => '2100-01-01 12:00:00Z')`)
	unchanged := s.unchanged()
	var text string
	for _, tc := range []struct {
		code int
		args []string
	}{
		{exitOK, []string{"1"}},
		{exitOK, []string{"3"}},
		{exitOK, []string{"4"}},
		{exitOK, []string{"5"}},
		{exitOK, []string{"6"}},
		{exitOK, []string{"8"}},
		{exitOK, []string{"9"}},
		{exitOK, []string{"9", "-o", "json"}},
		{exitSkipped, []string{"99"}},
		{exitUsage, []string{"nine"}},
		{exitUsage, nil},
	} {
		got := s.run(append([]string{"jobs", "explain"}, tc.args...)...)
		checkCode(t, tc.code, got)
		text += fmt.Sprintf("$ gwadmin jobs explain %s\n%s", quoted(tc.args), got.transcript())
	}
	unchanged()
	golden(t, "explain.txt", text)

	// What to do names the target, of which there is one.
	got := gwadmin(t, targetsOf("eu", s.url, "us", down), "", "jobs", "explain", "6", "--target", "eu", "-o", "json")
	checkCode(t, exitOK, got)
	if !strings.Contains(got.Stdout, `"do": "gwadmin --target eu jobs reschedule 6 --run-at now"`) {
		t.Errorf("what to do:\n%s", got.Stdout)
	}
}
