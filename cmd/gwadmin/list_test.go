package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gwadmin/gwadmin/admin"
)

// listed are the ids that jobs list prints.
func (s *site) listed(args ...string) (ids []int64, next string) {
	s.Helper()
	got := s.run(append([]string{"jobs", "list", "-o", "json"}, args...)...)
	checkCode(s, exitOK, got)
	page := parse[admin.Page](s, got)
	ids = []int64{}
	for _, job := range page.Jobs {
		ids = append(ids, job.ID)
	}
	return ids, page.Next
}

// Each filter flag selects jobs.
func TestListFilters(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	s.exec(`insert into graphile_worker._private_jobs (task_id, run_at) select id, now() + interval '1 hour'
		from graphile_worker._private_tasks where identifier = 'unused'`)
	unchanged := s.unchanged()
	for _, tc := range []struct {
		args string
		want []int64
	}{
		{"", []int64{1, 2, 3, 4, 5, 6, 7, 8}},
		{"--id 1,2 --id 99", []int64{1, 2}},
		{"--state permafailed,stale", []int64{4, 5}},
		{"--state running", []int64{3, 7}},
		{"--task unused", []int64{8}},
		{"--task unused,send --queue busy", []int64{7}},
		{"--key key_3", []int64{3}},
		{"--key-prefix key", []int64{2, 3}},
		{"--worker pool-a", []int64{3, 4}},
		{"--flag gpu", []int64{2}},
		{"--flag gp", []int64{}},
		{"--priority-from 1", []int64{6}},
		{"--priority-to -1", []int64{2}},
		{"--attempts-from 3 --attempts-to 24", []int64{2}},
		{"--error ROUTE", []int64{2}},
		{`--payload-contains {"n":1}`, []int64{2}},
		{"--payload-path $.n", []int64{2}},
		{"--run-after -1h", []int64{6, 8}},
		{"--run-after now --run-before +2h", []int64{8}},
		{"--run-before 2024-03-01T12:00:00.1Z --state ready", []int64{1}},
		{"--created-after -1h", []int64{8}},
		{"--created-before -1h --updated-before 2024-02-29T12:00:00Z", []int64{}},
		{"--updated-after 2024-02-29T12:00:00Z --updated-before -1d --priority-to -1", []int64{2}},
		{"--locked-before -1h", []int64{4}},
		{"--locked-after -5m", []int64{7}},
	} {
		args := strings.Fields(tc.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		ids, next := s.listed(args...)
		check(t, tc.args, tc.want, ids)
		check(t, "the next page", "", next)
	}
	unchanged()
}

// Cursors lead to the end, in several orders.
func TestListPages(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	for sort, want := range map[string][]int64{
		"id":        {1, 2, 3, 4, 5, 6, 7},
		"-id":       {7, 6, 5, 4, 3, 2, 1},
		"priority":  {2, 1, 3, 4, 5, 7, 6},
		"-attempts": {5, 2, 7, 4, 3, 6, 1},
		"-run_at":   {6, 2, 7, 5, 4, 3, 1},
	} {
		all, next := []int64{}, ""
		for pages := 1; ; pages++ {
			args := []string{"--sort", sort, "--limit", "3"}
			if next != "" {
				args = append(args, "--cursor", next)
			}
			var ids []int64
			ids, next = s.listed(args...)
			all = append(all, ids...)
			if next == "" || pages > 3 {
				check(t, "pages", 3, pages)
				break
			}
		}
		check(t, sort, want, all)
	}
	got := s.run("jobs", "list", "--limit", "3")
	_, cursor, found := strings.Cut(got.Stderr, "there are more: go on with --cursor ")
	if !found {
		t.Fatalf("it does not say that there are more: %s", got.transcript())
	}
	ids, _ := s.listed("--cursor", strings.TrimSpace(cursor))
	check(t, "after the first page", []int64{4, 5, 6, 7}, ids)

	type payload struct {
		Jobs []struct{ Payload *struct{ To string } }
	}
	args := []string{"jobs", "list", "--id", "2", "-o", "json"}
	check(t, "payload", "ada ☃", parse[payload](t, s.run(append(args, "--payload", "100")...)).Jobs[0].Payload.To)
	for _, args := range [][]string{args, append(args, "--payload", "10")} {
		if job := parse[payload](t, s.run(args...)).Jobs[0]; job.Payload != nil {
			t.Errorf("%q shows the payload", args)
		}
	}
}

// The verbs that show everything, on a small and on an empty queue, in each format.
func TestOverview(t *testing.T) {
	t.Parallel()
	small := fixture(t)
	small.exec(`insert into graphile_worker._private_known_crontabs values
		('hourly', '2024-02-28 12:00:00Z', '2024-02-29 12:00:00Z'), ('nightly', '2024-02-28 12:00:00Z', null)`)
	for name, s := range map[string]*site{"small": small, "empty": ours(t)} {
		for _, output := range []format{formatTable, formatJSON, formatNDJSON} {
			var text strings.Builder
			for _, args := range [][]string{{"jobs", "list"}, {"queues"}, {"tasks"}, {"workers", "list"}, {"crontabs"}, {"stats"}} {
				got := s.run(append(args, "-o", string(output))...)
				checkCode(t, exitOK, got)
				fmt.Fprintf(&text, "$ %s\n%s", strings.Join(args, " "), got.transcript())
			}
			golden(t, fmt.Sprintf("list/%s-%s.txt", name, output), text.String())
		}
	}
}

// Tables fit the terminal. At 80 columns a list shows the state, the task, when the job is
// due, its attempts and the last error.
func TestListOnTerminal(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	s.exec(`update graphile_worker._private_jobs set last_error = 'connect ECONNREFUSED 10.0.0.12:5432 while sending to smtp.example.com' where id = 5`)
	s.exec(`update graphile_worker._private_tasks set identifier = 'generate_monthly_report_for_customer' where identifier = 'send'`)
	s.exec(`update graphile_worker._private_jobs set run_at = '2024-07-01 12:00:00Z' where id = 1`)
	env := s.env("NO_COLOR=1", "TZ=Europe/Berlin")
	var text strings.Builder
	for _, columns := range []int{200, 120, 80, 60} {
		for _, args := range [][]string{{"jobs", "list"}, {"queues"}, {"workers", "list"}} {
			got := onTerminal(t, env, columns, args...).wait()
			checkCode(t, exitOK, got)
			for line := range strings.Lines(got.Stdout) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > columns && !strings.HasPrefix(line, "no room for ") {
					t.Errorf("%d columns, of a line that has %d: %s", columns, n, line)
				}
			}
			fmt.Fprintf(&text, "$ %s, %d columns\n%s", strings.Join(args, " "), columns, normal(got.Stdout))
			head, _, _ := strings.Cut(got.Stdout, "\n")
			if columns >= 80 && args[0] == "jobs" {
				check(t, fmt.Sprintf("what %d columns show", columns), true, regexp.MustCompile("^id +state +task.* attempts +run at.* last error$").MatchString(head))
			}
		}
	}
	for _, tc := range []struct{ zone, want string }{
		{"Europe/Berlin", "2024-07-01 14:00:00+02"}, {"Asia/Kolkata", "2024-07-01 17:30:00+05:30"}, {"UTC", "2024-07-01 12:00:00Z"},
	} {
		got := onTerminal(t, s.env("NO_COLOR=1", "TZ="+tc.zone), 80, "jobs", "list", "--id", "1", "--columns", "run_at", "--no-headers", "--wide").wait()
		check(t, tc.zone, tc.want+"\n", got.Stdout)
	}
	wide := onTerminal(t, env, 60, "jobs", "list", "--wide").wait()
	fmt.Fprintf(&text, "$ jobs list --wide\n%s", normal(wide.Stdout))
	golden(t, "list/terminal.txt", text.String())
}

