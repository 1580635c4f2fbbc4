package main

import (
	"fmt"
	"os/user"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
)

// Pausing and resuming queues, and how the other verbs show a paused queue.
func TestPause(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	s.exec(`select graphile_worker.add_job('send', queue_name => 'busy', run_at => '2024-03-01 12:00:00Z')`)
	var text string
	for _, tc := range []struct {
		code int
		args []string
	}{
		{exitRefused, []string{"queues", "pause", "busy"}},
		{exitUsage, []string{"queues", "pause"}},
		{exitUsage, []string{"queues", "pause", "busy", "--by", "\xff", "--yes"}},
		{exitOK, []string{"queues", "pause", "busy", "--dry-run", "--by", "ada"}},
		{exitOK, []string{"queues", "pause", "busy", "--yes", "--by", "ada", "--reason", "the mail server moves"}},
		{exitOK, []string{"queues", "pause", "busy", "--yes", "--by", "bob"}},
		{exitOK, []string{"queues", "pause", "new", "--yes", "--by", "", "-o", "json"}},
		{exitOK, []string{"queues"}},
		{exitOK, []string{"queues", "-o", "ndjson"}},
		{exitOK, []string{"jobs", "list", "--state", "paused"}},
		{exitOK, []string{"jobs", "list", "--state", "paused", "-o", "ndjson"}},
		{exitOK, []string{"jobs", "show", "8"}},
		{exitOK, []string{"jobs", "count"}},
		{exitOK, []string{"workers", "list"}},
		{exitUsage, []string{"workers", "unlock", "gwadmin:paused:{}", "--yes"}},
		{exitOK, []string{"cleanup", "--yes"}},
		{exitOK, []string{"queues", "resume", "busy", "--dry-run"}},
		{exitOK, []string{"queues", "resume", "busy", "--yes"}},
		{exitOK, []string{"queues", "resume", "new", "--yes", "-o", "json"}},
		{exitSkipped, []string{"queues", "resume", "busy", "--yes"}},
		{exitSkipped, []string{"queues", "resume", "bsy", "--yes", "-o", "json"}},
		{exitOK, []string{"queues"}},
	} {
		got := s.run(tc.args...)
		checkCode(t, tc.code, got)
		text += fmt.Sprintf("$ gwadmin %s\n%s", quoted(tc.args), got.transcript())
	}
	golden(t, "pause.txt", text)

	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	paused := parse[admin.PauseResult](t, s.run("queues", "pause", "mails", "--yes", "-o", "json"))
	check(t, "who has paused it", me.Username, paused.Pause.By)
	asked := onTerminal(t, s.env("NO_COLOR=1"), 120, "queues", "resume", "mails")
	asked.expect("[y/N]")
	asked.press("y\n")
	checkCode(t, exitOK, asked.wait())
	check(t, "locked queues", 1, value[int](s, "select count(*) from graphile_worker._private_job_queues where locked_at is not null"))
}
