package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/admin"
)

// pipe returns both ends of a pipe; the end of the test closes them.
func pipe(t testing.TB) (from, to *os.File) {
	t.Helper()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		from.Close()
		to.Close()
	})
	return from, to
}

// Wrong usage is refused without a database.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, tc := range []struct {
		stdin string
		args  []string
	}{
		{"", []string{"frobnicate"}},
		{"", []string{"job"}},
		{"", []string{"jobs", "frobnicate"}},
		{"", []string{"workers", "frobnicate"}},
		{"", []string{"stat"}},
		{"", []string{"jobs", "lst"}},
		{"", []string{"jobs", "resc"}},
		{"", []string{"workers", "unlok", "pool-a"}},
		{"", []string{"jobs", "list", "--stte", "ready"}},
		{"", []string{"jobs", "complete", "1", "--dryrun"}},
		{"", []string{"jobs", "list", "--out", "json"}},
		{"", []string{"jobs", "list", "-x"}},
		{"", []string{"--frobnicate"}},
		{"", []string{"jobs", "complete", "1", "--frobnicate"}},
		{"", []string{"cleanup", "--output", "xml", "--dry-run"}},
		{"", []string{"cleanup", "--database-url", "", "--dry-run"}},
		{"", []string{"cleanup", "--database-url"}},
		{"", []string{"cleanup", "more", "--dry-run"}},
		{"", []string{"version", "more"}},

		{"", []string{"jobs", "complete", "--dry-run"}},
		{"", []string{"jobs", "complete", "0", "--dry-run"}},
		{"", []string{"jobs", "complete", "-7", "--dry-run"}},
		{"", []string{"jobs", "complete", "--dry-run", "--", "-7"}},
		{"", []string{"jobs", "complete", "9223372036854775808", "--dry-run"}},
		{"", []string{"jobs", "complete", "1.5", "--dry-run"}},
		{"", []string{"jobs", "complete", "1", "two", "--dry-run"}},
		{"", []string{"jobs", "complete", "", "--dry-run"}},
		{"1\n\ntwo\n", []string{"jobs", "complete", "-", "--dry-run"}},
		{"1, 2\n", []string{"jobs", "fail", "-", "--dry-run"}},
		{"0\n", []string{"jobs", "retry", "-", "--dry-run"}},

		{"", []string{"jobs", "show"}},
		{"", []string{"jobs", "show", "1", "2"}},
		{"", []string{"jobs", "show", "1", "--key", "k"}},
		{"", []string{"jobs", "show", "one"}},
		{"", []string{"jobs", "show", "-"}},

		{"", []string{"jobs", "reschedule", "1", "--dry-run"}},
		{"", []string{"jobs", "reschedule", "1", "--run-at", "", "--dry-run"}},
		{"", []string{"jobs", "reschedule", "1", "--run-at", "tomorrow", "--dry-run"}},
		{"", []string{"jobs", "reschedule", "1", "--run-at", "2027-02-30", "--dry-run"}},
		{"", []string{"jobs", "reschedule", "1", "--run-at", "2027-02-30T00:00:00Z", "--dry-run"}},
		{"", []string{"jobs", "reschedule", "1", "--run-at", "5m", "--dry-run"}},
		{"", []string{"jobs", "reschedule", "1", "--run-at", "+", "--dry-run"}},
		{"", []string{"jobs", "reschedule", "1", "--run-at", "+-5m", "--dry-run"}},
		{"", []string{"jobs", "reschedule", "1", "--run-at", "+1.5d", "--dry-run"}},
		{"", []string{"jobs", "reschedule", "1", "--run-at", "+99999d", "--dry-run"}},
		{"", []string{"jobs", "reschedule", "1", "--attempts", "many", "--dry-run"}},
		{"", []string{"jobs", "list", "--run-after", "-65536d"}},
		{"", []string{"jobs", "list", "--run-before", "infinity"}},
		{"", []string{"jobs", "list", "--on-hold=maybe"}},
		{"", []string{"jobs", "list", "--key", "say \"hi\""}},
		{"", []string{"jobs", "complete", "1", "--yes=maybe"}},
		{"", []string{"jobs", "reschedule", "1", "--priority", "", "--dry-run"}},

		{"", []string{"jobs", "add"}},
		{"", []string{"jobs", "add", "send", "{}", "{}", "--dry-run"}},
		{"", []string{"jobs", "add", "send", "{", "--dry-run"}},
		{"", []string{"jobs", "add", "send", "", "--dry-run"}},
		{"", []string{"jobs", "add", "send", "-", "--dry-run"}},
		{"{} {}", []string{"jobs", "add", "send", "-", "--dry-run"}},
		{"", []string{"jobs", "add", "send", "--priority", "high", "--dry-run"}},

		{"", []string{"jobs", "add", "send", "--queue", "", "--yes"}},

		{"", []string{"queues", "pause", "", "--yes"}},
		{"", []string{"jobs", "remove", "--dry-run"}},
		{"", []string{"workers", "unlock", "--dry-run"}},
		{"", []string{"workers", "unlock", "pool-a", "--young", "5", "--dry-run"}},
		{"", []string{"workers", "unlock", "pool-a", "--young=-5m", "--yes"}},
		{"", []string{"workers", "unlock", "pool-a", "", "--yes"}},
		{"", []string{"cleanup", "--tasks", "", "--dry-run"}},
	} {
		got := gwadmin(t, nil, tc.stdin, tc.args...)
		checkCode(t, exitUsage, got)
		check(t, fmt.Sprintf("%q printed", tc.args), "", got.Stdout)
		fmt.Fprintf(&text, "$ gwadmin %s\n%s", quoted(tc.args), got.transcript())
	}
	golden(t, "usage.txt", moments.ReplaceAllString(text.String(), "MOMENT"))
}

