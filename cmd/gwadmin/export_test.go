package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
)

// exported are the jobs of an export in NDJSON.
func exported(t testing.TB, text string) []admin.ListedJob {
	t.Helper()
	jobs := []admin.ListedJob{}
	for line := range strings.Lines(text) {
		jobs = append(jobs, parse[admin.ListedJob](t, result{Stdout: line}))
	}
	return jobs
}

// An export has all jobs and all their values, in both formats.
func TestExport(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	s.exec(`select graphile_worker.add_job($1, $2::text::json, queue_name => $3, job_key => $1, flags => array['=1+1', 'a"b'])`,
		"=cmd()|'x'!A1", "{ \"text\": \"a,\\\"b\\\"\\r\\n☃ <&>\",\n \"n\": 1.00 }", "-2;\r\nq")
	s.exec(`select graphile_worker.add_job('', '"é"', run_at => '-infinity')`)
	s.exec(`update graphile_worker._private_jobs set last_error = '' where id = 9`)
	unchanged := s.unchanged()
	want := []admin.ListedJob{}
	for job, err := range admin.New(s.pool).AllJobs(t.Context(), admin.Filter{}, &admin.ListOptions{PayloadBytes: 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, job)
	}
	check(t, "jobs", 9, len(want))

	got := s.run("jobs", "export")
	checkCode(t, exitOK, got)
	check(t, "stderr", "9 jobs exported\n", got.Stderr)
	check(t, "NDJSON", want, exported(t, got.Stdout))
	lines := strings.Split(got.Stdout, "\n")
	for i, listed := range strings.Split(s.run("jobs", "list", "-o", "ndjson", "--payload", "1000").Stdout, "\n") {
		check(t, "as jobs list prints it", json.RawMessage(listed), json.RawMessage(lines[i])) // but for blanks
	}

	got = s.run("jobs", "export", "-o", "csv", "--null", `\N`)
	checkCode(t, exitOK, got)
	records, err := csv.NewReader(strings.NewReader(strings.ReplaceAll(got.Stdout, "\r\n", "\x01"))).ReadAll() // the reader turns \r\n into \n
	if err != nil {
		t.Fatal(err)
	}
	for i, job := range want {
		// A column, in JSON, equals the field of that name in NDJSON.
		fields := parse[map[string]json.RawMessage](t, result{Stdout: lines[i]})
		check(t, "columns", len(records[0]), len(fields))
		for column, name := range records[0] {
			said := strings.ReplaceAll(records[i+1][column], "\x01", "\r\n")
			switch field := fields[name]; {
			case said == `\N`:
				said = "null"
			case name == "payload":
				check(t, "payload", string(job.Payload), said)
			case len(field) > 0 && field[0] == '"':
				var text strings.Builder
				encoder := json.NewEncoder(&text)
				encoder.SetEscapeHTML(false)
				_ = encoder.Encode(said)
				said = strings.TrimSpace(text.String())
			}
			check(t, fmt.Sprintf("job %d: %s", job.ID, name), fields[name], json.RawMessage(said))
		}
	}
	golden(t, "list/export.txt", normal(s.run("jobs", "export", "-o", "csv", "--id", "2,3,6").Stdout))

	for _, tc := range []struct {
		args string
		want []int64
	}{
		{"", []int64{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"--state running,permafailed", []int64{3, 5, 7}},
		{"--task send --priority-from 1", []int64{6}},
		{"--state waiting", []int64{}},
	} {
		ids := []int64{}
		got := s.run(append([]string{"jobs", "export"}, strings.Fields(tc.args)...)...)
		for _, job := range exported(t, got.Stdout) {
			ids = append(ids, job.ID)
		}
		check(t, tc.args, tc.want, ids)
	}
	check(t, "CSV of none", strings.Join(exportColumns, ",")+"\n", s.run("jobs", "export", "-o", "csv", "--state", "waiting").Stdout)

	for payload, want := range map[string]string{"0": "", "2": "{}", "100": "{}"} {
		for _, job := range exported(t, s.run("jobs", "export", "--id", "1,2", "--payload", payload).Stdout) {
			if said := strings.Replace(string(job.Payload), "null", "", 1); job.ID == 1 && said != want || job.ID == 2 && (said != "") != (payload == "100") {
				t.Errorf("--payload %s: job %d has %q", payload, job.ID, job.Payload)
			}
		}
	}
	unchanged()
}

// With --to there is a whole file or none.
func TestExportToFile(t *testing.T) {
	t.Parallel()
	s, _ := many(t, 3000)
	dir := t.TempDir()
	file := filepath.Join(dir, "jobs.ndjson")
	files := func() (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		return names
	}
	content := func() string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	export := func(args ...string) result {
		return s.run(append([]string{"jobs", "export", "--to", file}, args...)...)
	}

	got := export()
	checkCode(t, exitOK, got)
	check(t, "stdout", "", got.Stdout)
	check(t, "stderr", "3000 jobs exported to "+file+"\n", got.Stderr)
	check(t, "jobs", 3000, len(exported(t, content())))
	check(t, "files", []string{"jobs.ndjson"}, files())
	if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	before := content()
	got = export("--id", "1")
	checkCode(t, exitRefused, got)
	check(t, "what was there", before, content())
	checkCode(t, exitOK, export("--id", "1", "--overwrite"))
	check(t, "jobs in its place", 1, len(exported(t, content())))
	before = content()

	checkCode(t, exitUsage, export("--overwrite", "--payload-path", "$["))
	checkCode(t, exitRefused, s.run("jobs", "export", "--to", dir, "--overwrite"))
	checkCode(t, exitRefused, s.run("jobs", "export", "--to", os.DevNull, "--overwrite"))
	checkCode(t, exitError, s.run("jobs", "export", "--to", filepath.Join(dir, "none", "jobs")))
	check(t, "what was there", before, content())
	check(t, "files", []string{"jobs.ndjson"}, files())

	if runtime.GOOS != "windows" {
		link := filepath.Join(dir, "link")
		if err := os.Symlink("jobs.ndjson", link); err != nil {
			t.Fatal(err)
		}
		checkCode(t, exitOK, s.run("jobs", "export", "--to", link, "--overwrite", "--id", "1,2"))
		check(t, "jobs behind the link", 2, len(exported(t, content())))
		if to, err := os.Readlink(link); err != nil || to != "jobs.ndjson" {
			t.Errorf("the link is to %q, %v", to, err)
		}
		os.Remove(link)
	}

	// Ctrl-C leaves the old file, and no other.
	before = content()
	release := s.holding(`lock table graphile_worker._private_jobs`)
	p := start(t, s.env(), strings.NewReader(""), "jobs", "export", "--to", file, "--overwrite")
	s.blocked()
	check(t, "files meanwhile", 2, len(files()))
	p.interrupt()
	got = p.wait()
	release()
	checkCode(t, exitInterrupted, got)
	check(t, "what was there", before, content())
	check(t, "files", []string{"jobs.ndjson"}, files())

	// A file that is created during the export is not replaced.
	os.Remove(file)
	release = s.holding(`lock table graphile_worker._private_jobs`)
	p = start(t, s.env(), strings.NewReader(""), "jobs", "export", "--to", file)
	s.blocked()
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	release()
	checkCode(t, exitRefused, p.wait())
	check(t, "what turned up", "mine", content())
	check(t, "files", []string{"jobs.ndjson"}, files())
}

// Wrong flags are refused before the command connects.
func TestExportInvalid(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, args := range [][]string{
		{"-o", "json"}, {"-o", "table"}, {"--null", "x"}, {"--to", ""}, {"--overwrite"}, {"--payload", "-1"}, {"--payload", "all"}, {"--limit", "1"}, {"more"},
	} {
		got := gwadmin(t, []string{"DATABASE_URL=postgres://127.0.0.1:1/none"}, "", append([]string{"jobs", "export"}, args...)...)
		checkCode(t, exitUsage, got)
		fmt.Fprintf(&text, "$ gwadmin jobs export %s\n%s", quoted(args), got.transcript())
	}
	golden(t, "list/export-invalid.txt", text.String())
}

// An export ends silently when its pipe is closed.
func TestExportIntoHead(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGPIPE here")
	}
	s, _ := many(t, 20000)
	for _, output := range []string{"ndjson", "csv"} {
		cmd := command(t, s.env(), "jobs", "export", "-o", output)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Error(err)
		}
		out.Close()
		check(t, "exit code, of a signal", -1, exitOf(t, cmd))
		check(t, "stderr", "", stderr.String())
	}
}