// --columns shows the named columns, in their order, also if they are empty.
func TestListColumns(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	var text strings.Builder
	for _, args := range [][]string{
		{"--columns", "last_error,id,payload,flags", "--columns=key"},
		{"--columns", "id,payload,priority", "--payload", "5", "--no-headers"},
		{"--columns", strings.Join(columnNames, ","), "--id", "2"},
		{"--id", "6", "--no-headers"},
		{"--id", "99"},
	} {
		got := s.run(append([]string{"jobs", "list"}, args...)...)
		checkCode(t, exitOK, got)
		fmt.Fprintf(&text, "$ jobs list %s\n%s", quoted(args), got.transcript())
	}
	golden(t, "list/columns.txt", text.String())
}

// Errors name the flags.
func TestListInvalid(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	_, byID := s.listed("--limit", "1")
	var text strings.Builder
	for _, args := range [][]string{
		{"--state", "red"},
		{"--sort", "colour"},
		{"--sort", "--id"},
		{"--limit", "-1"},
		{"--limit", "many"},
		{"--limit", "99999999999999999999"},
		{"--limit", "0"},
		{"--limit", "1000000"},
		{"--watch", "5s"},
		{"--watch=99ms"},
		{"--watch=soon"},
		{"--watch", "--state", "red"},
		{"--limit", "10001"},
		{"--payload", "-1"},
		{"--cursor", "frob"},
		{"--cursor", byID, "--sort", "priority"},
		{"--run-after", "tomorrow"},
		{"--run-before", "infinity"},
		{"--run-after", "+1h", "--run-before", "-1h"},
		{"--priority-from", "2", "--priority-to", "1"},
		{"--worker", "\xff"},
		{"--error", ""},
		{"--key-prefix="},
		{"--payload-contains", "{"},
		{"--payload-path", "$["},
		{"--id", "one"},
		{"--columns", "id,colour"},
		{"--columns", "state,run-at"},
		{"more"},
	} {
		got := s.run(append([]string{"jobs", "list"}, args...)...)
		checkCode(t, exitUsage, got)
		check(t, fmt.Sprintf("%q printed", args), "", got.Stdout)
		fmt.Fprintf(&text, "$ gwadmin jobs list %s\n%s", strings.ReplaceAll(quoted(args), byID, "CURSOR"), got.transcript())
	}
	golden(t, "list/invalid.txt", moments.ReplaceAllString(text.String(), "MOMENT"))
}

