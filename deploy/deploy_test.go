// Package deploy tests what is deployed beside gwadmin: the alerts and the dashboard.
package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/internal/promtool"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/migrations"
)

// The alerts are valid, and the tests beside them pass. Every alert has one in which it fires.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml", "cron_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool.Find(t, "promtool"), args...)
		cmd.Dir = "prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	rules, tests := read(t, "prometheus/rules.yml"), read(t, "prometheus/rules_test.yml")+read(t, "prometheus/cron_test.yml")
	alerts := names(rules, `- alert: (\w+)`)
	fire := names(tests, `alertname: (\w+)\n +eval_time: \S+\n +exp_alerts:\n`)
	rest := names(tests, `\{alertname: (\w+), eval_time: \S+ exp_alerts: \[\]\}`)
	if diff := cmp.Diff(alerts, fire); diff != "" || len(alerts) == 0 {
		t.Errorf("alerts that fire in a test: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(alerts, rest); diff != "" {
		t.Errorf("alerts that do not fire in a test: -want +got\n%s", diff)
	}
}

// names are the different first groups of all matches.
func names(text, pattern string) []string {
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A real Prometheus scrapes gwadmin metrics. Every query of the dashboard then finds series,
// and every alert can be evaluated.
func TestDashboard(t *testing.T) {
	t.Parallel()
	program := promtool.Find(t, "prometheus")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	p := startPrometheus(ctx, t, program, startMetrics(ctx, t, queue(ctx, t)))

	const scrapes = 3
	for len(p.query(fmt.Sprintf("count_over_time(gwadmin_up[5m]) >= %d", scrapes))) == 0 {
		time.Sleep(100 * time.Millisecond)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/gwadmin.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$instance", ".*", "$target", ".*", "$__rate_interval", "1m")
	queries := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries++
			expr := variables.Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: %s has a variable that the test does not know", panel.Title, target.Expr)
			} else if len(p.query(expr)) == 0 {
				t.Errorf("%s: no series for %s", panel.Title, expr)
			}
		}
	}
	if queries == 0 {
		t.Error("the dashboard has no queries")
	}
	type result struct{ Health, LastError string }
	var rules struct {
		Groups []struct {
			Rules []struct {
				Name string
				result
			}
		}
	}
	p.get("/api/v1/rules", &rules)
	evaluated := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			evaluated++
			if diff := cmp.Diff(result{Health: "ok"}, rule.result); diff != "" {
				t.Errorf("%s: -want +got\n%s", rule.Name, diff)
			}
		}
	}
	if want := len(names(read(t, "prometheus/rules.yml"), `- alert: (\w+)`)); evaluated != want {
		t.Errorf("%d rules, want %d", evaluated, want)
	}
	// An alert on a metric that does not exist would never fire.
	text := read(t, "prometheus/rules.yml")
	for _, name := range names(text, `\b((?:graphile_worker|gwadmin)_\w+)`) {
		if len(p.query(name)) == 0 {
			t.Errorf("the alerts use %s, which does not exist", name)
		}
	}
}

// queue starts a server with a queue that autovacuum has seen, and returns its URL.
func queue(ctx context.Context, t *testing.T) string {
	t.Helper()
	installation, err := pgserver.Find(ctx, pgserver.FindOptions{Fetch: true})
	if err != nil {
		t.Fatal(err)
	}
	server, err := pgserver.Start(ctx, pgserver.Options{Installation: installation, Settings: map[string]string{
		"autovacuum_naptime": "1s", "autovacuum_vacuum_threshold": "1", "autovacuum_vacuum_scale_factor": "0",
		"autovacuum_analyze_threshold": "1", "autovacuum_analyze_scale_factor": "0",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	url := server.URL("postgres")
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	migrator, err := migrations.New(pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Up(ctx, nil); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{testdb.Kinds, "update graphile_worker._private_jobs set updated_at = now()"} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	for seen := false; !seen; time.Sleep(100 * time.Millisecond) {
		err := pool.QueryRow(ctx, `select last_autovacuum is not null and last_autoanalyze is not null
			from pg_stat_all_tables where relname = '_private_jobs'`).Scan(&seen)
		if err != nil {
			t.Fatal(err)
		}
	}
	// The dashboard shows when a table was last vacuumed by hand, too.
	if _, err := pool.Exec(ctx, "vacuum graphile_worker._private_jobs"); err != nil {
		t.Fatal(err)
	}
	return url
}

// startMetrics starts gwadmin metrics, and returns its address.
func startMetrics(ctx context.Context, t *testing.T, database string) string {
	t.Helper()
	address := freeAddress(t)
	cmd := exec.CommandContext(ctx, gwadmincmd.File(t), "metrics", "--queues", "--listen", address)
	cmd.Env = gwadmincmd.Env("DATABASE_URL=" + database)
	run(t, cmd)
	waitFor(ctx, t, "http://"+address+"/readyz")
	return address
}

// prometheus is a running Prometheus.
type prometheus struct {
	testing.TB
	ctx  context.Context
	base string
}

// startPrometheus starts a Prometheus that scrapes an address twice a second.
func startPrometheus(ctx context.Context, t *testing.T, program, scraped string) *prometheus {
	t.Helper()
	rules, err := filepath.Abs("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [%q]
scrape_configs:
  - job_name: gwadmin
    static_configs: [{targets: [%q]}]
`, rules, scraped)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	run(t, exec.CommandContext(ctx, program, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn"))
	waitFor(ctx, t, "http://"+address+"/-/ready")
	return &prometheus{t, ctx, "http://" + address}
}

// query returns the series that an expression finds now.
func (p *prometheus) query(expr string) []any {
	p.Helper()
	var found struct{ Result []any }
	p.get("/api/v1/query?query="+url.QueryEscape(expr), &found)
	return found.Result
}

// get reads the data of an answer of the API.
func (p *prometheus) get(path string, data any) {
	p.Helper()
	request, err := http.NewRequestWithContext(p.ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		p.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.Fatal(err)
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		p.Fatalf("%s: %v, %s", path, err, answer.Error)
	}
}

// run starts a program, which ends with the test.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), said.String())
		}
	})
}

// waitFor waits until an address answers that all is well.
func waitFor(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	for {
		response, err := http.Get(address)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", address, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
