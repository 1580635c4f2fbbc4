package check

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batch "k8s.io/api/batch/v1"

	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
)

const (
	chart  = "../helm/gwadmin"
	values = "../helm/testdata/values"
	golden = "../helm/testdata/golden"
)

// update writes the golden manifests, by helm.
var update = flag.Bool("update", false, "write the golden manifests of the chart, by GWADMIN_HELM")

// helm runs the helm that GWADMIN_HELM names. Without it the test is skipped: it takes minutes
// to build.
func helm(t testing.TB, args ...string) gwadmincmd.Result {
	t.Helper()
	program := os.Getenv("GWADMIN_HELM")
	if program == "" {
		t.Skip("GWADMIN_HELM does not name helm: see make deploy-check")
	}
	cmd := exec.Command(program, args...)
	dir := t.TempDir()
	cmd.Env = gwadmincmd.Env("HELM_CONFIG_HOME="+dir, "HELM_CACHE_HOME="+dir, "HELM_DATA_HOME="+dir)
	return gwadmincmd.Finish(t, cmd)
}

// chartDigest changes with every file of the chart.
func chartDigest(t testing.TB) string {
	t.Helper()
	var all bytes.Buffer
	for _, file := range files(t, chart, ".yaml", ".yml", ".tpl", ".txt", ".json", ".md", ".helmignore") {
		fmt.Fprintf(&all, "%s\n%s\n", filepath.ToSlash(file), strings.ReplaceAll(read(t, file), "\r\n", "\n"))
	}
	return fmt.Sprintf("%x", sha256.Sum256(all.Bytes()))
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
		want := fmt.Sprintf("# helm template queue gwadmin --values %s, of the chart %s\n%s", filepath.Base(file), chartDigest(t), got.Stdout)
		name := filepath.Join(golden, filepath.Base(file))
		if *update {
			write(t, name, want)
		} else if diff := cmp.Diff(want, read(t, name)); diff != "" {
			t.Errorf("%s is stale: -want +got\n%s", name, diff)
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

// The golden manifests are those of this chart, are what Kubernetes' API knows, and belong
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
	digest := chartDigest(t)
	for _, file := range files(t, golden, ".yaml") {
		text := read(t, file)
		if first, _, _ := strings.Cut(text, "\n"); !strings.HasSuffix(first, digest) {
			t.Errorf("%s is not of this chart: run make deploy-check UPDATE=-update, and read the difference", file)
		}
		objects := decode(t, text)
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
