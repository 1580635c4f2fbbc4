package ui

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// A recorder counts the statements that are sent, by the names of their queries.
type recorder struct {
	mu    sync.Mutex
	sent  map[string]int
	texts map[string]string
}

var queryName = regexp.MustCompile(`-- name: (\w+)`)

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	name := data.SQL
	if found := queryName.FindStringSubmatch(data.SQL); found != nil {
		name = found[1]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent[name]++
	r.texts[name] = data.SQL
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// reset returns what was sent, and forgets it.
func (r *recorder) reset() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = map[string]int{}
	return sent
}

func recording(t *testing.T) (*recorder, *pgxpool.Pool) {
	r := &recorder{sent: map[string]int{}, texts: map[string]string{}}
	return r, pgtest.Pool(t, testdb.Ours(""), func(config *pgxpool.Config) { config.ConnConfig.Tracer = r })
}

// The statements of requests, and why each reads a bounded number of rows. Snapshots are read
// in the background.
var bounded = map[string]string{
	"CrontabList":     "the known crontabs",
	"InstallationGet": "the catalog",
	"JobAhead":        "has a limit",
	"JobGet":          "one job",
	"JobHolders":      "the jobs that workers hold; without an index a request does not wait for it",
	"JobList":         "a page; without an index a request does not wait for it",
	"JobTransactions": "one job",
	"QueueNamesFrom":  "has a limit",
	"QueuePage":       "has a limit",
	"RevisionGet":     "one row",
	"ServerBurden":    "has a limit",
	"TaskIdentifiers": "the tasks, of which there are as many as the program has",
	"TimeNow":         "no row",
	"WorkerList":      "the jobs that workers hold; without an index a request does not wait for it",
}

// No request sends a statement that is not known to be bounded.
func TestNoUnboundedCount(t *testing.T) {
	t.Parallel()
	r, pool := recording(t)
	apart := admin.New(pgtest.OpenPool(t, pgtest.Config(t, pool.Config().ConnString())))
	h := New(admin.New(pool), &Options{Observer: waitingObserver(t, apart)})
	t.Cleanup(h.observer.Close)
	if _, err := apart.AddJob(t.Context(), "a", nil, &admin.AddJobOptions{QueueName: new("q")}); err != nil {
		t.Fatal(err)
	}
	for _, route := range h.patterns {
		if method, path, _ := strings.Cut(route.pattern, " "); method == "GET" && path != "/events" {
			serve(h, method, strings.NewReplacer("{$}", "", "{id}", "1").Replace(path), nil)
		}
	}
	for _, path := range []string{"/jobs?q=state%3Aready+queue%3Aq", "/complete?term=queue:", "/complete?term=task:"} {
		serve(h, "GET", path, nil)
	}
	sent := r.reset()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(bounded)), slices.Sorted(maps.Keys(sent))); diff != "" {
		t.Errorf("the statements of requests (-want +got):\n%s", diff)
	}
}

// Twenty tabs that follow the queue cost the database what one does.
func TestTabsShareReads(t *testing.T) {
	t.Parallel()
	const changes = 2
	cost := make(map[int]int)
	for _, tabs := range []int{1, 20} {
		r, pool := recording(t)
		client := admin.New(pool)
		h := New(client, nil)
		server := httptest.NewServer(h)
		t.Cleanup(func() {
			server.CloseClientConnections()
			server.Close()
			h.observer.Close()
		})
		if _, err := h.observer.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		var fetched sync.Map // from a tab to how often it has fetched its page
		for tab := range tabs {
			stream, err := http.Get(server.URL + "/events")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = stream.Body.Close() })
			fetched.Store(tab, 0)
			go func() {
				n := 0
				for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
					if lines.Text() != "event: changed" {
						continue
					}
					page, err := http.Get(server.URL + "/jobs?q=state%3Aready")
					if err != nil {
						t.Errorf("tab %d: %v", tab, err)
						return
					}
					_, _ = io.Copy(io.Discard, page.Body)
					_ = page.Body.Close()
					n++
					fetched.Store(tab, n)
				}
			}()
		}
		change := func() {
			before := maps.Collect(fetched.Range)
			if _, err := client.AddJob(t.Context(), "a", nil, nil); err != nil {
				t.Fatal(err)
			}
			for tab := range tabs {
				for n, _ := fetched.Load(tab); n == before[tab]; n, _ = fetched.Load(tab) {
					if t.Failed() || t.Context().Err() != nil {
						t.FailNow()
					}
					time.Sleep(5 * time.Millisecond)
				}
			}
		}
		change() // all tabs are there
		r.reset()
		for range changes {
			change()
		}
		for _, n := range r.reset() {
			cost[tabs] += n
		}
	}
	t.Logf("%d changes cost %d statements with one tab and %d with twenty", changes, cost[1], cost[20])
	if cost[20] > 3*cost[1] {
		t.Errorf("twenty tabs cost %d statements, one costs %d", cost[20], cost[1])
	}
}
