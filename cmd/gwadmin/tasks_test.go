package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTasksDeclared names what is not declared, and fails where that has jobs.
func TestTasksDeclared(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	s.exec(`insert into graphile_worker._private_tasks (identifier) values ('retired')`)
	s.exec(`select graphile_worker.add_job('sendReciept')`)
	dir := t.TempDir()
	file, empty := filepath.Join(dir, "tasks.txt"), filepath.Join(dir, "empty.txt")
	if err := os.WriteFile(file, []byte("send_receipt\r\n\r\nsend\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(empty, []byte("\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, tc := range []struct {
		code  int
		stdin string
		args  []string
	}{
		{exitDrifted, "", []string{"--declared", "send,send_receipt"}},
		{exitDrifted, "", []string{"--declared-file", file, "-o", "ndjson"}},
		{exitOK, "sendReciept\nsend", []string{"--declared-file", "-"}},
		{exitOK, "", []string{"--declared", "sendReciept", "--declared-file", file}},
		{exitUsage, "", []string{"--declared", ""}},
		{exitUsage, "", []string{"--declared-file", ""}},
		{exitUsage, "", []string{"--declared-file", empty}},
		{exitUsage, "", []string{"--declared", "send," + strings.Repeat("x", 129)}},
		{exitError, "", []string{"--declared-file", filepath.Join(dir, "none.txt")}},
	} {
		got := s.piped(tc.stdin, append([]string{"tasks"}, tc.args...)...)
		checkCode(t, tc.code, got)
		text.WriteString("$ gwadmin tasks " + quoted(tc.args) + "\n" + got.transcript())
	}
	golden(t, "list/declared.txt", strings.ReplaceAll(text.String(), dir+string(filepath.Separator), ""))
}
