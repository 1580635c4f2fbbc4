package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// PostgreSQL stores payloads that are nested more deeply than encoding/json reads. An export
// has them as they are, and no verb stops at them.
func TestDeepPayload(t *testing.T) {
	t.Parallel()
	s := ours(t)
	const levels = 12_000
	deep := strings.Repeat("[", levels) + "\r\n" + strings.Repeat("]", levels)
	s.exec(`select graphile_worker.add_job('first', '{"a":  1}')`)
	s.exec(`select graphile_worker.add_job('deep', $1::json)`, deep)
	s.exec(`select graphile_worker.add_job('last', '{"token": "x", "token": "y"}')`)
	wanted := []string{`{"a":  1}`, strings.Replace(deep, "\r\n", "  ", 1), `{"token": "x", "token": "y"}`}
	payloads := func(what, lines string) {
		t.Helper()
		var got []string
		for line := range strings.Lines(lines) {
			_, after, _ := strings.Cut(line, `"payload":`)
			payload, _, _ := strings.Cut(after, `,"priority":`)
			got = append(got, payload)
		}
		check(t, what, wanted, got)
	}
	exported := s.run("jobs", "export")
	checkCode(t, exitOK, exported)
	payloads("export", exported.Stdout)

	hidden := s.run("jobs", "export", "--redact", "token")
	checkCode(t, exitOK, hidden)
	for i, want := range []string{`"payload":{"a":1}`, `"payload":"[redacted]"`, `"payload":{"token":"[redacted]"}`} {
		if line := strings.Split(hidden.Stdout, "\n")[i]; !strings.Contains(line, want) {
			t.Errorf("redacted: %.200s, want %s", line, want)
		}
	}

	imported := s.piped(exported.Stdout, "jobs", "import", "--yes")
	checkCode(t, exitUsage, imported)
	check(t, "import", "gwadmin: line 2: its payload is nested more than 10 000 levels deep\nSee gwadmin jobs import --help.\n", imported.Stderr)
	added := s.piped(deep, "jobs", "add", "deep", "-", "--yes")
	checkCode(t, exitUsage, added)
	if !strings.Contains(added.Stderr, "the payload is nested more than 10 000 levels deep") {
		t.Errorf("add: %s", added.Stderr)
	}

	for _, args := range [][]string{{"jobs", "show", "2"}, {"jobs", "list", "--payload", "100000", "--columns", "id,payload"}} {
		checkCode(t, exitOK, s.run(args...))
		inJSON := s.run(append(args, "-o", "json")...)
		checkCode(t, exitError, inJSON)
		if !strings.Contains(inJSON.Stderr, "jobs export writes it") || strings.Contains(inJSON.Stderr, "[[[") {
			t.Errorf("%q: %s", args, inJSON.Stderr)
		}
	}
	file := filepath.Join(t.TempDir(), "saved")
	checkCode(t, exitOK, s.run("jobs", "complete", "--all", "--yes", "--save", file))
	saved, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	payloads("save", string(saved))
}

// A line of an import is added as it is or refused: no text of it is altered.
func TestImportTexts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ line, wrong string }{
		{"{\"task_identifier\":\"caf\xe9\",\"payload\":1}", "it is not UTF-8"},
		{"{\"task_identifier\":\"a\",\"payload\":1,\"key\":\"\xff\"}", "it is not UTF-8"},
		{`{"task_identifier":"a","payload":1,"key":"\ud800"}`, `it has half of a surrogate pair, such as \ud800, in a text`},
		{`{"task_identifier":"a","payload":1,"queue_name":"x\udc00"}`, `it has half of a surrogate pair, such as \ud800, in a text`},
		{`{"task_identifier":"a","payload":1,"flags":["b","\ud83d"]}`, `it has half of a surrogate pair, such as \ud800, in a text`},
		{`{"task_identifier":"a\ufffd","payload":1}`, ""},
		{`{"task_identifier":"a\uFFFD","payload":1}`, ""},
		{"{\"task_identifier\":\"a\ufffd\",\"payload\":1}", ""},
		{`{"task_identifier":"\ud83d\ude00","payload":"\ud800\u0000"}`, ""},
	} {
		job, err := parseImportedJob([]byte(tc.line))
		switch {
		case tc.wrong != "" && (err == nil || err.Error() != tc.wrong):
			t.Errorf("%s: %v, want %s", tc.line, err, tc.wrong)
		case tc.wrong == "" && err != nil:
			t.Errorf("%s: %v", tc.line, err)
		case tc.wrong == "" && !strings.ContainsAny(job.TaskIdentifier, "\ufffd😀"):
			t.Errorf("%s: the task is %q", tc.line, job.TaskIdentifier)
		}
	}
}

// JSON that is nested deeply is printed without blanks, which would be thousands of times as
// long, and a table shows the beginning of a long payload.
func TestDeepAndLongOutput(t *testing.T) {
	t.Parallel()
	s := ours(t)
	deep := strings.Repeat(`[`, 9000) + strings.Repeat("]", 9000)
	long := `"` + strings.Repeat("☃", 100_000) + `"`
	s.exec(`select graphile_worker.add_job('deep', $1::json)`, deep)
	s.exec(`select graphile_worker.add_job('long', $1::json)`, long)
	for _, args := range [][]string{
		{"show", "1"}, {"show", "1", "-o", "json"}, {"list", "--id", "1", "--payload", "100000", "-o", "json"}, {"retry", "1", "--yes", "-o", "json"},
	} {
		got := s.run(append([]string{"jobs"}, args...)...)
		checkCode(t, exitOK, got)
		if !strings.Contains(got.Stdout, deep) || len(got.Stdout) > 2*len(deep) {
			t.Errorf("%q: %d bytes: %.500s", args, len(got.Stdout), got.Stdout)
		}
	}
	got := s.run("jobs", "show", "2")
	checkCode(t, exitOK, got)
	if !strings.Contains(got.Stdout, "☃…\n") || !strings.Contains(got.Stdout, "300002 bytes: jobs export --id 2 writes all of them") || len(got.Stdout) > 2*mostShown {
		t.Errorf("%d bytes: %.500s", len(got.Stdout), got.Stdout)
	}
	got = s.run("jobs", "show", "2", "-o", "json")
	if checkCode(t, exitOK, got); !strings.Contains(got.Stdout, long) {
		t.Errorf("JSON does not have the long payload: %.500s", got.Stdout)
	}
}
