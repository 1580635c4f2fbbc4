package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/migrations"
	"github.com/gwadmin/gwadmin/ui"
)

// fillRiver adds as many jobs to River's table, the same share of them in each state and of
// as many kinds. The indexes of payloads and metadata, which take most of the time, are left
// out: neither page searches by them.
const fillRiver = `
	insert into public.river_job (state, attempt, max_attempts, created_at, finalized_at, scheduled_at, priority, args, kind, queue, tags)
	select
		(case when h %% 50 = 1 then 'discarded' when h %% 10 = 2 then 'retryable' when h / 13 %% 6 > 0 then 'scheduled' else 'available' end)::public.river_job_state,
		case when h %% 50 = 1 then 25 when h %% 10 = 2 then 1 + h / 17 %% 5 else 0 end,
		25,
		now() - (%[1]d - i) * interval '10 milliseconds',
		case when h %% 50 = 1 then now() end,
		now() + (h / 13 %% 2592000 - 432000) * interval '1 second',
		1 + h / 11 %% 4,
		('{"n":' || i || ',"text":"a short text that stands for a payload"}')::jsonb,
		'task_' || 1 + h / 7 %% 3000,
		'default',
		'{}'
	from generate_series($1::int, $2::int) as i
	cross join lateral (select hashint8extended(i, 1) & 1152921504606846975) as hash (h)`

// page is the awkward database of the pages: 3 000 tasks and 100 000 queues.
func page() recipe {
	r := recipe{name: "page", jobs: largeTable(), alone: true, river: true, tasks: 3000, queues: 100_000, fillers: 16}
	if testing.Short() {
		r.queues = 2000
	}
	return r
}

// BenchmarkPage requests pages of the admin page, from the request to the last byte, beside
// their limits, and what River UI asks its server for to show the same on a table of the
// same size.
func BenchmarkPage(b *testing.B) {
	d := theSuite(b).database(b, page())
	pool := poolOf(b, d, 8)
	migrator, err := migrations.New(pool, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := migrator.Indexes().Add(b.Context(), migrations.IndexNames(), nil); err != nil {
		b.Fatal(err)
	}
	if err := d.exec(b.Context(), ours,
		"update graphile_worker._private_jobs set locked_at = now(), locked_by = 'pool-a' where id % (select max(id) / 200 from graphile_worker._private_jobs) = 1",
		"vacuum (analyze) graphile_worker._private_jobs"); err != nil {
		b.Fatal(err)
	}
	fmt.Printf("# database page has its indexes\n")
	river := ""
	if d.river != nil {
		if err := d.exec(b.Context(), ours, "drop index if exists public.river_job_args_index, public.river_job_metadata_index"); err != nil {
			b.Fatal(err)
		}
		filling := poolOf(b, d, page().fillers)
		if err := inRanges(largeTable(), page().fillers, func(first, last int) error {
			_, err := filling.Exec(b.Context(), fmt.Sprintf(fillRiver, largeTable()), first, last)
			return err
		}); err != nil {
			b.Fatal(err)
		}
		if err := d.exec(b.Context(), ours, "vacuum (analyze) public.river_job"); err != nil {
			b.Fatal(err)
		}
		if err := d.river.call("serve", params{}, &river); err != nil {
			b.Fatal(err)
		}
	}
	client := admin.New(pool)
	handler := ui.New(client, nil)
	site := httptest.NewServer(handler)
	b.Cleanup(func() {
		site.CloseClientConnections()
		site.Close()
		handler.Close(context.WithoutCancel(b.Context()))
	})
	if err := whole(handler); err != nil {
		b.Fatal(err)
	}
	const list, overview = 150 * time.Millisecond, 300 * time.Millisecond
	for _, p := range []struct {
		name, path string
		limit      time.Duration
		river      string
	}{
		{"overview", "?", overview, "api/states?"},
		{"jobs", "jobs?q=", list, "api/jobs?limit=50&state=scheduled"},
		{"permafailed", "jobs?q=state:permafailed", list, "api/jobs?limit=50&state=discarded"},
		{"a task", "jobs?q=task:task_7", list, "api/jobs?limit=50&state=scheduled&kinds=task_7"},
		{"ready, by run_at", "jobs?q=state:ready&sort=run_at", list, "api/jobs?limit=50&state=available"},
		{"running", "jobs?q=state:running", list, ""},
		{"a queue", "jobs?q=queue:queue_7", list, ""},
		{"a worker", "jobs?q=worker:pool-a", list, ""},
		{"a key", "jobs?q=key:key-*", list, ""},
		{"an id", "jobs?q=4711", list, ""},
		{"newest", "jobs?q=&sort=-created_at", list, ""},
		{"a range of run_at", "jobs?q=run:-1h..now&sort=run_at", list, ""},
		{"by priority", "jobs?q=&sort=-priority", list, ""},
		{"by attempts", "jobs?q=&sort=attempts", list, ""},
		{"a job", "jobs/{id}?", list, "api/jobs/{id}?"},
		{"queues", "queues?only=", list, "api/queues?limit=100"},
		{"tasks", "tasks?", list, ""},
		{"workers", "workers?", list, ""},
	} {
		b.Run(p.name, func(b *testing.B) {
			c := comparison{
				work: "page: " + p.name,
				size: count(largeTable()) + " jobs",
				most: 50,
				ways: []way{
					{"page", requests(site.URL + "/" + p.path)},
					{"limit", func(n int) (time.Duration, error) { return time.Duration(n) * p.limit, nil }},
				},
				ratios: []ratio{{"page", "limit", pageTime}},
			}
			if p.river != "" && river != "" {
				c.ways = append(c.ways, way{"River UI", requests(river + p.river)})
				c.ratios = append(c.ratios, ratio{"page", "River UI", none})
			}
			c.compare(b)
		})
	}
	b.Run("first overview", func(b *testing.B) {
		comparison{
			work: "page: overview of a server that has just started",
			size: count(largeTable()) + " jobs",
			most: 3,
			ways: []way{
				{"page", func(n int) (took time.Duration, err error) {
					for range n {
						handler := ui.New(client, nil)
						site := httptest.NewServer(handler)
						once, err := requests(site.URL + "/?")(1)
						site.Close()
						handler.Close(b.Context())
						if err != nil {
							return 0, err
						}
						took += once
					}
					return took, nil
				}},
				{"limit", func(n int) (time.Duration, error) { return time.Duration(n) * overview, nil }},
			},
			ratios: []ratio{{"page", "limit", pageTime}},
		}.compare(b)
	})
}

// whole waits until every part of the overview has been read once.
func whole(handler http.Handler) error {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code == http.StatusOK && !strings.Contains(w.Body.String(), "data-reload") {
			return nil
		}
	}
	return errors.New("the overview does not become whole")
}

var request atomic.Int64

// requests requests an address n times, each with another parameter and another job's id, so
// that no request gets what another one has read. The workers and the snapshot are shared.
func requests(address string) func(n int) (time.Duration, error) {
	return func(n int) (time.Duration, error) {
		return concurrently(1, n, func() error {
			n := request.Add(1)
			id := fmt.Sprint(1 + n*7919%int64(largeTable()))
			r, err := http.NewRequest("GET", fmt.Sprintf("%s&request=%d", strings.ReplaceAll(address, "{id}", id), n), nil)
			if err != nil {
				return err
			}
			r.Header.Set("Accept-Encoding", "gzip")
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err == nil && (response.StatusCode != http.StatusOK || len(text) == 0) {
				err = fmt.Errorf("%s: %s\n%.300s", address, response.Status, text)
			}
			return err
		})
	}
}
