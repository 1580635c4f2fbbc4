package main

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/examples/orders/tasks"
)

func TestFailed(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), database.Pool(t)
	s := newService(pool)
	ids, err := s.client.AddJobsIDs(ctx, []admin.JobSpec{
		tasks.SendReceipt.Spec(tasks.Receipt{Order: 1}, nil),
		tasks.SendReceipt.Spec(tasks.Receipt{Order: 2}, nil),
		{TaskIdentifier: "another_service"},
		tasks.SendReceipt.Spec(tasks.Receipt{Order: 3}, nil), // does not fail
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.FailJobs(ctx, ids[:3], new("no such address"), nil); err != nil {
		t.Fatal(err)
	}

	get := func(method, path, body string, into any) {
		t.Helper()
		status, answer := request(s, method, path, body)
		if err := json.Unmarshal([]byte(answer), into); status != 200 || err != nil {
			t.Fatalf("got %d: %s: %v", status, answer, err)
		}
	}
	type job struct {
		ID       int64
		Payload  tasks.Receipt
		Attempts int
		Error    string `json:"last_error"`
	}
	listed := func() []job {
		var page struct{ Jobs []job }
		get("GET", "/admin/failed", "", &page)
		return page.Jobs
	}
	one, two := job{ids[0], tasks.Receipt{Order: 1}, 25, "no such address"}, job{ids[1], tasks.Receipt{Order: 2}, 25, "no such address"}
	if diff := cmp.Diff([]job{one, two}, listed()); diff != "" {
		t.Errorf("failed: -want +got\n%s", diff)
	}

	// Only the failed job of this service among these is retried.
	type result struct {
		Matched, Changed int
		Jobs             []job
	}
	var got result
	wanted, err := json.Marshal(map[string][]int64{"ids": {ids[1], ids[2], ids[3], 1000}})
	if err != nil {
		t.Fatal(err)
	}
	get("POST", "/admin/retry", string(wanted), &got)
	retried := two
	retried.Attempts = 0
	if diff := cmp.Diff(result{Matched: 1, Changed: 1, Jobs: []job{retried}}, got); diff != "" {
		t.Errorf("retry: -want +got\n%s", diff)
	}
	if diff := cmp.Diff([]job{one}, listed()); diff != "" {
		t.Errorf("still failed: -want +got\n%s", diff)
	}
}
