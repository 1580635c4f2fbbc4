package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// ages are the ages of locks, which differ from run to run.
var ages = regexp.MustCompile(`\b(\d+[hm])*\d+s ago`)

func aged(text string) string { return ages.ReplaceAllString(text, "AGE ago") }

// locks are the locks, first of jobs and then of queues.
func (s *site) locks() []string {
	s.Helper()
	return value[[]string](s, `select coalesce(array_agg(lock order by lock), '{}') from (
		select 'job ' || id || ': ' || locked_by from graphile_worker._private_jobs where locked_by is not null
		union all
		select 'queue ' || queue_name || ': ' || locked_by from graphile_worker._private_job_queues where locked_by is not null
	) as locks (lock)`)
}

func TestUnlock(t *testing.T) {
	t.Parallel()
	all := []string{"job 3: pool-a", "job 4: pool-a", "job 7: pool-b", "queue busy: pool-b"}
	for _, tc := range []struct {
		reason string
		args   []string
		code   int
		locks  []string // that are left
	}{
		{"long dead", []string{"pool-a"}, exitOK, all[2:]},
		{"long dead, given twice", []string{"pool-a", "pool-a"}, exitOK, all[2:]},
		{"one of them holds nothing", []string{"pool-a", "pool-x"}, exitSkipped, all[2:]},
		{"none holds anything", []string{"pool-x", "it's"}, exitSkipped, all},
		{"young", []string{"pool-a", "pool-b"}, exitRefused, all},
		{"young and forced", []string{"pool-a", "pool-b", "--force"}, exitOK, []string{}},
		{"young by another measure", []string{"pool-a", "--young", "1h"}, exitRefused, all},
		{"old by another measure", []string{"pool-b", "--young", "10s"}, exitOK, all[:2]},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			for _, output := range []format{formatTable, formatJSON, formatNDJSON} {
				s := fixture(t)
				args := append([]string{"workers", "unlock", "-o", string(output)}, tc.args...)
				unchanged := s.unchanged()
				dry := s.run(append(args, "--dry-run")...)
				unchanged()
				done := s.run(append(args, "--yes")...)
				checkCode(t, tc.code, done)
				if tc.code == exitRefused {
					unchanged()
				}
				check(t, "locks", tc.locks, s.locks())
				fmt.Fprintf(&text, "$ %s --dry-run\n%s$ %s --yes\n%s", output, dry.transcript(), output, done.transcript())
			}
			golden(t, "workers/"+fileName(tc.reason), aged(text.String()))
		})
	}
}

// unlock asks on a terminal, and once more for a young lock.
func TestUnlockAsks(t *testing.T) {
	t.Parallel()
	const again = "Unlock it all the same? [y/N] "
	t.Run("yes and yes", func(t *testing.T) {
		t.Parallel()
		s := fixture(t)
		term := onTerminal(t, s.env("NO_COLOR=1"), 100, "workers", "unlock", "pool-a", "pool-b", "pool-x")
		term.expect("Unlock? [y/N] ")
		check(t, "locks before the answer", 4, len(s.locks()))
		term.press("y\n")
		term.expect(again)
		check(t, "locks before the second answer", 4, len(s.locks()))
		term.press("yes\n")
		got := term.wait()
		check(t, "locks", []string{}, s.locks())
		golden(t, "workers/asked.txt", aged(got.transcript()))
	})
	t.Run("yes and no", func(t *testing.T) {
		t.Parallel()
		s := fixture(t)
		unchanged := s.unchanged()
		term := onTerminal(t, s.env(), 100, "workers", "unlock", "pool-b")
		term.expect("Unlock? [y/N] ")
		term.press("y\n")
		term.expect(again)
		term.press("\n")
		checkCode(t, exitRefused, term.wait())
		unchanged()
	})
	t.Run("forced", func(t *testing.T) {
		t.Parallel()
		s := fixture(t)
		term := onTerminal(t, s.env(), 100, "workers", "unlock", "pool-b", "--force")
		term.expect("Unlock? [y/N] ")
		term.press("Y\n")
		checkCode(t, exitOK, term.wait())
		check(t, "locks", []string{"job 3: pool-a", "job 4: pool-a"}, s.locks())
	})
}
