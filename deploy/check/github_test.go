package check

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
	"github.com/gwadmin/gwadmin/internal/pgtest"
)

// releases serves archives as a release has them. In the place of the command is a script that
// runs the one that was built here.
type releases struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte
	asked []string
}

func newReleases(t testing.TB) *releases {
	t.Helper()
	binary := []byte("#!/bin/sh\nexec '" + gwadmincmd.File(t) + "' \"$@\"\n")
	r := &releases{files: map[string][]byte{}}
	release := chartRelease(t)
	var sums strings.Builder
	for _, target := range []string{"linux_amd64.tar.gz", "linux_arm64.tar.gz", "darwin_arm64.tar.gz", "windows_amd64.zip"} {
		name := "gwadmin_" + release + "_" + target
		archive := pack(t, strings.HasSuffix(target, ".zip"), binary)
		r.files[name] = archive
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(archive), name)
	}
	r.files["checksums.txt"] = []byte(sums.String())
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked = append(r.asked, request.URL.Path)
		dir, name := path.Split(request.URL.Path)
		if content, ok := r.files[name]; ok && dir == "/v"+release+"/" {
			_, _ = w.Write(content)
		} else {
			http.NotFound(w, request)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// requests returns the paths that were asked for since it was called last.
func (r *releases) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}

