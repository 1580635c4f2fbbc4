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

// gitlabCI prepares gitlab-ci-local, which compares a file with GitLab's JSON schema and runs
// its jobs. Where there is no npm the test is skipped, but fails if CI is set.
func gitlabCI(t testing.TB, dir string, args ...string) *exec.Cmd {
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
	cmd := exec.CommandContext(t.Context(), "node", append([]string{filepath.Join(packages, "node_modules", ".bin", "gitlab-ci-local"), "--cwd", dir, "--home", t.TempDir()}, args...)...)
	cmd.Env = gwadmincmd.Env()
	return cmd
}

// Each job for GitLab runs, line by line, on a release and a database of the test's.
func TestGitLab(t *testing.T) {
	t.Parallel()
	r := newReleases(t)
	dir, _ := team(t)
	const file = "../gitlab/gwadmin.gitlab-ci.yml"
	write(t, filepath.Join(dir, ".gitlab-ci.yml"), read(t, file))
	write(t, filepath.Join(dir, ".gitignore"), ".gwadmin\n.gitlab-ci-local\n")
	commit(t, dir)
	git(t, dir, "branch", "-M", "main")
	git(t, dir, "remote", "add", "origin", "git@gitlab.example.com:team/orders.git")
	run := func(database string, jobs ...string) gwadmincmd.Result {
		t.Helper()
		args := []string{
			"--force-shell-executor", "--variable", "GWADMIN_BASE_URL=" + r.URL,
			"--variable", "DATABASE_URL=" + database, "--variable", "CI_DEFAULT_BRANCH=main", "--variable", "CI_COMMIT_BRANCH=main",
		}
		return gwadmincmd.Finish(t, gitlabCI(t, dir, append(args, jobs...)...))
	}
	// queue:drift
	if got := run("", "queue:drift"); got.Code != 0 || !strings.Contains(got.Stdout+got.Stderr, "graphile_worker.sql is current") {
		t.Errorf("queue:drift: %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	copied := read(t, filepath.Join(dir, "graphile_worker.sql"))
	write(t, filepath.Join(dir, "graphile_worker.sql"), copied+"-- stale\n")
	commit(t, dir)
	if got := run("", "queue:drift"); got.Code == 0 || !strings.Contains(got.Stdout+got.Stderr, "is stale") {
		t.Errorf("queue:drift of a stale copy: %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	write(t, filepath.Join(dir, "graphile_worker.sql"), copied)
	commit(t, dir)

	live := pgtest.URL(t, nil)
	for _, tc := range []struct {
		job, database string
		fails         bool
	}{
		{"queue:validate", live, true}, // nothing is installed yet
		{"queue:migrations", pgtest.URL(t, nil), false},
		{"queue:migrate", live, false},
		{"queue:migrate", live, false},
		{"queue:validate", live, false},
	} {
		if got := run(tc.database, tc.job); (got.Code != 0) != tc.fails {
			t.Errorf("%s: %d\n%s%s", tc.job, got.Code, got.Stdout, got.Stderr)
		}
	}
	var archive string
	for name := range r.files {
		if strings.HasSuffix(name, "linux_amd64.tar.gz") || strings.HasSuffix(name, "linux_arm64.tar.gz") {
			archive = name
			r.files[archive] = pack(t, false, []byte("#!/bin/sh\necho something else\n"))
		}
	}
	if got := run("", "queue:drift"); got.Code == 0 || strings.Contains(got.Stdout+got.Stderr, "something else") {
		t.Errorf("an archive with another checksum: %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}

	// GitLab's JSON schema is looked at: a key that it does not know is refused.
	write(t, filepath.Join(dir, ".gitlab-ci.yml"), strings.ReplaceAll(read(t, file), "resource_group:", "resourcegroup:"))
	if got := run("", "queue:drift"); got.Code == 0 || !strings.Contains(got.Stdout+got.Stderr, "resourcegroup") {
		t.Errorf("an unknown key: %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
}
