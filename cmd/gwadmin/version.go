package main

import (
	"cmp"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// A release sets these with -ldflags -X. Otherwise they are what the Go toolchain has
// recorded in the binary.
var (
	version    string // such as v1.2.3
	commit     string // the whole hash
	commitDate string // RFC 3339
)

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, what it was built from, and the schemas that it works with",
		Long: `Print the version, what it was built from, and the revisions of Graphile Worker's
schema that it works with. It does not connect.

A schema of a newer revision is accepted, too, as long as Graphile Worker does not
call what is new in it breaking.`,
		Example: "  gwadmin version\n  gwadmin version -o json",
		RunE:    func(*cobra.Command, []string) error { return a.print(currentBuild()) },
	}
}

// A build is what a binary was built from, and which revisions it works with.
type build struct {
	Version        string     `json:"version"`
	Commit         *string    `json:"commit"`
	CommitDate     *time.Time `json:"commit_date"`
	Modified       *bool      `json:"modified"` // the sources differ from the commit
	Go             string     `json:"go"`
	OS             string     `json:"os"`
	Arch           string     `json:"arch"`
	Revision       int        `json:"revision"`
	Release        string     `json:"graphile_worker"`
	OldestRevision int        `json:"oldest_revision"`
	OldestRelease  string     `json:"oldest_graphile_worker"`
}

func currentBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return buildOf(info)
}

// pseudoVersion matches the version of a module without a tag, which has the time and the
// beginning of the hash of its commit.
var pseudoVersion = regexp.MustCompile(`[-.](\d{14})-([0-9a-f]{12})(\+dirty)?$`)

// buildOf returns what the toolchain has recorded, with the variables of a release first.
func buildOf(info *debug.BuildInfo) build {
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	b := build{
		Version: cmp.Or(version, info.Main.Version, "(devel)"),
		Go:      runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Revision: graphile.NewestRevision, Release: graphile.NewestRelease,
		OldestRevision: graphile.OldestRevision, OldestRelease: graphile.OldestRelease,
	}
	var ofVersion struct{ hash, time string }
	if match := pseudoVersion.FindStringSubmatch(info.Main.Version); match != nil {
		ofVersion.time, ofVersion.hash = match[1], match[2]
	}
	if hash := cmp.Or(commit, settings["vcs.revision"], ofVersion.hash); hash != "" {
		b.Commit = &hash
	}
	for _, date := range []string{commitDate, settings["vcs.time"], ofVersion.time} {
		for _, layout := range []string{time.RFC3339, "20060102150405"} {
			if t, err := time.Parse(layout, date); err == nil && b.CommitDate == nil {
				t = t.UTC()
				b.CommitDate = &t
			}
		}
	}
	if settings["vcs.modified"] != "" {
		modified := settings["vcs.modified"] == "true"
		b.Modified = &modified
	}
	return b
}

func (b build) lines() []any { return []any{b} }

func (b build) tables(a *app) []table.Writer {
	fmt.Fprint(a.stdout, b.text())
	return nil
}

// text is what --version prints, too.
func (b build) text() string {
	var text strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&text, "  %-9s%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(&text, "gwadmin", b.Version)
	if b.Commit != nil {
		modified := ""
		if b.Modified != nil && *b.Modified {
			modified = ", modified"
		}
		line("commit", "%s%s", *b.Commit, modified)
	}
	if b.CommitDate != nil {
		line("date", "%s", b.CommitDate.Format(time.RFC3339))
	}
	line("go", "%s %s/%s", b.Go, b.OS, b.Arch)
	line("builds", "revision %d, of Graphile Worker %s", b.Revision, b.Release)
	line("accepts", "revision %d, of Graphile Worker %s, and newer, up to the first breaking one after %d", b.OldestRevision, b.OldestRelease, b.Revision)
	return text.String()
}
