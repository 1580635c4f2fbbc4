package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// demo --keep does not show the password of --database-url.
func TestDemoKeep(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ reason, look string }{
		{"DATABASE_URL", `psql "$DATABASE_URL"`},
		{"--database-url", "psql with that connection string"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			config, err := pgx.ParseConfig(s.url)
			if err != nil {
				t.Fatal(err)
			}
			if config.Password != "" {
				t.Skip("the server wants its own password")
			}
			address := withUser(t, s.url, config.User, "hunter2")
			env, args := []string{"DATABASE_URL=" + address}, []string{"demo", "--keep"}
			if tc.reason == "--database-url" {
				env, args = []string{"DATABASE_URL=postgres://127.0.0.1:1/none"}, append(args, "--database-url", address)
			}
			checkCode(t, exitRefused, gwadmin(t, env, "", args...))
			p := start(t, env, strings.NewReader(""), append(args, "--yes")...)
			for deadline := time.Now().Add(patience / 2); !strings.Contains(p.stdout.String(), "Ctrl-C ends it."); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("it does not end:\n%s%s", p.stdout.String(), p.stderr.String())
				}
			}
			check(t, "the demo's schema is kept", true, value[bool](s, `select exists (select from pg_namespace where nspname = 'gwadmin_demo')`))
			p.interrupt()
			got := p.wait()
			checkCode(t, exitOK, got)
			if !strings.Contains(got.Stdout, "\n  "+tc.look+"\n") || strings.Contains(got.Stdout+got.Stderr, "hunter2") {
				t.Errorf("it printed %s", got.transcript())
			}
			check(t, "the demo's schema is dropped", false, value[bool](s, `select exists (select from pg_namespace where nspname = 'gwadmin_demo')`))
		})
	}
}

// The demo says what each call did, and drops what it created.
func TestDemo(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	before := value[int](s, "select count(*) from pg_namespace")
	got := gwadmin(t, s.env(), "", "demo", "--yes")
	checkCode(t, exitOK, got)
	took := regexp.MustCompile(`in \d+ ms`)
	golden(t, "demo.txt", normal(took.ReplaceAllString(got.Stdout, "in N ms")))
	check(t, "schemas", before, value[int](s, "select count(*) from pg_namespace"))
}
