package ui

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// mostWeight is what a page may weigh without a cache: itself, its style, scripts and icon.
const mostWeight = 150_000

var assetLink = regexp.MustCompile(`(?:href|src)="(static/[^"]+)"`)

// No page weighs more than 150 kB compressed, also where its content cannot be compressed:
// 3 000 tasks, long names and errors, and payloads of a megabyte.
func TestPageWeight(t *testing.T) {
	t.Parallel()
	var crontab strings.Builder
	for i := range 300 {
		fmt.Fprintf(&crontab, "%d %d * * * task_%d ?id=item_%d {payload:\"%s\"}\n", i%60, i%24, i, i, noise(30))
	}
	s := newSite(t, Options{Crontab: func() (string, error) { return crontab.String(), nil }})
	// Each text is another one.
	s.exec(t, `
		insert into graphile_worker._private_tasks (identifier) select 'task_' || md5(i::text) || md5((i + 1)::text) from generate_series(1, 3000) as i`)
	s.exec(t, `
		select graphile_worker.add_job(
			'task_' || md5((1 + i % 3000)::text) || md5((2 + i % 3000)::text), '{}',
			queue_name => 'queue_' || md5((i % 400)::text), job_key => 'key_' || md5(i::text) || md5((-i)::text), flags => array[md5('f' || i), 'b'])
		from generate_series(1, 1000) as i`)
	s.exec(t, `
		update graphile_worker._private_jobs set attempts = max_attempts,
			last_error = 'Error ' || (select string_agg(md5(random()::text || _private_jobs.id || i), ' ') from generate_series(1, 60) as i)
		where id % 3 = 0`)
	s.exec(t, `update graphile_worker._private_jobs set locked_at = now() - id % 5 * interval '1 hour', locked_by = 'worker-' || md5((id % 50)::text) where id % 40 = 1`)
	s.exec(t, `insert into graphile_worker._private_known_crontabs (identifier, known_since) select 'item_' || i, now() from generate_series(1, 300) as i`)
	large, err := s.client.AddJob(t.Context(), "large", map[string]any{"one": noise(1 << 20), "many": strings.Fields(strings.Repeat("text ", 20_000)), "numbers": make([]float64, 20_000)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.exec(t, `update graphile_worker._private_jobs set last_error = $1 where id = $2`, noise(1<<20), large.ID)
	var parts []string
	for i := range 3000 {
		parts = append(parts, noise(60+i%3))
	}
	texts, err := s.client.AddJob(t.Context(), "texts", parts, nil)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"scope": {"matching"}, "q": {"state:permafailed"}, "verb": {"retry"}}
	all := "jobs?column=state&column=task&column=queue&column=key&column=priority&column=run_at&column=attempts&column=error&column=created_at&column=updated_at&column=locked_by&column=flags&column=payload"
	type request struct {
		path string
		form url.Values
	}
	requests := []request{{"/jobs/preview", form}, {"/crontabs/run", url.Values{"item": {"item_7"}}}, {"/workers/unlock", url.Values{"worker": {"worker-x"}}}}
	form = url.Values{"scope": {"matching"}, "q": {"state:permafailed"}, "previewed": {"5"}}
	if got := serve(s.Handler, "POST", "/jobs/retry", form); got.Code != 303 {
		t.Fatalf("retry: %d", got.Code)
	}
	s.waitForOperation(t, 1)
	for _, path := range []string{
		"", "jobs", all, "jobs?q=state%3Aready", "jobs?q=colour%3Ared", fmt.Sprint("jobs/", large.ID), fmt.Sprint("jobs/", texts.ID), "jobs/3",
		"queues", "queues?only=locked", "tasks", "workers", "crontabs", "operations", "operations/1", "add", "add?payload_of=3", "nowhere",
	} {
		requests = append(requests, request{"/" + path, nil})
	}
	weigh := func(w *httptest.ResponseRecorder) int {
		if w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("an answer is not compressed: %v", w.Header())
		}
		return w.Body.Len()
	}
	for _, r := range requests {
		method := "GET"
		if r.form != nil {
			method = "POST"
		}
		w := serve(s.Handler, method, r.path, r.form, "Accept-Encoding", "gzip")
		page := weigh(w)
		weight := page
		text := unzip(t, w)
		for _, link := range assetLink.FindAllStringSubmatch(text, -1) {
			weight += weigh(serve(s.Handler, "GET", "/"+link[1], nil, "Accept-Encoding", "gzip"))
		}
		if n := len(assetLink.FindAllString(text, -1)); n != 4 {
			t.Errorf("%s has %d files", r.path, n)
		}
		t.Logf("%7d bytes, of them %7d of the page, which has %8d: %.60s", weight, page, len(text), r.path)
		if weight > mostWeight {
			t.Errorf("%s weighs %d bytes", r.path, weight)
		}
	}
	contains(t, serve(s.Handler, "GET", fmt.Sprint("/jobs/", large.ID), nil).Body.String(), "Only its beginning is shown.", "job.json")
	if got := serve(s.Handler, "GET", fmt.Sprint("/jobs/", large.ID, "/job.json"), nil); got.Body.Len() < 2<<20 {
		t.Errorf("the download has %d bytes", got.Body.Len())
	}
}

// noise is a text that cannot be compressed by much.
func noise(length int) string {
	bytes := make([]byte, length*3/4+1)
	_, _ = rand.Read(bytes)
	return base64.RawStdEncoding.EncodeToString(bytes)[:length]
}
