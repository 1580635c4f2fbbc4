package ui

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
)

// The list has the targets that the user may view, with what is due and what is wrong.
func TestTargets(t *testing.T) {
	t.Parallel()
	refuse := Options{Authorize: func(*http.Request, Action) error { return errors.New("not for you") }}
	first, second, hidden := newSite(t, Options{}), newSite(t, Options{}), newSite(t, refuse)
	first.addJobs(t, admin.JobSpec{TaskIdentifier: "a"}, admin.JobSpec{TaskIdentifier: "b"})
	second.exec(t, "alter schema graphile_worker rename to away")
	get := func(handler http.Handler, path string) (int, string) {
		t.Helper()
		server := httptest.NewServer(handler)
		defer server.Close()
		got := (&site{server: server}).send(t, "GET", path, nil)
		return got.StatusCode, got.text
	}
	all := Targets(Target{"eu", first.Handler}, Target{"us", second.Handler}, Target{"secret", hidden.Handler})
	code, list := get(all, "/")
	if code != http.StatusOK {
		t.Fatalf("the list: %d\n%s", code, list)
	}
	contains(t, list, `<a href="t/eu/" data-open>eu</a>`, `<td class="num" data-label="Due, not taken">2</td>`, `<a href="t/us/" data-open>us</a>`)
	lacks(t, list, "secret")
	code, page := get(all, "/t/eu/queues")
	if code != http.StatusOK {
		t.Errorf("a page of eu: %d", code)
	}
	first.exec(t, "update graphile_worker._private_jobs set attempts = max_attempts where id = 1")
	_, job := get(all, "/t/eu/jobs/1")
	contains(t, job, "gwadmin --target eu jobs retry 1")
	contains(t, page, `<a href="../../">Targets</a>`, "eu: graphile_worker", "gwadmin queues --target eu<")
	for path, want := range map[string]int{"/t/secret/": http.StatusForbidden, "/t/asia/": http.StatusNotFound, "/jobs": http.StatusNotFound} {
		if code, _ := get(all, path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	code, text := get(Targets(Target{"secret", hidden.Handler}), "/")
	if code != http.StatusForbidden {
		t.Errorf("nothing to view: %d", code)
	}
	contains(t, text, "not for you")
}
