package ui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
)

// The first jobs of the last operations are kept whole, and what is older keeps its numbers.
func TestOperationsKeepTheFirstJobs(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.exec(t, `select graphile_worker.add_job('a', json_build_object('n', n)) from generate_series(1, 150) n`)
	form := url.Values{"previewed": {"150"}}
	for id := range 150 {
		form.Add("id", fmt.Sprint(id+1))
	}
	for id := range mostWithIDs + 1 {
		if got := s.send(t, "POST", "/jobs/retry", form); got.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s\n%s", got.Status, got.text)
		}
		s.waitForOperation(t, int64(id+1))
	}
	for _, tc := range []struct{ id, jobs, ids int }{{1, 0, 0}, {2, sampleSize, 150}, {mostWithIDs + 1, sampleSize, 150}} {
		text := s.page(t, fmt.Sprintf("/operations/%d/result.ndjson", tc.id))
		if jobs, ids := strings.Count(text, `"payload":{"n":`), strings.Count(text, `"changed_id":`); jobs != tc.jobs || ids != tc.ids {
			t.Errorf("operation %d has %d jobs and %d ids, want %d and %d", tc.id, jobs, ids, tc.jobs, tc.ids)
		}
		contains(t, text, `"changed":150`)
	}
	s.send(t, "POST", "/jobs/complete", url.Values{"id": {"1", "1001", "1002"}, "previewed": {"1"}, "confirm": {"1"}})
	s.waitForOperation(t, mostWithIDs+2)
	contains(t, s.page(t, fmt.Sprintf("/operations/%d/result.ndjson", mostWithIDs+2)), `"skipped_job":{"id":1001`)
}

func TestSampleIsBounded(t *testing.T) {
	t.Parallel()
	large := admin.Job{Payload: json.RawMessage(strings.Repeat(" ", sampleBytes/4)), LastError: new("x")}
	if n := len(sample([]admin.Job{large, large, large, large, large})); n != 3 {
		t.Errorf("%d of four jobs that have a little more than the bound", n)
	}
	if n := len(sample(make([]admin.Job, sampleSize+1))); n != sampleSize {
		t.Errorf("%d small jobs", n)
	}
	if n := len(sample(nil)); n != 0 {
		t.Errorf("%d of no jobs", n)
	}
}

// A preview keeps only what it shows.
func TestPreviewKeepsNoPayloads(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.exec(t, `select graphile_worker.add_job('a', json_build_object('n', n)) from generate_series(1, 30) n`)
	form := url.Values{"scope": {"matching"}, "q": {"task:a"}, "verb": {"retry"}}
	contains(t, s.send(t, "POST", "/jobs/preview", form).text, "30 jobs would be", `href="jobs/10"`)
	form = url.Values{"verb": {"retry"}}
	for id := range 60 {
		form.Add("id", fmt.Sprint(id+1))
	}
	contains(t, s.send(t, "POST", "/jobs/preview", form).text, "30 jobs would be", "30 jobs would be left alone", `href="jobs/10"`, `href="jobs/40"`)
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	previews := 0
	for key, made := range s.reads.made {
		if strings.HasPrefix(key, "preview ") {
			previews++
			result := made.value.(*admin.ChangeResult)
			if len(result.Jobs) != previewSample || cap(result.Jobs) >= 30 || len(result.SkippedJobs) > previewSample {
				t.Errorf("%d jobs, %d left alone", len(result.Jobs), len(result.SkippedJobs))
			}
			for _, job := range result.Jobs {
				if job.Payload != nil {
					t.Errorf("job %d has its payload", job.ID)
				}
			}
		}
	}
	if previews != 2 {
		t.Errorf("%d previews", previews)
	}
}
