package main

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// until waits for a condition.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience / 2); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// --watch shows how a job changes, in each format.
func TestWatch(t *testing.T) {
	t.Parallel()
	for _, output := range []format{formatTable, formatJSON, formatNDJSON} {
		t.Run(string(output), func(t *testing.T) {
			t.Parallel()
			s := fixture(t)
			p := start(t, s.env(), strings.NewReader(""), "jobs", "list", "--id", "1,2", "--watch=100ms", "-o", string(output))
			until(t, "the ready job", func() bool { return strings.Contains(p.stdout.String(), "ready") })
			s.exec(`update graphile_worker._private_jobs set locked_at = now(), locked_by = 'pool-new' where id = 1`)
			until(t, "who took it", func() bool { return strings.Contains(p.stdout.String(), "pool-new") })
			s.exec(`delete from graphile_worker._private_jobs where id = 1`)
			seen := len(p.stdout.String())
			until(t, "two more rounds", func() bool { return strings.Count(p.stdout.String()[seen:], "no route") > 2 })
			p.interrupt()
			got := p.wait()
			checkCode(t, exitOK, got)
			check(t, "stderr", "", got.Stderr)

			var states []admin.State
			switch output {
			case formatTable:
				if strings.Contains(got.Stdout, "\x1b") {
					t.Errorf("escapes off a terminal: %q", got.Stdout)
				}
				check(t, "rounds", strings.Count(got.Stdout, ", every 100ms"), strings.Count(got.Stdout, "id  state"))
				return
			case formatJSON:
				for decoder := json.NewDecoder(strings.NewReader(got.Stdout)); ; {
					var page admin.Page
					if err := decoder.Decode(&page); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						t.Fatal(err)
					}
					if page.Jobs[0].ID == 1 {
						states = append(states, page.Jobs[0].State)
					}
				}
			case formatNDJSON:
				for line := range strings.Lines(got.Stdout) {
					if job := parse[admin.ListedJob](t, result{Stdout: line}); job.ID == 1 {
						states = append(states, job.State)
					}
				}
			}
			check(t, "states", []admin.State{admin.Ready, admin.Running}, slices.Compact(states))
		})
	}
}

// On a terminal --watch draws in place, as much as there is room for.
func TestWatchOnTerminal(t *testing.T) {
	t.Parallel()
	s, _ := many(t, 200)
	term := onTerminal(t, s.env("NO_COLOR=1"), 120, "jobs", "list", "--watch=100ms", "--limit", "50")
	term.expect("every 100ms: the first 50 jobs")
	term.expect("more lines below")
	s.exec(`delete from graphile_worker._private_jobs where id > 3`)
	term.expect("every 100ms\x1b[K")
	s.exec(`delete from graphile_worker._private_jobs`)
	term.expect("every 100ms: no jobs")
	term.press("\x03")
	got := term.wait()
	checkCode(t, exitOK, got)
	for i, drawn := range strings.Split(got.Stdout, "\x1b[H")[1:] {
		if lines := strings.Count(drawn, "\n"); lines > 24 || !strings.Contains(drawn, "\x1b[J") {
			t.Errorf("drawing %d has %d lines: %q", i, lines, drawn)
		}
	}
}

// --watch continues after an error, but not after one of the first read.
func TestWatchGoesOn(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	away := func() {
		s.exec(`alter table graphile_worker._private_jobs rename to away`)
		s.exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'gwadmin'`)
	}
	back := func() { s.exec(`alter table graphile_worker.away rename to _private_jobs`) }
	args := []string{"jobs", "list", "--watch=100ms"}

	p := start(t, s.env(), strings.NewReader(""), append(args, "-o", "ndjson")...)
	until(t, "the first round", func() bool { return strings.Contains(p.stdout.String(), `"state"`) })
	away()
	p.expect("goes on after: list jobs:")
	seen := len(p.stdout.String())
	back()
	until(t, "another round", func() bool { return strings.Contains(p.stdout.String()[seen:], `"state"`) })
	p.interrupt()
	checkCode(t, exitOK, p.wait())

	term := onTerminal(t, s.env("NO_COLOR=1"), 120, args...)
	term.expect("every 100ms")
	away()
	term.expect("since then: list jobs:")
	// The last list stays visible.
	if drawn := strings.Split(term.shown(), "\x1b[H"); !strings.Contains(drawn[len(drawn)-2], "no route") && !strings.Contains(drawn[len(drawn)-1], "no route") {
		t.Errorf("after the error only %q is shown", drawn[len(drawn)-1])
	}
	term.press("\x03")
	checkCode(t, exitOK, term.wait())

	got := s.run(args...)
	checkCode(t, exitPending, got)
	check(t, "stdout", "", got.Stdout)
	checkCode(t, exitConnect, gwadmin(t, []string{"DATABASE_URL=postgres://127.0.0.1:1/none"}, "", args...))
}
