// Package release tests the scripts that a release is made with.
package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// script runs a script of .ci in a folder, and returns what it prints and whether it succeeds.
func script(t *testing.T, dir, name string, args ...string) (printed string, succeeded bool) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the scripts are for bash")
	}
	path, err := filepath.Abs(filepath.Join("../../.ci", name))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "CHANGELOG.md"), `# Changelog

## [Unreleased]

- Not yet.

## [1.2.0] - soon

- With a date to come.

## [1.1.0]

- Without a date.

## [1.0.1] - 2026-11-30

## [1.0.0] - 2026-11-20

### Added

- The first one.

## [1.0.0-rc.1] - 2026-11-10

- Nearly.
`)
	for tag, want := range map[string]string{
		"v1.0.0":      "### Added\n\n- The first one.\n",
		"v1.0.0-rc.1": "- Nearly.\n",
		"v1.0":        "", "v1.2.0": "", "v1.1.0": "", "v1.0.1": "", "v9.9.9": "", "vUnreleased": "", ".*": "",
	} {
		got, succeeded := script(t, dir, "release-notes", tag)
		if want == "" {
			if succeeded || !strings.Contains(got, "has no section ## ["+strings.TrimPrefix(tag, "v")+"] - YYYY-MM-DD") {
				t.Errorf("%s succeeded: %v, and says %s", tag, succeeded, got)
			}
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" || !succeeded {
			t.Errorf("%s succeeded: %v, -want +got:\n%s", tag, succeeded, diff)
		}
	}
}

// A removed function is incompatible, an added one is not, and internal packages do not count.
func TestAPIDiff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@b", "-c", "tag.gpgSign=false", "-c", "commit.gpgSign=false"}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
	}
	commit := func(api, inner string) {
		t.Helper()
		write(t, filepath.Join(dir, "queue", "queue.go"), "package queue\n\n"+api)
		write(t, filepath.Join(dir, "internal", "inner", "inner.go"), "package inner\n\n"+inner)
		git("add", "-A")
		git("commit", "-qm", "a change")
	}
	expect := func(succeeded bool, texts ...string) {
		t.Helper()
		got, ok := script(t, dir, "apidiff")
		if ok != succeeded {
			t.Errorf("it succeeded: %v, want %v", ok, succeeded)
		}
		for _, text := range texts {
			if !strings.Contains(got, text) {
				t.Errorf("it does not say %q, but:\n%s", text, got)
			}
		}
		if strings.Contains(got, "inner") {
			t.Errorf("it tells of an internal package:\n%s", got)
		}
	}

	git("init", "-q")
	write(t, filepath.Join(dir, "go.mod"), "module example.com/scratch\n\ngo 1.26\n")
	commit("func Add() {}\nfunc Remove() {}\n", "func Any() {}\n")
	expect(true, "no tag yet")
	git("tag", "v0.1.0")
	expect(true, "changes since v0.1.0:\nnone")
	commit("func Add() {}\nfunc Remove() {}\nfunc Retry() {}\n", "")
	expect(true, "Compatible changes", "Retry: added")
	commit("func Add(id int64) {}\nfunc Retry() {}\n", "")
	expect(false, "Incompatible changes", "Remove: removed", "Add: changed from func() to func(int64)", "some are incompatible")
	git("tag", "v0.2.0")
	expect(true, "changes since v0.2.0:\nnone")
}
