package check

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/gwadmin/gwadmin/internal/cache"
	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
	"github.com/gwadmin/gwadmin/internal/pgtest"
)

var (
	//go:embed packages/package.json
	manifest []byte
	//go:embed packages/package-lock.json
	lock []byte
)

// gitlabJobs compares a file with GitLab's JSON schema by gitlab-ci-local, and returns the script
// of each job. Where there is no npm the test is skipped, but fails if CI is set.
func gitlabJobs(t testing.TB, text string) (scripts map[string]string, problem string) {
	t.Helper()
	base, err := cache.Dir()
	if err != nil {
		t.Fatal(err)
	}
	packages := filepath.Join(base, fmt.Sprintf("gitlab-%.8x", sha256.Sum256(slices.Concat(manifest, lock))))
	err = cache.Make(t.Context(), packages, func(dir string) error { return cache.NPM(t.Context(), dir, manifest, lock) })
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".gitlab-ci.yml"), text)
	git(t, dir, "init", "-q", "-b", "main")
	git(t, dir, "remote", "add", "origin", "git@gitlab.example.com:team/orders.git")
	commit(t, dir)
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(packages, "node_modules", ".bin", "gitlab-ci-local"), "--home", t.TempDir(), "--preview")
	cmd.Dir, cmd.Env = dir, gwadmincmd.Env()
	got := gwadmincmd.Finish(t, cmd)
	if got.Code != 0 {
		return nil, got.Stdout + got.Stderr
	}
	var jobs map[string]any
	if err := yaml.Unmarshal([]byte(got.Stdout), &jobs); err != nil {
		t.Fatalf("%v in\n%s", err, got.Stdout)
	}
	scripts = map[string]string{}
	for name, job := range jobs {
		if job, ok := job.(map[string]any); ok && job["script"] != nil {
			scripts[name] = strings.Join(append(texts(job["before_script"]), texts(job["script"])...), "\n")
		}
	}
	return scripts, ""
}

// GitLab takes the file, and the script of each job runs on a release and a database of the
// test's.
func TestGitLab(t *testing.T) {
	t.Parallel()
	text := read(t, "../gitlab/gwadmin.gitlab-ci.yml")
	scripts, problem := gitlabJobs(t, text)
	if problem != "" {
		t.Fatal(problem)
	}
	if _, problem := gitlabJobs(t, strings.ReplaceAll(text, "action: verify", "action: look")); problem == "" {
		t.Error("a value that GitLab does not know is not found")
	}
	r, dir := newReleases(t), team(t)
	run := func(job, database string, fails bool) {
		t.Helper()
		if scripts[job] == "" {
			t.Fatalf("there is no job %s", job)
		}
		cmd := exec.Command("bash", "-eo", "pipefail", "-c", scripts[job])
		cmd.Dir = dir
		cmd.Env = gwadmincmd.Env("GWADMIN_RELEASE="+chartRelease(t), "GWADMIN_BASE_URL="+r.URL, "DATABASE_URL="+database)
		if got := gwadmincmd.Finish(t, cmd); (got.Code != 0) != fails || strings.Contains(got.Stdout, "something else") {
			t.Errorf("%s: %d\n%s%s", job, got.Code, got.Stdout, got.Stderr)
		}
	}
	run("queue:drift", "", false)
	stale := filepath.Join(dir, "graphile_worker.sql")
	copied := read(t, stale)
	write(t, stale, copied+"-- stale\n")
	run("queue:drift", "", true)
	write(t, stale, copied)

	live := pgtest.URL(t, nil)
	run("queue:migrations", pgtest.URL(t, nil), false)
	run("queue:validate", live, true) // nothing is installed yet
	run("queue:migrate", live, false)
	run("queue:migrate", live, false)
	run("queue:validate", live, false)
	if len(scripts) != 4 {
		t.Errorf("there are %d jobs, want 4", len(scripts))
	}
	for name := range r.files {
		if strings.HasSuffix(name, ".tar.gz") {
			r.files[name] = pack(t, false, []byte("#!/bin/sh\necho something else\n"))
		}
	}
	run("queue:drift", "", true) // another checksum
}