// While jobs are added and deleted, an export has each job that stays once, and none twice.
func TestExportWhileJobsComeAndGo(t *testing.T) {
	t.Parallel()
	s, _ := many(t, 5000)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := command(t, s.env(), "jobs", "export")
	cmd.Stdout = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	seen := map[int64]int{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		seen[parse[admin.ListedJob](t, result{Stdout: lines.Text()}).ID]++
		if len(seen) == 1 {
			// The pipe is full, and most pages are still to be read.
			s.exec(`delete from graphile_worker._private_jobs where id % 7 = 0`)
			s.exec(`insert into graphile_worker._private_jobs (task_id) select 1 from generate_series(1, 500)`)
		}
	}
	checkCode(t, exitOK, result{Code: exitOf(t, cmd)})
	for id := int64(1); id <= 5000; id++ {
		if n := seen[id]; n > 1 || n == 0 && id%7 > 0 {
			t.Fatalf("job %d is there %d times", id, n)
		}
	}
}

// An export to a file shows progress, and one to the terminal does not.
func TestExportOnTerminal(t *testing.T) {
	t.Parallel()
	s, _ := many(t, 3000)
	file := filepath.Join(t.TempDir(), "jobs")
	release := s.holding(`lock table graphile_worker._private_jobs`)
	term := onTerminal(t, s.env("NO_COLOR=1"), 100, "jobs", "export", "--to", file)
	term.expect("exported")
	release()
	got := term.wait()
	checkCode(t, exitOK, got)
	if !strings.HasSuffix(got.Stdout, "3000 jobs exported to "+file+"\n") {
		t.Errorf("it shows %q", got.Stdout)
	}
	got = onTerminal(t, s.env("TERM=xterm"), 100, "jobs", "export", "--id", "1").wait()
	checkCode(t, exitOK, got)
	if job, rest, _ := strings.Cut(got.Stdout, "\n"); !json.Valid([]byte(job)) || rest != "1 job exported\n" {
		t.Errorf("it shows %q", got.Stdout)
	}
}
