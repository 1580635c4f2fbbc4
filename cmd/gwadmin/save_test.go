package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Deleted jobs are in the file of --save, which import takes, and a file is never replaced.
func TestSave(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	before := s.jobRows()
	dir := t.TempDir()
	file := filepath.Join(dir, "dead.ndjson")
	cut := filepath.Join(dir, "cut.ndjson")
	if err := os.WriteFile(cut, []byte(`{"id": 1`), 0o600); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	run := func(code int, args ...string) {
		t.Helper()
		got := s.run(args...)
		checkCode(t, code, got)
		shown := strings.NewReplacer(dir+string(filepath.Separator), "", dir, "DIR")
		_, _ = shown.WriteString(&text, fmt.Sprintf("$ gwadmin %s\n%s", strings.Join(args, " "), got.transcript()))
	}
	run(exitUsage, "jobs", "complete", "1", "--append", "--yes")
	run(exitRefused, "jobs", "complete", "1", "--save", cut, "--yes")
	run(exitError, "jobs", "complete", "1", "--save", cut, "--append", "--yes")
	run(exitError, "jobs", "complete", "1", "--save", filepath.Join(dir, "none", "dead.ndjson"), "--yes")
	run(exitRefused, "jobs", "complete", "1", "--save", dir, "--append", "--yes")
	run(exitUsage, "cleanup", "--save", file, "--yes")
	run(exitOK, "jobs", "complete", "1", "--save", file, "--dry-run")
	check(t, "the rows", before, s.jobRows())
	if _, err := os.Stat(file); err == nil {
		t.Error("a dry run has written the file")
	}
	run(exitSkipped, "jobs", "complete", "1", "3", "--save", file, "--yes", "--no-headers")
	run(exitRefused, "jobs", "complete", "2", "--save", file, "--yes")
	run(exitOK, "jobs", "complete", "--id", "2", "--save", file, "--append", "--yes", "--no-headers")
	run(exitOK, "cleanup", "--tasks", "DELETE_PERMAFAILED_JOBS", "--save", file, "--append", "--yes")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text.WriteString("dead.ndjson\n" + string(content))
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v: %v", info.Mode(), err)
	}
	run(exitOK, "jobs", "import", file, "--yes")
	golden(t, "save.txt", text.String())
}