// docs/json.md names the fields that are printed.
func TestDocumentedJSON(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	runs := map[string][][]string{
		"jobs list": {{"--limit", "1", "--payload", "10"}}, "jobs count": {nil}, "jobs import": {{"-", "--dry-run"}}, "jobs show": {{"1"}}, "jobs explain": {{"1"}}, "jobs add": {{"send", "--dry-run"}},
		"jobs complete": {{"1", "3", "--dry-run"}}, "jobs fail": {{"1", "3", "--dry-run"}}, "jobs retry": {{"1", "3", "--dry-run"}}, "jobs hold": {{"1", "3", "--dry-run"}}, "jobs release": {{"3", "6", "--dry-run"}},
		"jobs complete --all": {{"--dry-run"}}, "jobs fail --all": {{"--dry-run"}}, "jobs retry --all": {{"--dry-run"}}, "jobs hold --all": {{"--dry-run"}}, "jobs release --all": {{"--dry-run"}},
		"jobs reschedule --all": {{"--dry-run", "--priority", "1"}},
		"jobs reschedule":       {{"1", "3", "--dry-run", "--priority", "1"}},
		"jobs remove":           {{"key 3", "--dry-run"}}, "queues": {nil}, "queues restore": {{"--dry-run"}}, "queues pause": {{"mails", "--dry-run"}}, "queues resume": {{"mails", "--dry-run"}}, "tasks": {nil}, "tasks --declared": {{"else"}}, "crontabs": {nil}, "crontabs --file": {{"-"}}, "crontabs run": {{"* * * * * send", "--dry-run"}}, "workers list": {nil},
		"workers unlock": {{"pool-a", "none", "--dry-run"}}, "stats": {nil}, "cleanup": {{"--dry-run"}},
		"migrate status": {nil}, "migrate plan": {nil}, "migrate up": {nil}, "migrate up --dry-run": {nil},
		"migrate down": {{"--dry-run"}}, "migrate validate": {nil}, "migrate grants": {{"reader", "web"}},
		"migrate sql": {{"--from-nothing"}}, "schema": {nil}, "schema --check": {{"-"}}, "version": {nil},
		"migrate indexes": {nil}, "migrate indexes add": {{"--all", "--dry-run"}},
	}
	s, drifted := fixture(t), ours(t)
	runs["jobs count --target"] = [][]string{{"eu=" + s.url, "--target", "down=postgres://127.0.0.1:1/none"}}
	s.exec(`insert into graphile_worker._private_known_crontabs values ('hourly', now(), null)`)
	s.strand()
	s.exec(`update graphile_worker._private_jobs set locked_by = 'gwadmin:held:{}' where id = 6`)
	drifted.exec("alter table graphile_worker._private_jobs alter column priority set default 7")
	documented := 0
	for line := range strings.Lines(string(page)) {
		columns := strings.Split(line, "|")
		if len(columns) < 5 || !strings.Contains(columns[1], "`") {
			continue
		}
		for verb := range strings.SplitSeq(columns[1], ",") {
			verb = strings.Trim(verb, " `")
			documented++
			for i, output := range []string{"json", "ndjson"} {
				want := fieldsOf(columns[2+i])
				if strings.TrimSpace(columns[2+i]) == "the same" {
					want = fieldsOf(columns[2])
				}
				on := s
				switch verb {
				case "migrate plan", "migrate up --dry-run":
					on = newSite(t, nil)
				case "migrate validate":
					on = drifted
				}
				if len(runs[verb]) == 0 {
					t.Errorf("docs/json.md tells of %q", verb)
					continue
				}
				args := slices.Concat(strings.Fields(verb), runs[verb][0], []string{"-o", output})
				got := on.run(args...)
				found := map[string]bool{}
				if output == "json" {
					topFields(found, parse[any](t, got))
				} else {
					for line := range strings.Lines(got.Stdout) {
						topFields(found, parse[any](t, result{Stdout: line}))
					}
				}
				check(t, verb+" -o "+output, want, found)
			}
		}
	}
	check(t, "verbs in docs/json.md", len(runs), documented)
}

