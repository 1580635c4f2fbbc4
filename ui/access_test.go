package ui

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every route is refused to a user who may not do its action, and asks for nothing else.
func TestAuthorizeEveryRoute(t *testing.T) {
	t.Parallel()
	var asked []string
	s := newSite(t, Options{Authorize: func(r *http.Request, action Action) error {
		asked = append(asked, r.Method+" "+r.URL.Path+" "+string(action))
		return errors.New("not for you")
	}})
	for _, route := range s.patterns {
		method, path, _ := strings.Cut(route.pattern, " ")
		path = strings.NewReplacer("{$}", "", "{id}", "1").Replace(path)
		var form url.Values
		if method == "POST" {
			form = url.Values{}
		}
		asked = nil
		got := s.send(t, method, path, form)
		if got.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", route.pattern, got.Status)
		}
		if want := method + " " + path + " " + string(route.action); len(asked) == 0 || asked[0] != want {
			t.Errorf("%s asked for %v, want first %s", route.pattern, asked, want)
		}
	}
	if got := s.send(t, "GET", "/nowhere", nil); got.StatusCode != http.StatusForbidden {
		t.Errorf("a page that does not exist: %s", got.Status)
	}
}

// A reader sees every page and no button, and can change nothing.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{ReadOnly: true})
	for _, route := range s.patterns {
		method, path, _ := strings.Cut(route.pattern, " ")
		if method != "POST" || route.action.reads() {
			continue
		}
		if got := s.send(t, "POST", path, url.Values{"id": {"1"}, "queue": {"q"}, "worker": {"w"}, "task": {"t"}}); got.StatusCode != http.StatusForbidden || !strings.Contains(got.text, "read-only") {
			t.Errorf("POST %s: %s", path, got.Status)
		}
	}
	for _, path := range []string{"/", "/jobs", "/queues"} { // nothing leads to what is refused
		lacks(t, s.page(t, path), `href="add`, ", add<")
	}
	if got := s.send(t, "GET", "/add", nil); got.StatusCode != http.StatusForbidden || !strings.Contains(got.text, "read-only") {
		t.Errorf("GET /add: %s", got.Status)
	}
	s.client.AddJob(t.Context(), "a_task", nil, nil)
	s.reads.forget()
	contains(t, s.page(t, "/jobs"), "a_task", "Read-only.")
	lacks(t, s.page(t, "/jobs"), `name="verb"`)
	lacks(t, s.page(t, "/jobs/1"), `name="verb"`, "Duplicate")
}

// Who is not authenticated gets in only from this machine, to a loopback name.
func TestOpenOnlyToThisMachine(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	for _, tc := range []struct {
		remote, host string
		want         int
	}{
		{"127.0.0.1:5", "localhost:7070", 200},
		{"127.0.0.1:5", "127.0.0.1", 200},
		{"[::1]:5", "[::1]:7070", 200},
		{"127.0.0.1:5", "evil.example", 421},
		{"127.0.0.1:5", "localhost.evil.example", 421},
		{"10.0.0.1:5", "localhost", 403},
		{"", "localhost", 403},
	} {
		r := httptest.NewRequest("GET", "/crontabs", nil)
		r.RemoteAddr, r.Host = tc.remote, tc.host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("from %s to %s: %d, want %d", tc.remote, tc.host, w.Code, tc.want)
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Hosts: []string{"queue.example"}, Authenticate: Basic(func(string, string) bool { return true })})
	for host, want := range map[string]int{"queue.example": 401, "queue.example:443": 401, "QUEUE.example.": 401, "127.0.0.1": 421, "": 421} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("to %q: %d, want %d", host, w.Code, want)
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Authenticate: Token("secret")})
	if got := s.send(t, "GET", "/jobs", nil); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %s", got.Status)
	}
	if got := s.send(t, "GET", "/jobs?token=wrong", nil); got.StatusCode != http.StatusUnauthorized || len(got.Cookies()) > 0 {
		t.Errorf("with a wrong token: %s", got.Status)
	}
	got := s.send(t, "GET", "/jobs?q=state%3Aready&token=secret", nil)
	if location := got.Header.Get("Location"); got.StatusCode != http.StatusSeeOther || location != "./jobs?q=state%3Aready" {
		t.Fatalf("with the token: %s, to %q", got.Status, location)
	}
	cookie := got.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || strings.Contains(cookie.Value, "secret") {
		t.Errorf("cookie: %s", cookie)
	}
	if got := s.send(t, "GET", "/jobs", nil, "Cookie", cookie.Name+"="+cookie.Value); got.StatusCode != http.StatusOK {
		t.Errorf("with the cookie: %s", got.Status)
	}
	if got := s.send(t, "GET", "/jobs", nil, "Cookie", cookie.Name+"="); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("with an empty cookie: %s", got.Status)
	}
}

