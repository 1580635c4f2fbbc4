package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/migrations"
)

// The secrets of TestCanary. The right password is one more.
const (
	canaryWord    = "canary-password"
	canaryPayload = "canary-payload"
	canaryKey     = "canary-key"
	canaryError   = "canary-error"
)

// canaryRun is how TestCanary runs a verb. None of the arguments is a secret.
type canaryRun struct {
	args, stdin string
	changes     bool // jobs, which the trigger refuses
	ui          bool // it runs until it is interrupted
}

// canaryLine is a job of an import.
const canaryLine = `{"task_identifier":"send","payload":{"to":"` + canaryPayload + `"},"key":"` + canaryKey + ` 2","last_error":"` + canaryError + `"}`

// canaryRuns are the verbs with a database.
var canaryRuns = map[string]canaryRun{
	"jobs add":         {args: "send - --yes", stdin: `{"to":"` + canaryPayload + `"}`, changes: true},
	"jobs complete":    {args: "--all --yes", changes: true},
	"jobs count":       {args: "--state permafailed"},
	"jobs explain":     {args: "1"},
	"jobs export":      {},
	"jobs fail":        {args: "1 --reason x --yes", changes: true},
	"jobs hold":        {args: "--all --yes", changes: true},
	"jobs import":      {args: "- --yes", stdin: canaryLine + "\n" + strings.Replace(canaryLine, " 2", " 3", 1), changes: true},
	"jobs list":        {args: "--payload 1000"},
	"jobs release":     {args: "--all --yes"},
	"jobs remove":      {args: "nothing --yes"},
	"jobs reschedule":  {args: "1 --priority 1 --yes", changes: true},
	"jobs retry":       {args: "--state permafailed --yes", changes: true},
	"jobs show":        {args: "1"},
	"queues":           {},
	"queues list":      {},
	"queues pause":     {args: "mails --yes"},
	"queues restore":   {args: "--yes"},
	"queues resume":    {args: "mails --yes"},
	"tasks":            {},
	"crontabs":         {},
	"crontabs list":    {},
	"crontabs run":     {args: "nightly --yes"},
	"workers list":     {},
	"workers unlock":   {args: "pool-a --yes"},
	"stats":            {args: "--errors 5"},
	"metrics":          {args: "--once"},
	"cleanup":          {args: "--tasks DELETE_PERMAFAILED_JOBS --yes", changes: true},
	"migrate status":   {},
	"migrate validate": {},
	"migrate up":       {args: "--yes"},
	"migrate down":     {args: "--yes --dry-run"},
	"migrate plan":     {},
	"migrate grants":   {args: "--role nobody --kind reader"},
	"migrate indexes":  {args: "--yes"},
	"schema":           {},
	"ui":               {args: "--listen 127.0.0.1:0", ui: true},
	"demo":             {args: "--yes"},
}

// canaryLess are the verbs that need no database.
var canaryLess = []string{"version", "migrate sql", "completion", "help", "man"}

