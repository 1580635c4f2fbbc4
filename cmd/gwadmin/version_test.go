package main

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// A release says what its linker was told, in both places and formats.
func TestVersion(t *testing.T) {
	t.Parallel()
	released := filepath.Join(t.TempDir(), "gwadmin.exe")
	const hash = "0123456789abcdef0123456789abcdef01234567"
	build := exec.CommandContext(t.Context(), "go", "build", "-o", released, "-ldflags",
		"-X main.version=v1.2.3 -X main.commit="+hash+" -X main.commitDate=2026-11-20T08:15:00+01:00", ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	output := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), released, args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	want := `gwadmin v1.2.3
  commit   ` + hash + `
  date     2026-11-20T07:15:00Z
  go       ` + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + `
  builds   revision 20, of Graphile Worker 0.18.0
  accepts  revision 18, of Graphile Worker 0.16, and newer, up to the first breaking one after 20
`
	check(t, "version", want, strings.Replace(output("version"), ", modified", "", 1)) // as the tests' checkout may be
	check(t, "--version", output("version"), output("--version"))
	said := parse[map[string]any](t, result{Stdout: output("version", "-o", "json")})
	delete(said, "modified")
	check(t, "in JSON", map[string]any{
		"version": "v1.2.3", "commit": hash, "commit_date": "2026-11-20T07:15:00Z", "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		"revision": 20.0, "graphile_worker": "0.18.0", "oldest_revision": 18.0, "oldest_graphile_worker": "0.16",
	}, said)
}

func TestBuildOf(t *testing.T) {
	t.Parallel()
	hash, long := "0123456789ab", "0123456789abcdef0123456789abcdef01234567"
	date := time.Date(2026, 11, 20, 7, 15, 0, 0, time.UTC)
	yes, no := true, false
	recorded := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{
			{Key: "CGO_ENABLED", Value: "0"}, {Key: "vcs.revision", Value: long},
			{Key: "vcs.time", Value: "2026-11-20T07:15:00Z"}, {Key: "vcs.modified", Value: modified},
		}
	}
	for _, tc := range []struct {
		reason string
		info   debug.BuildInfo
		want   build
	}{
		{"go run, or without version control", debug.BuildInfo{}, build{Version: "(devel)"}},
		{"go install module@version", debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}}, build{Version: "v0.1.0"}},
		{"go install module@commit", debug.BuildInfo{Main: debug.Module{Version: "v0.1.1-0.20261120071500-" + hash}},
			build{Version: "v0.1.1-0.20261120071500-" + hash, Commit: &hash, CommitDate: &date}},
		{"before the first tag", debug.BuildInfo{Main: debug.Module{Version: "v0.0.0-20261120071500-" + hash}},
			build{Version: "v0.0.0-20261120071500-" + hash, Commit: &hash, CommitDate: &date}},
		{"a clone", debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}, Settings: recorded("false")},
			build{Version: "v0.1.0", Commit: &long, CommitDate: &date, Modified: &no}},
		{"a changed clone", debug.BuildInfo{Main: debug.Module{Version: "v0.0.0-20261120071500-" + hash + "+dirty"}, Settings: recorded("true")},
			build{Version: "v0.0.0-20261120071500-" + hash + "+dirty", Commit: &long, CommitDate: &date, Modified: &yes}},
	} {
		tc.want.Go, tc.want.OS, tc.want.Arch = runtime.Version(), runtime.GOOS, runtime.GOARCH
		tc.want.Revision, tc.want.Release, tc.want.OldestRevision, tc.want.OldestRelease = 20, "0.18.0", 18, "0.16"
		check(t, tc.reason, tc.want, buildOf(&tc.info))
	}
}

// The releases of Graphile Worker that version names are those that have these revisions.
func TestReleases(t *testing.T) {
	t.Parallel()
	first, last := upstream.Versions[0], upstream.Versions[len(upstream.Versions)-1]
	check(t, "newest release", graphile.NewestRelease, last)
	check(t, "newest revision", graphile.NewestRevision, upstream.Revision(last))
	check(t, "oldest revision", graphile.OldestRevision, upstream.Revision(first))
	if !strings.HasPrefix(first, graphile.OldestRelease+".") {
		t.Errorf("the oldest release that is tested is %s, not one of %s", first, graphile.OldestRelease)
	}
}
