package main

import (
	"context"
	"fmt"
	"html"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/ui"
)

// The commands that the admin page offers to copy do what the page shows, whatever the names
// look like.
func TestCopiedCommands(t *testing.T) {
	t.Parallel()
	s := ours(t)
	client := admin.New(s.pool)
	for range 60 {
		if _, err := client.AddJob(t.Context(), "--yes", nil, &admin.AddJobOptions{QueueName: new("--dry-run")}); err != nil {
			t.Fatal(err)
		}
	}
	s.exec(`update graphile_worker._private_jobs set locked_at = now(), locked_by = '-w' where id = 60`)
	page := ui.New(client, nil)
	t.Cleanup(func() { _, _ = page.Close(context.Background()) })
	get := func(path string, form url.Values) string {
		t.Helper()
		r := httptest.NewRequest("GET", "http://localhost"+path, nil)
		if form != nil {
			r = httptest.NewRequest("POST", "http://localhost"+path, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		r.RemoteAddr = "127.0.0.1:1"
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		return w.Body.String()
	}
	next := regexp.MustCompile(`href="(jobs\?[^"]*)" rel="next"`).FindStringSubmatch(get("/jobs", nil))
	if next == nil {
		t.Fatal("there is no second page")
	}
	command := regexp.MustCompile(`aria-label="Command">gwadmin (.*?)</pre>`)
	for _, tc := range []struct {
		path string
		form url.Values
		want string // in what the command prints
	}{
		{"/jobs/1", nil, "--dry-run"},
		{"/jobs", nil, "there are more"},
		{"/" + html.UnescapeString(next[1]), nil, "--yes"},
		{"/queues?name=--dry", nil, "--dry-run"},
		{"/add?task=--yes&payload=-1&flag=-f", nil, "--yes"},
		{"/jobs/preview", url.Values{"id": {"1"}, "verb": {"retry"}}, "1 would be given all attempts again"},
		{"/jobs/preview", url.Values{"scope": {"matching"}, "q": {"task:--yes queue:--dry-run"}, "verb": {"fail"}, "reason": {"--why"}}, "59 would be"},
		{"/workers/unlock", url.Values{"worker": {"-w"}}, "-w"},
	} {
		found := command.FindStringSubmatch(get(tc.path, tc.form))
		if found == nil {
			t.Errorf("%s has no command", tc.path)
			continue
		}
		text := html.UnescapeString(found[1])
		words, err := exec.Command("sh", "-c", `printf '%s\n' `+text).Output() // as a shell reads it
		if err != nil {
			t.Fatal(err)
		}
		args := strings.Split(strings.TrimSuffix(string(words), "\n"), "\n")
		if tc.form != nil || strings.HasPrefix(tc.path, "/add") {
			args = slices.Insert(args, 2, "--dry-run")
		}
		got := s.run(args...)
		if all := got.Stdout + got.Stderr; got.Code == exitUsage || !strings.Contains(all, tc.want) {
			t.Errorf("gwadmin %s: code %d, want %q in\n%s", text, got.Code, tc.want, all)
		}
		if strings.HasPrefix(tc.path, "/jobs?") { // the second page has the other ten jobs
			if rows := strings.Count(got.Stdout, "--yes"); rows != 10 {
				t.Errorf("gwadmin %s lists %d jobs:\n%s", text, rows, got.Stdout)
			}
		}
	}
	var jobs, locked int
	if err := s.pool.QueryRow(t.Context(), `select count(*), count(locked_by) from graphile_worker._private_jobs where attempts = 0`).Scan(&jobs, &locked); err != nil || fmt.Sprint(jobs, locked) != "60 1" {
		t.Errorf("%d jobs, %d locked, after dry runs: %v", jobs, locked, err)
	}
}
