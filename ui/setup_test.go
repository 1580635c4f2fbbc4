package ui

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/observe"
)

// A site is a handler on a database of its own, and a server for it.
type site struct {
	*Handler

	pool   *pgxpool.Pool
	client *admin.Client
	server *httptest.Server
	log    *strings.Builder
}

func newSite(t *testing.T, options Options) *site {
	t.Helper()
	return serveSite(t, pgtest.Pool(t, testdb.Ours("")), options)
}

func serveSite(t *testing.T, pool *pgxpool.Pool, options Options) *site {
	t.Helper()
	s := &site{pool: pool, log: &strings.Builder{}}
	s.client = admin.New(s.pool)
	if options.Logger == nil {
		options.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	}
	if options.Observer == nil {
		options.Observer = waitingObserver(t, s.client)
	}
	s.Handler = New(s.client, &options)
	s.server = httptest.NewServer(s.Handler)
	t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
		s.observer.Close()
	})
	return s
}

// waitingObserver is the observer of the pages, but waits for the first snapshot.
func waitingObserver(t *testing.T, client *admin.Client) *observe.Observer {
	t.Helper()
	o, err := observe.New(client.DB(), &observe.Options{Queues: true, ErrorShapes: errorKinds, Fast: observe.Pace{Interval: pulseEvery}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// An answer is what the server said.
type answer struct {
	*http.Response

	text string
}

// send makes a request and does not follow redirections.
func (s *site) send(t *testing.T, method, path string, form url.Values, header ...string) answer {
	t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response, string(text)}
}

// page gets a page, which must be there.
func (s *site) page(t *testing.T, path string) string {
	t.Helper()
	got := s.send(t, "GET", path, nil)
	if got.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s\n%s", path, got.Status, got.text)
	}
	return got.text
}

func (s *site) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := s.pool.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func (s *site) addJobs(t *testing.T, specs ...admin.JobSpec) []admin.Job {
	t.Helper()
	jobs, err := s.client.AddJobs(t.Context(), specs, nil)
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the page has no %q:\n%.6000s", part, text)
		}
	}
}

func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("the page has %q", part)
		}
	}
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// serve answers a request from this machine.
func serve(h http.Handler, method, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, path, body)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
