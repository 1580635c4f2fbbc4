package ui

import (
	"fmt"
	"html"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
)

// A kind of error is searched by a part that tells its errors from others, and not at all
// without one. The preview says what it takes.
func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.exec(t, `select graphile_worker.add_job('a', '{}') from generate_series(1, 5)`)
	s.exec(t, `update graphile_worker._private_jobs set attempts = max_attempts`)
	contains(t, s.page(t, "/"), "No permanently failed job has an error.")
	for id, text := range []string{"42", `{"code": 7}`, "the server is away, try 1", "no: the server is away, try", "E1 E2"} {
		s.exec(t, `update graphile_worker._private_jobs set last_error = $1 where id = $2`, text, id+1)
	}
	s = again(t, s)
	page := s.page(t, "/")
	rows := map[string]string{}
	for _, row := range regexp.MustCompile(`data-label="Error">([^<]*)</td>(.*?\n?.*?)</tr>`).FindAllStringSubmatch(page, -1) {
		rows[html.UnescapeString(row[1])] = html.UnescapeString(row[2])
	}
	for _, shape := range []string{"*", "{*: *}", "* *"} {
		contains(t, rows[shape], "An example")
		lacks(t, rows[shape], "Retry", "error%3A")
	}
	contains(t, rows["the server is away, try *"], "Retry similar…", `value="state:permafailed error:"the server is away, try""`)
	got := s.send(t, "POST", "/jobs/preview", url.Values{"scope": {"matching"}, "verb": {"retry"}, "q": {errorSearch("the server is away, try")}})
	contains(t, got.text, "2 jobs would be given all attempts again", "all jobs whose last error contains <q>the server is away, try</q>, of whichever kind")

	s.exec(t, `select graphile_worker.add_job('a', '{}') from generate_series(1, 26)`)
	for i := range 26 {
		s.exec(t, `update graphile_worker._private_jobs set attempts = max_attempts, last_error = $1 where id = $2`, strings.Repeat(fmt.Sprintf("%c", 'a'+i), 9), 6+i)
	}
	s = again(t, s)
	contains(t, s.page(t, "/"), "With other kinds of errors: 11 jobs, of ")
}

// again is the site with a snapshot of now.
func again(t *testing.T, s *site) *site {
	t.Helper()
	next := *s
	next.Handler = New(s.client, &Options{Observer: waitingObserver(t, admin.New(s.pool))})
	t.Cleanup(next.observer.Close)
	next.server = httptest.NewServer(next.Handler)
	t.Cleanup(next.server.Close)
	return &next
}
