package check

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/promtool"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

func compose(t testing.TB, file string, env ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{file}, cli.WithEnv(env), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

// The file is what docker compose takes, and all its services run here by hand, but for
// PostgreSQL and Prometheus, on ports and a database of the test's.
func TestCompose(t *testing.T) {
	t.Parallel()
	const file = "../compose/docker-compose.yml"
	if _, err := compose(t, file); err == nil || !strings.Contains(err.Error(), "POSTGRES_PASSWORD") {
		t.Errorf("without a password: %v", err)
	}
	project, err := compose(t, file, "POSTGRES_PASSWORD=secret")
	if err != nil {
		t.Fatal(err)
	}
	const url = "postgres://postgres:secret@postgres:5432/postgres?sslmode=disable"
	for _, name := range []string{"migrate", "worker", "ui", "metrics"} {
		service := project.Services[name]
		if got := service.Environment["DATABASE_URL"]; got == nil || *got != url {
			t.Errorf("%s has the database %v", name, got)
		}
		want := map[string]string{"postgres": types.ServiceConditionHealthy}
		if name != "migrate" {
			want = map[string]string{"migrate": types.ServiceConditionCompletedSuccessfully}
		}
		got := map[string]string{}
		for on, dependency := range service.DependsOn {
			got[on] = dependency.Condition
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s depends: -want +got\n%s", name, diff)
		}
		if name != "worker" {
			if diff := cmp.Diff("ghcr.io/gwadmin/gwadmin:"+chartRelease(t), service.Image); diff != "" {
				t.Errorf("%s: -want +got\n%s", name, diff)
			}
		}
	}
	for _, service := range project.Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s can be reached from other machines", service.Name)
			}
		}
	}

	database, dir := pgtest.URL(t, nil), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if got := gwadmincmd.Run(ctx, t, database, project.Services["migrate"].Command...); got.Code != 0 {
		t.Fatalf("migrate: %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	added := gwadmincmd.Run(ctx, t, database, "jobs", "add", "hello", `{"name": "Ada"}`, "--yes")
	if added.Code != 0 {
		t.Fatalf("jobs add: %d\n%s%s", added.Code, added.Stdout, added.Stderr)
	}

	// The worker: npx, and then the command of graphile-worker.
	worker := project.Services["worker"]
	newest := upstream.Versions[len(upstream.Versions)-1]
	if diff := cmp.Diff(types.ShellCommand{"npx", "--yes", "graphile-worker@" + newest}, worker.Command[:3]); diff != "" {
		t.Errorf("worker: -want +got\n%s", diff)
	}
	if worker.Volumes[0].Target != worker.WorkingDir+"/tasks" {
		t.Errorf("the worker's tasks are in %s, and it looks in %s", worker.Volumes[0].Target, worker.WorkingDir)
	}
	upstream.Ensure(t)
	cmd, err := upstream.CLI(ctx, newest, database, append(worker.Command[3:], "--once")...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Dir = filepath.Dir(worker.Volumes[0].Source)
	if got := gwadmincmd.Finish(t, cmd); got.Code != 0 || !strings.Contains(got.Stdout+got.Stderr, "Hello, Ada!") {
		t.Errorf("worker: %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}

	// The page asks for a user of the file, and the metrics are those of the database.
	hash, err := bcrypt.GenerateFromPassword([]byte("pass"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(dir, "users")
	write(t, users, fmt.Sprintf("ada:%s\n", hash))
	page := serve(ctx, t, database, "0.0.0.0:7070", strings.NewReplacer("/run/secrets/users", users), project.Services["ui"].Command)
	metrics := serve(ctx, t, database, "0.0.0.0:9840", strings.NewReplacer(), project.Services["metrics"].Command)
	if status := get(t, "http://"+page); status != http.StatusUnauthorized {
		t.Errorf("the page answers %d to nobody", status)
	}
	if status := get(t, "http://ada:pass@"+page); status != http.StatusOK {
		t.Errorf("the page answers %d to a user", status)
	}
	if status := get(t, "http://"+metrics+"/metrics"); status != http.StatusOK {
		t.Errorf("the metrics answer %d", status)
	}
}

// serve runs a service's command on a free port of this machine, in place of the address that
// it has in its container, and returns the address when it answers.
func serve(ctx context.Context, t testing.TB, database, listen string, replace *strings.Replacer, command []string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	args := make([]string, len(command))
	found := false
	for i, arg := range command {
		if args[i] = replace.Replace(arg); arg == listen {
			args[i], found = address, true
		}
	}
	if !found {
		t.Fatalf("%v does not listen on %s", command, listen)
	}
	cmd := exec.CommandContext(ctx, gwadmincmd.File(t), args...)
	cmd.Env = gwadmincmd.Env("DATABASE_URL=" + database)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
			return address
		}
		select {
		case <-ended:
			t.Fatalf("gwadmin %q ended: %s", args, &said)
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func get(t testing.TB, url string) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// Prometheus takes its configuration, with the alerts where the container has them.
func TestComposePrometheus(t *testing.T) {
	t.Parallel()
	project, err := compose(t, "../compose/docker-compose.yml", "POSTGRES_PASSWORD=secret")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copied := 0
	for _, volume := range project.Services["prometheus"].Volumes {
		if name, ok := strings.CutPrefix(volume.Target, "/etc/prometheus/"); ok && volume.ReadOnly {
			write(t, filepath.Join(dir, name), read(t, volume.Source))
			copied++
		}
	}
	out, err := exec.Command(promtool.Find(t, "promtool"), "check", "config", filepath.Join(dir, "prometheus.yml")).CombinedOutput()
	if err != nil || copied != 2 || !strings.Contains(string(out), "rule files found") {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	if _, port, _ := strings.Cut(read(t, "../compose/prometheus.yml"), "metrics:"); !strings.HasPrefix(port, "9840") {
		t.Errorf("Prometheus does not scrape the service metrics")
	}
}
