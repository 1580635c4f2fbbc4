package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/internal/promtool"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

const (
	metricsBegin = "<!-- The metrics: written by go test ./cmd/gwadmin -run MetricsOnce -update -->\n"
	metricsEnd   = "<!-- The end of the metrics -->\n"
)

// The metrics are printed in Prometheus' format, and promtool has nothing against them.
func TestMetricsOnce(t *testing.T) {
	t.Parallel()
	s := ours(t)
	s.exec(testdb.Kinds)
	s.exec("vacuum analyze graphile_worker._private_jobs")
	for !value[bool](s, "select last_vacuum is not null from pg_catalog.pg_stat_all_tables where relname = '_private_jobs'") {
		time.Sleep(20 * time.Millisecond) // until PostgreSQL 14 the statistics come later
	}
	got := s.run("metrics", "--once", "--queues", "--top", "1")
	checkCode(t, exitOK, got)
	check(t, "stderr", "", got.Stderr)
	promtool := exec.Command(promtool.Find(t, "promtool"), "check", "metrics")
	promtool.Stdin = strings.NewReader(got.Stdout)
	if out, err := promtool.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	section(t, "../../docs/observing.md", metricsBegin, metricsEnd, metricsTable(got.Stdout))
	// The values differ from run to run; the package's tests compare them.
	values := regexp.MustCompile(`(?m)^([^#].*) \S+$`)
	goVersion := regexp.MustCompile(`"go1[^"]+"`)
	golden(t, "metrics/once.txt", goVersion.ReplaceAllString(values.ReplaceAllString(got.Stdout, "$1"), `"go1"`))
}

// metricsTable is the table of the metrics in docs.
func metricsTable(metrics string) string {
	table := "\n| metric | labels | what it is |\n|---|---|---|\n"
	for _, found := range regexp.MustCompile(`(?m)^# HELP (\S+) (.*)$`).FindAllStringSubmatch(metrics, -1) {
		name, help := found[1], found[2]
		labels := ""
		if series := regexp.MustCompile(`(?m)^` + name + `\{(.*)\} \S+$`).FindStringSubmatch(metrics); series != nil {
			labels = strings.Join(regexp.MustCompile(`\w+="`).FindAllString(series[1], -1), ", ")
			labels = strings.ReplaceAll(labels, `="`, "")
		}
		table += fmt.Sprintf("| `%s` | %s | %s |\n", name, labels, help)
	}
	return table + "\n"
}

// What is not there, or wrong input, is said before anything is served.
func TestMetricsRefused(t *testing.T) {
	t.Parallel()
	s := ours(t)
	var text strings.Builder
	for _, args := range [][]string{
		{"--once", "--schema", "nothing"},
		{"--count", "roughly"},
		{"--count-every", "0"},
		{"--top", "0"},
		{"--once", "-o", "json"},
		{"--listen", "127.0.0.1:none"},
	} {
		got := s.run(append([]string{"metrics"}, args...)...)
		text.WriteString("gwadmin metrics " + strings.Join(args, " ") + "\n" + got.transcript())
	}
	off := gwadmin(t, []string{"DATABASE_URL=postgres://u:secret@127.0.0.1:1/db"}, "", "metrics", "--once")
	text.WriteString("without a server\n" + off.transcript())
	replica := gwadmin(t, s.env("GWADMIN_REPLICA_URL=postgres://u:secret@127.0.0.1:port/db"), "", "metrics", "--once")
	text.WriteString("a replica's string that is wrong\n" + replica.transcript())
	golden(t, "metrics/refused.txt", text.String())
	if strings.Contains(text.String(), "secret") {
		t.Error("it shows a password")
	}
}

// get returns the status and the body of an answer.
func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// The server answers until it is told to end, which is no error.
func TestMetricsServe(t *testing.T) {
	t.Parallel()
	s := ours(t)
	s.exec(testdb.Kinds)
	p := start(t, s.env(), nil, "metrics", "--listen", "127.0.0.1:0")
	p.expect("serving on http://")
	_, base, _ := strings.Cut(strings.TrimSpace(p.stderr.String()), "serving on ")
	scrape := func(path string) (int, string) {
		t.Helper()
		return get(t, http.DefaultClient, base+path)
	}
	type answer struct {
		Code int
		Body string
	}
	ask := func(path string) answer {
		code, body := scrape(path)
		return answer{code, body}
	}
	check(t, "livez", answer{200, "ok\n"}, ask("/livez"))
	check(t, "readyz", answer{200, "ok\n"}, ask("/readyz"))
	check(t, "another path", answer{404, "404 page not found\n"}, ask("/"))
	code, body := scrape("/metrics")
	if code != 200 || !strings.Contains(body, "\ngraphile_worker_jobs{state=\"permafailed\"} 4\n") || !strings.Contains(body, "\ngwadmin_up 1\n") {
		t.Errorf("metrics: %d\n%s", code, body)
	}

	s.exec("alter schema graphile_worker rename to elsewhere")
	missing := `check: schema of Graphile Worker is not installed: schema "graphile_worker": install it with gwadmin migrate up or graphile-worker --schema-only`
	check(t, "readyz without the schema", answer{503, missing + "\n"}, ask("/readyz"))
	check(t, "livez without the schema", answer{200, "ok\n"}, ask("/livez"))
	s.exec("alter schema elsewhere rename to graphile_worker")
	check(t, "readyz again", answer{200, "ok\n"}, ask("/readyz"))

	p.interrupt()
	got := p.wait()
	checkCode(t, exitOK, got)
	check(t, "stderr", "serving on "+base+"\nreadyz: "+missing+"\nreadyz: works again\n", got.Stderr)
}

// Without the database the server starts, says that it is not ready, and does not say where
// the database would be.
func TestMetricsDown(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"DATABASE_URL=postgres://u:secret@127.0.0.1:1/db"}, nil, "metrics", "--listen", "127.0.0.1:0")
	p.expect("serving on http://")
	_, base, _ := strings.Cut(strings.TrimSpace(p.stderr.String()), "serving on ")
	var all bytes.Buffer
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/metrics": 200} {
		response, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != want {
			t.Errorf("%s: %d, %v", path, response.StatusCode, err)
		}
		all.Write(body)
	}
	for text, want := range map[string]bool{"\ngwadmin_up 0\n": true, "cannot connect to the database\n": true, "secret": false, "127.0.0.1:1": false, "graphile_worker_jobs": false} {
		if strings.Contains(all.String(), text) != want {
			t.Errorf("%q: want %t\n%s", text, want, all.String())
		}
	}
	p.expect("readyz: check: failed to connect")
	p.interrupt()
	got := p.wait()
	checkCode(t, exitOK, got)
	if strings.Contains(got.Stderr, "secret") {
		t.Errorf("it shows a password: %s", got.Stderr)
	}
}