// fieldsOf are the words in backticks.
func fieldsOf(cell string) map[string]bool {
	fields := map[string]bool{}
	for i, word := range strings.Split(cell, "`") {
		if i%2 == 1 {
			fields[word] = true
		}
	}
	return fields
}

// topFields adds the fields of an object, or of a list's objects.
func topFields(found map[string]bool, v any) {
	switch v := v.(type) {
	case map[string]any:
		for field := range v {
			found[field] = true
		}
	case []any:
		for _, element := range v {
			topFields(found, element)
		}
	}
}

// A page is written as an encoder writes it, one job after the other.
func TestPageJSON(t *testing.T) {
	t.Parallel()
	jobs := []admin.ListedJob{
		{Job: admin.Job{ID: 1, TaskIdentifier: "<send> & \u2028", Payload: json.RawMessage(`{"a": [1, {}], "b": []}`), Flags: []string{"x"}}},
		{Job: admin.Job{ID: 2, QueueName: new("")}, State: admin.Ready},
	}
	for _, page := range []*admin.Page{
		{Jobs: []admin.ListedJob{}}, {Jobs: jobs[:1]}, {Jobs: jobs}, {Jobs: jobs, Next: "eyJzIjoiaWQiLCJpIjox_-"},
	} {
		var want, got bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(page); err != nil {
			t.Fatal(err)
		}
		if err := (jobPage{Page: page}).writeJSON(&got); err != nil {
			t.Fatal(err)
		}
		check(t, fmt.Sprintf("%d jobs", len(page.Jobs)), want.String(), got.String())
	}
}