// pack makes an archive of the command and a file beside it.
func pack(t testing.TB, zipped bool, binary []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	var err error
	if zipped {
		w := zip.NewWriter(&packed)
		for name, content := range map[string][]byte{"README.md": nil, "gwadmin.exe": binary} {
			header := &zip.FileHeader{Name: name, Method: zip.Deflate}
			header.SetMode(0o755)
			file, createErr := w.CreateHeader(header)
			if createErr != nil {
				t.Fatal(createErr)
			}
			if _, err := file.Write(content); err != nil {
				t.Fatal(err)
			}
		}
		err = w.Close()
	} else {
		compressed := gzip.NewWriter(&packed)
		w := tar.NewWriter(compressed)
		for name, content := range map[string][]byte{"README.md": nil, "gwadmin": binary} {
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
		}
		if err = w.Close(); err == nil {
			err = compressed.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// A step is one of an action or of a workflow's job.
type step struct {
	Name, ID, Uses, Shell, Run, If string
	With, Env                      map[string]string
}

// setup runs the steps of the action setup-gwadmin as a runner does, and returns the
// directories that it adds to the PATH.
func setup(t testing.TB, tools string, inputs map[string]string, env ...string) (got gwadmincmd.Result, paths, output string) {
	t.Helper()
	var action struct {
		Inputs map[string]struct{ Default string }
		Runs   struct {
			Using string
			Steps []step
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../github/setup-gwadmin/action.yml")), &action); err != nil {
		t.Fatal(err)
	}
	var expressions []string
	for name, input := range action.Inputs {
		value, ok := inputs[name]
		if !ok {
			value = input.Default
		}
		expressions = append(expressions, "${{ inputs."+name+" }}", value)
	}
	replace := strings.NewReplacer(expressions...)
	dir := t.TempDir()
	here, err := filepath.Abs("../github/setup-gwadmin")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, s := range action.Runs.Steps {
		if s.Run == "" {
			continue
		}
		ran++
		cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", replace.Replace(s.Run))
		cmd.Dir = dir
		cmd.Env = gwadmincmd.Env(append(env, "RUNNER_TOOL_CACHE="+tools, "GITHUB_ACTION_PATH="+here,
			"GITHUB_PATH="+dir+"/path", "GITHUB_OUTPUT="+dir+"/output", "TMPDIR="+dir)...)
		for name, value := range s.Env {
			cmd.Env = append(cmd.Env, name+"="+replace.Replace(value))
		}
		got = gwadmincmd.Finish(t, cmd)
	}
	if ran != 1 {
		t.Fatalf("the action has %d steps that run something, want 1", ran)
	}
	pathText, _ := os.ReadFile(dir + "/path")
	outputText, _ := os.ReadFile(dir + "/output")
	if left, _ := filepath.Glob(dir + "/tmp.*"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	return got, string(pathText), string(outputText)
}

// The action installs a release on each system, once, and nothing whose checksum is wrong.
func TestSetupGwadmin(t *testing.T) {
	t.Parallel()
	r, release := newReleases(t), chartRelease(t)
	for _, tc := range []struct{ version, os, arch, dir, file, archive string }{
		{release, "Linux", "X64", "amd64", "gwadmin", "linux_amd64.tar.gz"},
		{"v" + release, "Linux", "ARM64", "arm64", "gwadmin", "linux_arm64.tar.gz"},
		{release, "macOS", "ARM64", "arm64", "gwadmin", "darwin_arm64.tar.gz"},
		{release, "Windows", "X64", "amd64", "gwadmin.exe", "windows_amd64.zip"},
	} {
		tools := t.TempDir()
		inputs := map[string]string{"version": tc.version, "base-url": r.URL}
		want := []string{"/v" + release + "/checksums.txt", "/v" + release + "/gwadmin_" + release + "_" + tc.archive}
		for range 2 {
			got, paths, output := setup(t, tools, inputs, "RUNNER_OS="+tc.os, "RUNNER_ARCH="+tc.arch)
			if got.Code != 0 {
				t.Fatalf("%s %s: %s%s", tc.os, tc.arch, got.Stdout, got.Stderr)
			}
			dir := filepath.Join(tools, "gwadmin", tc.version, tc.dir)
			if diff := cmp.Diff(dir+"\n", paths); diff != "" {
				t.Errorf("%s: the PATH: -want +got\n%s", tc.os, diff)
			}
			if !strings.HasPrefix(output, "version=gwadmin ") {
				t.Errorf("%s: the output is %q", tc.os, output)
			}
			if _, err := os.Stat(filepath.Join(dir, tc.file)); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(want, r.requests()); diff != "" {
				t.Errorf("%s: requests: -want +got\n%s", tc.os, diff)
			}
			want = nil // the second time it is there
		}
	}
	for _, tc := range []struct{ reason, version, arch, change, says string }{
		{"another checksum", release, "X64", "archive", "nothing was installed"},
		{"no checksum", release, "X64", "sums", "does not have gwadmin_" + release + "_linux_amd64.tar.gz"},
		{"no such release", "0.2.0", "X64", "", "/v0.2.0/checksums.txt"},
		{"no release at all", "../0.1.0", "X64", "", "is no release"},
		{"", "latest", "X64", "", "is no release"},
		{"another processor", release, "RISCV64", "", "there is no release for RISCV64"},
	} {
		r := newReleases(t)
		switch tc.change {
		case "archive":
			r.files["gwadmin_"+release+"_linux_amd64.tar.gz"] = pack(t, false, []byte("#!/bin/sh\necho something else\n"))
		case "sums":
			r.files["checksums.txt"] = bytes.ReplaceAll(r.files["checksums.txt"], []byte("linux_amd64"), []byte("linux_x86"))
		}
		tools := t.TempDir()
		got, paths, _ := setup(t, tools, map[string]string{"version": tc.version, "base-url": r.URL}, "RUNNER_OS=Linux", "RUNNER_ARCH="+tc.arch)
		if got.Code != 1 || !strings.Contains(got.Stdout, "::error") || !strings.Contains(got.Stdout, tc.says) || paths != "" {
			t.Errorf("%s: got %d, %q and the PATH %q, want %q\n%s", tc.reason, got.Code, got.Stdout, paths, tc.says, got.Stderr)
		}
		if installed, _ := filepath.Glob(tools + "/gwadmin/*/*/*"); len(installed) > 0 {
			t.Errorf("%s: it installed %v", tc.reason, installed)
		}
	}
}

// A workflow is one of GitHub's.
type workflow struct {
	Env  map[string]string
	Jobs map[string]struct {
		Env   map[string]string
		Steps []step
	}
}

// team makes a repository with everything that the pipelines look at: the example orders.
func team(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	orders, err := filepath.Abs("../../examples/orders")
	if err != nil {
		t.Fatal(err)
	}
	tracked, err := exec.Command("git", "-C", orders, "ls-files").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(tracked)) {
		text := read(t, filepath.Join(orders, name))
		if name == "go.mod" {
			text = strings.ReplaceAll(text, "=> ../..", "=> "+filepath.Join(orders, "..", ".."))
		}
		write(t, filepath.Join(dir, name), text)
	}
	git(t, dir, "init", "-q")
	commit(t, dir)
	return dir
}

// tool builds one of the project's tools, and returns its file.
func tool(t testing.TB, name string) string {
	t.Helper()
	file, err := exec.Command("go", "tool", "-modfile=../../internal/tools/go.mod", "-n", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(file))
}

// onPath returns the PATH with programs under other names before all others.
func onPath(t testing.TB, programs map[string]string) string {
	t.Helper()
	bin := t.TempDir()
	for name, file := range programs {
		if err := os.Symlink(file, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return "PATH=" + bin + ":" + os.Getenv("PATH")
}

func commit(t testing.TB, dir string) {
	t.Helper()
	git(t, dir, "add", "-A")
	git(t, dir, "-c", "user.name=team", "-c", "user.email=team@example.com", "commit", "-q", "-m", "change")
}

func git(t testing.TB, dir string, args ...string) {
	t.Helper()
	if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

// Each line of the workflow runs, and fails when what it looks at is stale.
func TestWorkflow(t *testing.T) {
	t.Parallel()
	var flow workflow
	if err := yaml.Unmarshal([]byte(read(t, "../github/queue.yml")), &flow); err != nil {
		t.Fatal(err)
	}
	dir, path := team(t), onPath(t, map[string]string{"gwadmin": gwadmincmd.File(t), "sqlc": tool(t, "sqlc")})
	run := func(s step, database string) gwadmincmd.Result {
		t.Helper()
		cmd := exec.Command("bash", "-e", "-c", s.Run)
		cmd.Dir = dir
		cmd.Env = gwadmincmd.Env(path, "DATABASE_URL="+database)
		return gwadmincmd.Finish(t, cmd)
	}
	ran := 0
	for name, job := range flow.Jobs {
		database := ""
		if job.Env["DATABASE_URL"] != "" {
			database = pgtest.URL(t, nil)
		}
		for _, s := range job.Steps {
			if s.Run == "" {
				continue
			}
			ran++
			if got := run(s, database); got.Code != 0 {
				t.Errorf("%s, %s: %d\n%s%s", name, s.Name, got.Code, got.Stdout, got.Stderr)
			}
		}
	}
	if ran != 7 {
		t.Errorf("%d steps ran, want 7", ran)
	}
	for step, file := range map[string]string{
		"The copy of the queue's schema":       "graphile_worker.sql",
		"The code of the queries":              "db/queries.sql.go",
		"The TypeScript types of the payloads": "worker/src/payloads.d.ts",
	} {
		name := filepath.Join(dir, file)
		text := read(t, name)
		write(t, name, text+"\n-- stale\n")
		commit(t, dir)
		for _, s := range flow.Jobs["drift"].Steps {
			if s.Run == "" {
				continue
			}
			if got := run(s, ""); (got.Code != 0) != (s.Name == step) {
				t.Errorf("%s is stale, and %q ended with %d\n%s%s", file, s.Name, got.Code, got.Stdout, got.Stderr)
			}
		}
		write(t, name, text)
		commit(t, dir)
	}
}

// actionlint finds nothing in the workflow, which gives the action the inputs that it has.
func TestActionlint(t *testing.T) {
	t.Parallel()
	actionlint := tool(t, "actionlint")
	lint := func(text string) (string, error) {
		t.Helper()
		dir := t.TempDir()
		write(t, dir+"/.github/workflows/queue.yml", strings.ReplaceAll(text, "gwadmin/gwadmin/deploy/github/setup-gwadmin@v0", "./setup-gwadmin"))
		write(t, dir+"/setup-gwadmin/action.yml", read(t, "../github/setup-gwadmin/action.yml"))
		git(t, dir, "init", "-q")
		cmd := exec.Command(actionlint)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	text := read(t, "../github/queue.yml")
	if out, err := lint(text); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := lint(strings.ReplaceAll(text, "          version:", "          release:")); err == nil || !strings.Contains(out, "release") {
		t.Errorf("an input that the action does not have is not found: %s", out)
	}
}

// chartRelease is the release that the files install: that of the chart.
func chartRelease(t testing.TB) string {
	t.Helper()
	var about struct{ Version, AppVersion string }
	if err := yaml.Unmarshal([]byte(read(t, chart+"/Chart.yaml")), &about); err != nil {
		t.Fatal(err)
	}
	if about.Version != about.AppVersion || about.Version == "" {
		t.Errorf("the chart has the version %q and the appVersion %q", about.Version, about.AppVersion)
	}
	return about.AppVersion
}

// All files install the same release.
func TestOneRelease(t *testing.T) {
	t.Parallel()
	for file, mention := range map[string]string{
		"kubernetes/migrate.yaml":      `image: ghcr\.io/gwadmin/gwadmin:(\S+)`,
		"github/queue.yml":             `GWADMIN_RELEASE: (\S+)`,
		"gitlab/gwadmin.gitlab-ci.yml": `GWADMIN_RELEASE: (\S+)`,
		"compose/docker-compose.yml":   `GWADMIN_RELEASE:-([^}]+)`,
		"terraform/main.tf":            `default     = "([0-9][^"]*)"`,
	} {
		var got []string
		for _, match := range regexp.MustCompile(mention).FindAllStringSubmatch(read(t, "../"+file), -1) {
			got = append(got, match[1])
		}
		if diff := cmp.Diff([]string{chartRelease(t)}, got); diff != "" {
			t.Errorf("%s: the release: -chart +got\n%s", file, diff)
		}
	}
}

// A release has the names that the action and GitLab's jobs look for: those of goreleaser.
func TestReleaseNames(t *testing.T) {
	t.Parallel()
	var config struct {
		Project  string `json:"project_name"`
		Archives []struct {
			Name      string `json:"name_template"`
			Formats   []string
			Overrides []struct {
				System  string `json:"goos"`
				Formats []string
			} `json:"format_overrides"`
		}
		Checksum struct {
			Name      string `json:"name_template"`
			Algorithm string
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../.goreleaser.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	if len(config.Archives) != 1 {
		t.Fatalf("there are %d kinds of archives, want 1", len(config.Archives))
	}
	archive := config.Archives[0]
	got := fmt.Sprint(config.Project, archive.Name, archive.Formats, archive.Overrides, config.Checksum.Name, config.Checksum.Algorithm)
	if diff := cmp.Diff("gwadmin[tar.gz] [{windows [zip]}]checksums.txt", got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
