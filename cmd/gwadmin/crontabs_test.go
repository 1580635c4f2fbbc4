package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What is in a crontab and what workers have recorded, and running an item now.
func TestCrontabs(t *testing.T) {
	t.Parallel()
	s := ours(t)
	s.exec(`insert into graphile_worker._private_known_crontabs values
		('nightly', '2024-03-01 12:00:00Z', '2024-03-02 04:00:00Z'), ('gone', '2024-03-01 12:00:00Z', null)`)
	dir := t.TempDir()
	file, wrong := filepath.Join(dir, "crontab"), filepath.Join(dir, "wrong")
	for name, text := range map[string]string{
		file:  "# reports\n0 4 1 1 * send_report ?id=nightly&max=3&queue=mail&priority=-1&jobKey=report {to: 'ada', _cron: 1,}\r\n0 0 30 2 * never\n",
		wrong: "* * * * * run\n* * * * run\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var text strings.Builder
	next := regexp.MustCompile(`20\d\d-01-01([T ])04:00:00`)
	run := func(code int, args ...string) {
		t.Helper()
		got := s.run(args...)
		checkCode(t, code, got)
		shown := strings.ReplaceAll(fmt.Sprintf("$ gwadmin %s\n%s", quoted(args), got.transcript()), dir+string(filepath.Separator), "")
		text.WriteString(next.ReplaceAllString(shown, "NEXT-01-01${1}04:00:00"))
	}
	run(exitOK, "crontabs", "--file", file)
	run(exitOK, "crontabs", "--file", file, "-o", "ndjson")
	run(exitOK, "crontabs", "--file", "-")
	run(exitUsage, "crontabs", "--file", wrong)
	run(exitUsage, "crontabs", "--file", "")
	run(exitError, "crontabs", "--file", filepath.Join(dir, "none"))
	run(exitRefused, "crontabs", "run", "nightly", "--file", file)
	run(exitUsage, "crontabs", "run", "nightly")
	run(exitUsage, "crontabs", "run", "nihgtly", "--file", file, "--yes")
	run(exitUsage, "crontabs", "run", "* * * * * run {", "--yes")
	run(exitUsage, "crontabs", "run", "* * * * * run", "--file", file, "--yes")
	run(exitOK, "crontabs", "run", "nightly", "--file", file, "--dry-run")
	run(exitOK, "crontabs", "run", "nightly", "--file", file, "--yes", "-o", "json")
	run(exitOK, "crontabs", "run", "nightly", "--file", file, "--yes")
	run(exitOK, "crontabs", "run", "*/5 * * * * poll:inbox {a: [0x10, +.5,]}", "--yes", "-o", "json")
	run(exitOK, "crontabs") // a run is not recorded
	golden(t, "crontabs.txt", text.String())
}

// Redacted fields and changed keys.
func TestRedact(t *testing.T) {
	t.Parallel()
	payload := `{"to": "ada", "n": 12345678901234567890, "customers": [{"email": "a", "id": 1}, {"email": {"x": 1}}, 7], "a": {"token": 1}, "b": {"token": [2]}, "<&>": null}`
	for fields, want := range map[string]string{
		"to":                `{"<&>":null,"a":{"token":1},"b":{"token":[2]},"customers":[{"email":"a","id":1},{"email":{"x":1}},7],"n":12345678901234567890,"to":"[redacted]"}`,
		"customers.email,n": `{"<&>":null,"a":{"token":1},"b":{"token":[2]},"customers":[{"email":"[redacted]","id":1},{"email":"[redacted]"},7],"n":"[redacted]","to":"ada"}`,
		"*.token,none.x":    `{"<&>":null,"a":{"token":"[redacted]"},"b":{"token":"[redacted]"},"customers":[{"email":"a","id":1},{"email":{"x":1}},7],"n":12345678901234567890,"to":"ada"}`,
		"customers.*":       `{"<&>":null,"a":{"token":1},"b":{"token":[2]},"customers":[{"email":"[redacted]","id":"[redacted]"},{"email":"[redacted]"},7],"n":12345678901234567890,"to":"ada"}`,
	} {
		got, err := redact([]byte(payload), strings.Split(fields, ","), map[string]bool{})
		if err != nil {
			t.Fatal(err)
		}
		check(t, fields, want, string(got))
	}

	s, other := fixture(t), fixture(t)
	exported := s.run("jobs", "export", "--id", "1,2,3", "--redact", "to")
	checkCode(t, exitOK, exported)
	if strings.Contains(exported.Stdout, "ada") || !strings.Contains(exported.Stdout, `"payload":{"n":1,"to":"[redacted]"}`) {
		t.Errorf("exported %s", exported.Stdout)
	}
	checkCode(t, exitUsage, s.run("jobs", "export", "--redact", "a..b"))
	for _, args := range [][]string{{"--redact", ""}, {"--redact", "to", "--redact="}, {"--redact", "to,"}} {
		got := s.run(append([]string{"jobs", "export"}, args...)...)
		checkCode(t, exitUsage, got)
		check(t, "printed", "", got.Stdout)
	}
	for _, to := range [][]string{nil, {"--to", filepath.Join(t.TempDir(), "jobs")}} {
		got := s.run(append([]string{"jobs", "export", "--redact", "to,nosuch,n.*"}, to...)...)
		checkCode(t, exitOK, got)
		if !strings.HasSuffix(got.Stderr, "\n--redact nosuch: no payload has this field\n--redact n.*: no payload has this field\n") {
			t.Errorf("it does not name the fields: %s", got.Stderr)
		}
	}
	check(t, "said of no jobs", "0 jobs exported\n", s.run("jobs", "export", "--task", "none", "--redact", "nosuch").Stderr)
	checkCode(t, exitUsage, other.piped(exported.Stdout, "jobs", "import", "--yes", "--rekey", "key"))
	before := other.jobRows()
	got := other.piped(exported.Stdout, "jobs", "import", "--yes", "--rekey", "other=x", "--rekey", "key 2=replayed=", "--rekey", "key=again")
	checkCode(t, exitOK, got)
	check(t, "what it says", "3 added, 0 updated; not imported: 2 had attempts, 1 had a last error, 1 had a lock\n", got.Stderr)
	check(t, "keys", "again 3 replayed=", value[string](other, "select string_agg(key, ' ' order by key) from graphile_worker._private_jobs where id > 7"))
	after := other.jobRows()
	for id := range after {
		if id > 7 {
			delete(after, id)
		}
	}
	check(t, "the jobs that had these keys", before, after)
}
