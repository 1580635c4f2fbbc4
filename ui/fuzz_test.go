package ui

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// FuzzRequest sends any query and form to every route that ends by itself. The page answers,
// or says what is wrong with the request.
func FuzzRequest(f *testing.F) {
	pool := pgtest.Pool(f, testdb.Ours(""))
	client := admin.New(pool)
	if _, err := client.AddJob(f.Context(), "send", map[string]any{"<b>": []int{1}}, &admin.AddJobOptions{QueueName: new("q"), JobKey: new("k")}); err != nil {
		f.Fatal(err)
	}
	var log strings.Builder
	handler := New(client, &Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))})
	f.Cleanup(func() { handler.observer.Close() })
	routes := slices.DeleteFunc(slices.Clone(handler.patterns), func(r route) bool { return r.pattern == "GET /events" })
	routes = append(routes, route{pattern: "GET /static/{id}"}, route{pattern: "GET /{id}"})
	for _, query := range []string{
		"", "q=state:ready", "q=42&after=x&sort=run_at&columns=id,task", "sort=nope&desc=1", "task=send&payload={", "id=1&id=x", "ids=1,2&verb=retry", "%zz=%", "q=\x00", "q=%FF",
		"task=send&payload=%7B%7D&run_at=%2B5m&priority=99999999999999999999", "queue=q&reason=r", "worker=w", "field=task&q=s", "page=-1&limit=9223372036854775808", "action=retry&n=1&q=task:send",
	} {
		for i := range routes {
			f.Add(uint8(i), "1", query, query)
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, id, query, form string) {
		method, path, _ := strings.Cut(strings.TrimSuffix(routes[int(n)%len(routes)].pattern, "{$}"), " ")
		var body io.Reader
		if method == "POST" {
			body = strings.NewReader(form)
		}
		r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost/", body)
		r.URL = &url.URL{Path: strings.ReplaceAll(path, "{id}", id), RawPath: strings.ReplaceAll(path, "{id}", url.PathEscape(id)), RawQuery: query}
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		log.Reset()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s?%s with %q: %d\n%s\n%s", method, path, query, form, w.Code, w.Body, &log)
		}
	})
}

// FuzzPayload shows any payload as a tree, which is there for all JSON.
func FuzzPayload(f *testing.F) {
	for _, payload := range []string{
		`{"a":[1,2.50,-0e-9,12345678901234567890],"b":null,"c":true,"":{"":""}}`, `"\ud800<script>"`, "[]", " 1 ", "{} {}", `{"a":1,"a":2}`, "",
		strings.Repeat("[", 200) + strings.Repeat("]", 200), "[" + strings.Repeat("0,", 300) + "0]", "\xff", "[1,]", "[redacted]", `{"a" 1}`,
	} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		root := tree(payload)
		_ = indented(payload)
		if (root != nil) != json.Valid(payload) {
			t.Fatalf("%q is JSON: %v, and has a tree: %v", payload, json.Valid(payload), root != nil)
		}
		if nodes := countNodes(root); nodes > mostNodes {
			t.Errorf("%d nodes", nodes)
		}
	})
}

func countNodes(n *node) int {
	if n == nil {
		return 0
	}
	count := 1
	for i := range n.Children {
		count += countNodes(&n.Children[i])
	}
	return count
}