// Wrong values are refused, and nothing is changed.
func TestInvalid(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	unchanged := s.unchanged()
	var text strings.Builder
	for _, args := range [][]string{
		{"jobs", "reschedule", "1", "--attempts", "-1", "--yes"},
		{"jobs", "reschedule", "1", "--attempts", "32768", "--yes", "-o", "json"},
		{"jobs", "reschedule", "1", "--priority", "-32769", "--max-attempts", "0", "--yes"},
		{"jobs", "reschedule", "1", "--run-at", "0000-01-01T00:00:00Z", "--yes"},
		{"jobs", "fail", "1", "--reason", "\xff", "--yes", "-o", "json"},
		{"jobs", "add", "send", "--priority", "32768", "--max-attempts", "0", "--yes"},
		{"jobs", "add", "send", "--key", "", "--yes"},
		{"jobs", "add", "send", "--key", "k", "--key-mode", "merge", "--yes"},
		{"jobs", "add", strings.Repeat("t", 129), "--queue", strings.Repeat("q", 129), "--yes"},
		{"jobs", "remove", "", "--yes"},
		{"workers", "unlock", "\xff", "--yes"},
		{"cleanup", "--tasks", "DELETE_EVERYTHING", "--yes"},
		{"cleanup", "--tasks", "gc_job_queues", "--yes", "-o", "json"},
		{"cleanup", "--keep", "send", "--yes"},
		{"--schema", "", "jobs", "complete", "1", "--yes", "-o", "json"},
		{"--schema", "\xff", "jobs", "complete", "1", "--yes"},
	} {
		got := s.run(args...)
		checkCode(t, exitUsage, got)
		check(t, fmt.Sprintf("%q printed", args), "", got.Stdout)
		fmt.Fprintf(&text, "$ gwadmin %s\n%s", quoted(args), got.transcript())
	}
	golden(t, "invalid.txt", text.String())
	unchanged()
}

// moments are the example times in messages.
var moments = regexp.MustCompile(`YYYY-MM-DDThh:mm:ssZ`)

// quoted is a command line as a shell would take it.
func quoted(args []string) string {
	plain := regexp.MustCompile(`^[\w@%+=:,./-]+$`)
	var words []string
	for _, arg := range args {
		if !plain.MatchString(arg) {
			arg = "'" + strings.ToValidUTF8(arg, "�") + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// The verbs that change something, on the fixture.
var changingVerbs = map[string][]string{
	"complete":   {"jobs", "complete", "1", "3", "99"},
	"fail":       {"jobs", "fail", "1"},
	"reschedule": {"jobs", "reschedule", "1", "--priority", "9"},
	"retry":      {"jobs", "retry", "5"},
	"hold":       {"jobs", "hold", "1", "--by", "ada"},
	"pause":      {"queues", "pause", "busy", "--by", "ada"},
	"add":        {"jobs", "add", "send", "{}", "--key", "key 2"},
	"remove":     {"jobs", "remove", "key 2"},
	"unlock":     {"workers", "unlock", "pool-a"},
	"cleanup":    {"cleanup", "--tasks", "DELETE_PERMAFAILED_JOBS,GC_TASK_IDENTIFIERS"},
}

// The verbs ask on a terminal, and refuse without --yes elsewhere.
func TestConsent(t *testing.T) {
	t.Parallel()
	for name, args := range changingVerbs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fixture(t)
			unchanged, before := s.unchanged(), s.rows()

			got := s.piped("y\n", append(args, "-o", "json")...)
			says := ""
			if name == "add" { // without the job it does not ask
				says = "the job with this key, 2, would be updated\n"
			}
			check(t, "off a terminal", result{"", says + "gwadmin: refused: there is no terminal to confirm on: pass --yes, or --dry-run for a look\n", exitRefused}, got)
			unchanged()

			var asked string
			for _, answer := range []string{"n\n", "\n", "\x04", "\x03"} {
				code := exitRefused
				if answer == "\x03" {
					code = exitInterrupted
				}
				term := onTerminal(t, s.env("NO_COLOR=1"), 100, args...)
				term.expect("[y/N] ")
				unchanged()
				term.press(answer)
				got := term.wait()
				checkCode(t, code, got)
				asked += fmt.Sprintf("$ %q\n%s", answer, got.transcript())
				unchanged()
			}

			term := onTerminal(t, s.env("NO_COLOR=1"), 100, args...)
			term.expect("[y/N] ")
			term.press("y\n")
			yes := term.wait()
			if name == "complete" {
				checkCode(t, exitSkipped, yes)
			} else {
				checkCode(t, exitOK, yes)
			}
			if gocmp.Equal(before, s.rows()) {
				t.Error("nothing was changed after a yes")
			}
			golden(t, "consent/"+name+".txt", asked+"$ \"y\\n\"\n"+yes.transcript())
		})
	}
}