// No secret is in what a verb prints, on any path that fails: passwords of every form,
// payloads, keys and errors of jobs that the caller has not given as an argument, and the
// token of the page. No file is left that has one, and no statement's text.
func TestCanary(t *testing.T) {
	server, pool := ownServer(t)
	s := &site{TB: t, pool: pool, url: server.URL("postgres"), schema: "graphile_worker"}
	migrator, err := migrations.New(pool, nil)
	if err == nil {
		_, err = migrator.Up(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.exec(`select graphile_worker.add_job('send', json_build_object('to', $1::text), queue_name => 'mails', job_key => $2, max_attempts => 1)`, canaryPayload, canaryKey)
	s.exec(`update graphile_worker._private_jobs set attempts = 1, last_error = $1`, canaryError)
	s.exec(`select graphile_worker.add_job('send', json_build_object('to', $1::text))`, canaryPayload)
	s.exec(`create function public.refuse() returns trigger language plpgsql as $$ begin
		raise exception 'refused' using detail = coalesce(new, old)::text, hint = coalesce(new, old)::text, errcode = '23514'; end $$`)
	s.exec(`create role eve login password '` + canaryWord + `'`)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().(*net.TCPAddr).Port
	listener.Close()

	config := pool.Config().ConnConfig
	home, temp := t.TempDir(), t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(home, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	passwords := write("passwords", "*:*:*:*:"+canaryWord+"\n")
	services := write("services", fmt.Sprintf("[jobs]\nhost=127.0.0.1\nport=%d\nuser=ada\npassword=%s\ndbname=postgres\nsslmode=disable\n", closed, canaryWord))
	for _, name := range []string{"DATABASE_URL", "GWADMIN_TARGETS", "PGPASSWORD", "PGSERVICE"} {
		t.Setenv(name, "")
	}
	for name, value := range map[string]string{"HOME": home, "TMPDIR": temp, "PGPASSFILE": os.DevNull, "PGSERVICEFILE": services, "PGCONNECT_TIMEOUT": "20"} {
		t.Setenv(name, value)
	}
	secrets := []string{canaryWord, config.Password, canaryPayload, canaryKey, canaryError}
	before := s.rows()["_private_jobs"]

	// one runs a verb, in JSON or not, and returns what it has printed.
	one := func(verb, url string, more ...string) (out, said string, code int) {
		t.Helper()
		how := canaryRuns[verb]
		args := append(strings.Fields(verb+" "+how.args), more...)
		if url != "" {
			args = append(args, "--database-url", url)
		}
		var stdout, stderr printed
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if how.ui {
			ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		}
		defer cancel()
		code = run(ctx, args, strings.NewReader(how.stdin), &stdout, &stderr)
		return stdout.String(), stderr.String(), code
	}
	// fails runs every verb, and none of them may work or show a secret.
	fails := func(path string, only func(canaryRun) bool, url func(verb int) string, more ...string) {
		t.Helper()
		n, failed := 0, 0
		for verb, run := range canaryRuns {
			if only != nil && !only(run) || verb == "demo" && strings.HasPrefix(path, "server: ") {
				continue
			}
			out, said, code := one(verb, url(n), more...)
			n++
			worked := code == exitOK || code == exitSkipped
			if !worked {
				failed++
			}
			if run.ui { // the token is the purpose of its output
				if _, token, ok := strings.Cut(out, "token="); ok && strings.Contains(said, strings.TrimSpace(token)) {
					t.Errorf("%s: %s: the token is on standard error", path, verb)
				}
			}
			for i, secret := range secrets {
				text := out + said
				if worked && i > 1 { // a job that is shown has these
					text = said
				}
				if strings.Contains(text, secret) {
					t.Errorf("%s: %s shows %s\n%s\n%s", path, verb, secret, out, said)
				}
			}
		}
		if failed == 0 || only == nil && !strings.HasPrefix(path, "server: ") && failed < n-2 { // but schema, and the page, which waits
			t.Errorf("%s: %d of %d verbs failed", path, failed, n)
		}
	}
	text := func(format string, args ...any) func(int) string {
		return func(int) string { return fmt.Sprintf(format, args...) }
	}
	// A password in each form, for a server that is not there.
	forms := []string{
		fmt.Sprintf("postgres://ada:%s@127.0.0.1:%d/db", canaryWord, closed),
		fmt.Sprintf("postgres://ada@127.0.0.1:%d/db?password=%s", closed, canaryWord),
		fmt.Sprintf("host=127.0.0.1 port=%d user=ada password='%s' dbname=db", closed, canaryWord),
		fmt.Sprintf("host=127.0.0.1 port=%d user=ada passfile='%s' dbname=db", closed, passwords),
		"service=jobs",
	}
	fails("nothing listens", nil, func(n int) string { return forms[n%len(forms)] })
	t.Setenv("PGPASSWORD", canaryWord)
	fails("nothing listens, PGPASSWORD", nil, text("postgres://ada@127.0.0.1:%d/db", closed))
	fails("wrong password, PGPASSWORD", nil, text("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", config.Port))
	t.Setenv("PGPASSWORD", "")
	fails("wrong password", nil, text("postgres://postgres:%s@127.0.0.1:%d/postgres?sslmode=disable", canaryWord, config.Port))
	fails("TLS", nil, text("postgres://postgres:%s@127.0.0.1:%d/postgres?sslmode=verify-full", config.Password, config.Port))
	fails("no database", nil, text("postgres://postgres:%s@127.0.0.1:%d/none?sslmode=disable", config.Password, config.Port))
	malformed := []string{
		"postgres://u:%zz" + canaryWord + "@h/db", "postgres://u:a/" + canaryWord + "@h/db", "u:" + canaryWord + "@h/db", "host=h port=x password=" + canaryWord,
		"password='" + canaryWord, "postgres://u:" + canaryWord + "@h:x/db", "postgres://u:" + canaryWord + "@h/db?sslmode=frob", "postgres://u:" + canaryWord + " @h/db",
	}
	// Each is taken for keywords and values, with the password in the name of a parameter.
	var mistyped []string
	for _, begin := range []string{"postress://", "Postgres://", " postgres://", `"postgres://`, "'postgres://", "mysql://", "pgx://", "jdbc:postgresql://", "host=h postgres://"} {
		mistyped = append(mistyped, fmt.Sprintf("%su:%s@127.0.0.1:%d/db?sslmode=disable", begin, canaryWord, config.Port))
	}
	mistyped = append(mistyped, "jdbc:postgresql://h/db?password="+canaryWord, "u:"+canaryWord+"=@h/db")
	t.Setenv("PGHOST", "127.0.0.1") // a server that answers
	t.Setenv("PGPORT", fmt.Sprint(config.Port))
	t.Setenv("PGUSER", config.User)
	t.Setenv("PGPASSWORD", config.Password)
	t.Setenv("PGSSLMODE", "disable")
	for _, text := range mistyped {
		for _, args := range [][]string{{"--database-url", text}, {"--target", "eu=" + text}, {"--target", text}, {"--target", "eu/jobs=" + text}} {
			var stdout, stderr printed
			code := run(t.Context(), append(args, "jobs", "count"), strings.NewReader(""), &stdout, &stderr)
			if said := stdout.String() + stderr.String(); code != exitUsage || strings.Contains(said, canaryWord) {
				t.Errorf("%q: exit code %d: %s", args, code, said)
			}
		}
		t.Setenv("GWADMIN_TARGETS", "eu="+text)
		var stdout, stderr printed
		code := run(t.Context(), []string{"jobs", "count"}, strings.NewReader(""), &stdout, &stderr)
		if said := stdout.String() + stderr.String(); code != exitUsage || strings.Contains(said, canaryWord) {
			t.Errorf("GWADMIN_TARGETS with %q: exit code %d: %s", text, code, said)
		}
		t.Setenv("GWADMIN_TARGETS", "")
	}
	for _, name := range []string{"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGSSLMODE"} {
		t.Setenv(name, "")
	}
	malformed = append(malformed, mistyped...)
	fails("malformed", nil, func(n int) string { return malformed[n%len(malformed)] })
	fails("unknown flag", nil, text("%s", forms[0]), "--frobnicate")
	fails("wrong output", nil, text("%s", forms[2]), "-o", "frob")
	t.Setenv("DATABASE_URL", forms[0])
	fails("wrong flag", nil, text(""), "--database-url", "")
	t.Setenv("DATABASE_URL", "")

	fails("server: no rights", nil, text("postgres://eve:%s@127.0.0.1:%d/postgres?sslmode=disable", canaryWord, config.Port))
	fails("server: read-only", func(r canaryRun) bool { return r.changes }, text("%s&default_transaction_read_only=on", s.url))
	s.exec(`create trigger refuse before insert or update or delete on graphile_worker._private_jobs for each row execute function public.refuse()`)
	for _, format := range []string{"table", "json"} {
		fails("server: constraint", func(r canaryRun) bool { return r.changes }, text("%s", s.url), "-o", format)
	}
	s.exec(`drop trigger refuse on graphile_worker._private_jobs`)
	release := s.holding(`lock table graphile_worker._private_jobs, graphile_worker._private_tasks, graphile_worker.migrations in access exclusive mode`)
	fails("server: statement timeout", func(r canaryRun) bool { return r.changes }, text("%s&statement_timeout=30", s.url))

	// While a statement waits, the server shows its text, and the name of the session.
	for verb, how := range canaryRuns {
		if !how.changes {
			continue
		}
		ctx, interrupt := context.WithCancel(t.Context())
		var stdout, stderr printed
		ended := make(chan int, 1)
		go func() {
			args := append(strings.Fields(verb+" "+how.args), "--database-url", s.url)
			ended <- run(ctx, args, strings.NewReader(how.stdin), &stdout, &stderr)
		}()
		s.blocked()
		seen := value[string](s, `select string_agg(application_name || ': ' || query, E'\n') from pg_catalog.pg_stat_activity where pid <> pg_backend_pid()`)
		interrupt()
		if code := <-ended; code != exitInterrupted {
			t.Errorf("%s: interrupted: exit code %d: %s", verb, code, stderr.String())
		}
		for _, secret := range secrets {
			if strings.Contains(seen, secret) {
				t.Errorf("%s: the server shows %s: %s", verb, secret, seen)
			}
			if strings.Contains(stdout.String()+stderr.String(), secret) {
				t.Errorf("%s: interrupted: shows %s", verb, secret)
			}
		}
	}
	release()
	check(t, "jobs", before, s.rows()["_private_jobs"])

	// Lines that are wrong, one by one.
	for _, line := range []string{
		canaryLine[:len(canaryLine)-3], canaryLine + "{}", strings.Replace(canaryLine, "last_error", canaryKey, 1)[:40], "[" + canaryLine + "]",
		strings.Replace(canaryLine, `"send"`, `{"`+canaryPayload+`":1}`, 1), strings.Replace(canaryLine, `"to"`, `"\q`+canaryPayload, 1), canaryLine + "\n" + canaryPayload,
		strings.Replace(canaryLine, `"key":"`, `"key":"`+strings.Repeat("k", 600), 1), strings.Replace(canaryLine, `"key"`, `"priority":1e9,"key"`, 1), "\xff" + canaryLine,
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"jobs", "import", "--yes", "--database-url", s.url}, strings.NewReader(line), &stdout, &stderr)
		if code == exitOK {
			t.Errorf("%s was imported", line)
		}
		for _, secret := range secrets {
			if strings.Contains(stdout.String()+stderr.String(), secret) {
				t.Errorf("import of %s shows %s: %s", line, secret, &stderr)
			}
		}
	}
	check(t, "jobs", before, s.rows()["_private_jobs"])

	_ = filepath.WalkDir(temp, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			t.Errorf("%s is left", path)
		}
		return nil
	})
}

// TestCanaryRuns checks that TestCanary has every verb.
func TestCanaryRuns(t *testing.T) {
	t.Parallel()
	walk(rootCommand(&app{}), func(cmd *cobra.Command) {
		verb := strings.TrimPrefix(cmd.CommandPath(), "gwadmin ")
		if cmd.HasSubCommands() && cmd.Args == nil || !cmd.Runnable() || verb == "gwadmin" {
			return
		}
		if _, there := canaryRuns[verb]; there {
			return
		}
		for _, less := range canaryLess {
			if verb == less || strings.HasPrefix(verb, less+" ") {
				return
			}
		}
		if !cmd.HasSubCommands() {
			t.Errorf("TestCanary does not have the verb %s", verb)
		}
	})
}