func TestProxyHeader(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Authenticate: ProxyHeader("X-Forwarded-User", netip.MustParsePrefix("127.0.0.0/8"))})
	request := func(remote string, users ...string) int {
		r := httptest.NewRequest("GET", "/crontabs", nil)
		r.RemoteAddr = remote
		for _, user := range users {
			r.Header.Add("X-Forwarded-User", user)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code == 200 && !strings.Contains(w.Body.String(), "Signed in as "+users[0]) {
			t.Errorf("the page does not name %s", users[0])
		}
		return w.Code
	}
	got := []int{
		request("127.0.0.1:1", "ada"), request("[::ffff:127.0.0.1]:1", "ada"),
		request("10.0.0.1:1", "ada"), request("127.0.0.1:1"), request("127.0.0.1:1", ""), request("127.0.0.1:1", "ada", "eve"),
	}
	if diff := cmp.Diff([]int{200, 200, 403, 403, 403, 403}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Another site cannot make a browser change something.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	form := url.Values{"task": {"a"}, "payload": {"{}"}}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://evil.example"}} {
		if got := s.send(t, "POST", "/add", form, header...); got.StatusCode != http.StatusForbidden {
			t.Errorf("%v: %s", header, got.Status)
		}
	}
	if got := s.send(t, "POST", "/add", form, "Sec-Fetch-Site", "same-origin"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("same origin: %s\n%s", got.Status, got.text)
	}
	page, err := s.client.ListJobs(t.Context(), filterAll, nil)
	if err != nil || len(page.Jobs) != 1 {
		t.Errorf("there are %d jobs, want 1: %v", len(page.Jobs), err)
	}
}

// Nothing inline is allowed, and nothing is inline.
func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.client.AddJob(t.Context(), "a_task", nil, nil)
	for _, path := range []string{"/", "/jobs", "/jobs/1", "/queues", "/tasks", "/workers", "/crontabs", "/add", "/operations", "/nowhere"} {
		got := s.send(t, "GET", path, nil)
		csp := got.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; style-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		lacks(t, got.text, "<style", " style=", "onclick", "javascript:", "http://", "https://")
		if n := strings.Count(got.text, "<script"); n != strings.Count(got.text, "<script src=") {
			t.Errorf("%s has a script of its own", path)
		}
	}
}

// The body of a request is bounded.
func TestLargeBody(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	got := s.send(t, "POST", "/add", url.Values{"task": {"a"}, "payload": {`"` + strings.Repeat("x", maxBody) + `"`}})
	if got.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%s", got.Status)
	}
}

// The handler works under any prefix: every link on every page stays below it.
func TestPrefix(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.client.AddJob(t.Context(), "a_task", nil, nil)
	mux := http.NewServeMux()
	mux.Handle("/deep/queue/", http.StripPrefix("/deep/queue", s.Handler))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	pages := []string{"", "jobs", "jobs/1", "tasks"}
	for _, page := range pages {
		r := httptest.NewRequest("GET", "/deep/queue/"+page, nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("%s: %d", page, w.Code)
		}
		base, err := url.Parse("http://localhost/deep/queue/" + page)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(w.Body.String(), `<base href="`)
		href, _, _ := strings.Cut(rest, `"`)
		if got := base.ResolveReference(&url.URL{Path: href}).Path; got != "/deep/queue/" {
			t.Errorf("the base of %q is %q", page, got)
		}
	}
	r := httptest.NewRequest("GET", "/deep/queue/", nil)
	r.URL.Path, r.RequestURI = "", "/deep/queue?x=1"
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != "queue/" {
		t.Errorf("without the slash: %d to %q", w.Code, w.Header().Get("Location"))
	}
}

// The actions are those of the routes.
func TestActions(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	used := map[Action]bool{}
	for _, route := range s.patterns {
		used[route.action] = true
	}
	for _, action := range Actions {
		if !used[action] {
			t.Errorf("no route has the action %s", action)
		}
	}
	if len(used) != len(Actions) {
		t.Errorf("%d actions are used, %d are known", len(used), len(Actions))
	}
}