// If the ids come from standard input there is nobody to ask.
func TestConsentOfPipedIDs(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	unchanged := s.unchanged()
	checkCode(t, exitRefused, s.piped("1\n", "jobs", "complete", "-"))
	unchanged()
}

// Ids can be typed on a terminal, until Ctrl-D.
func TestTypedIDs(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	term := onTerminal(t, s.env(), 100, "jobs", "complete", "-")
	term.press("1\n5\n\x04")
	term.expect("2 would be completed, 0 would be left alone\nGo on? [y/N] ")
	term.press("y\n")
	checkCode(t, exitOK, term.wait())
	check(t, "the jobs that are left", []int64{2, 3, 4, 6, 7}, s.ids())
}

// Of many ids the question shows the first jobs.
func TestAskedOfManyIDs(t *testing.T) {
	t.Parallel()
	s, ids := many(t, 12)
	term := onTerminal(t, s.env("NO_COLOR=1"), 100, append([]string{"jobs", "complete"}, strings.Fields(ids)...)...)
	term.expect("12 would be completed, 0 would be left alone\nGo on? [y/N] ")
	term.press("n\n")
	got := term.wait()
	if !strings.Contains(got.Stdout, "\n10  send  ") || strings.Contains(got.Stdout, "\n11  send  ") {
		t.Errorf("it does not show ten jobs: %s", got.transcript())
	}
}

// --run-at reads times. Those from now are left to the database.
func TestRunAtFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*admin.RunAt{
		"now":                       admin.In(0),
		"+0s":                       admin.In(0),
		"+90s":                      admin.In(90 * time.Second),
		"+1h30m":                    admin.In(90 * time.Minute),
		"+1d":                       admin.In(24 * time.Hour),
		"+65535d":                   admin.In(65535 * 24 * time.Hour),
		"2027-01-01T00:00:00+05:30": admin.At(time.Date(2026, 12, 31, 18, 30, 0, 0, time.UTC)),
		"2027-01-01T00:00:00.5Z":    admin.At(time.Date(2027, 1, 1, 0, 0, 0, 500_000_000, time.UTC)),
		"2027-01-01":                admin.At(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)),
		"2027-01-01 10:24:33Z":      admin.At(time.Date(2027, 1, 1, 10, 24, 33, 0, time.UTC)),
		"2027-01-01 10:24:33+02":    admin.At(time.Date(2027, 1, 1, 8, 24, 33, 0, time.UTC)),
		"2027-01-01 10:24:33+05:30": admin.At(time.Date(2027, 1, 1, 4, 54, 33, 0, time.UTC)),
		"infinity":                  admin.Never(),
		"-infinity":                 {Infinity: pgtype.NegativeInfinity},
	} {
		var at *admin.RunAt
		if err := runAtFlag(&at).Set(text); err != nil {
			t.Error(err)
		}
		check(t, text, want, at)
	}
}

// The times of a filter are added to the time of the database.
func TestTimeFlag(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 3, 28, 0, 30, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"now":                       "2027-03-28T00:30:00Z",
		"+90s":                      "2027-03-28T00:31:30Z",
		"-1h30m":                    "2027-03-27T23:00:00Z",
		"-3d":                       "2027-03-25T00:30:00Z",
		"2026-11-20":                "2026-11-20T00:00:00Z",
		"2026-11-30 10:24:33Z":      "2026-11-30T10:24:33Z",
		"2026-11-30 10:24:33-03":    "2026-11-30T13:24:33Z",
		"2027-01-01T00:00:00+05:30": "2026-12-31T18:30:00Z",
	} {
		var flag timeFlag
		if err := flag.Set(text); err != nil {
			t.Error(err)
			continue
		}
		check(t, text, want, flag.moment(now).UTC().Format(time.RFC3339))
	}
	check(t, "not given", (*time.Time)(nil), new(timeFlag).moment(now))
}
