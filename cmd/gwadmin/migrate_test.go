package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// busy is a site that a release installed, where two jobs are held and one waits.
func busy(t testing.TB, version string) *site {
	t.Helper()
	s := newSite(t, testdb.Upstream(t, version, ""))
	for range 3 {
		s.exec("select graphile_worker.add_job('seed')")
	}
	s.exec("update graphile_worker._private_jobs set locked_at = now(), locked_by = 'pool-a' where id < 3")
	return s
}

// unchanged returns a check that no row has changed since and no table was added.
func (s *site) unchanged() func() {
	s.Helper()
	installed := func() bool {
		return value[bool](s, "select exists (select from pg_catalog.pg_tables where schemaname = $1)", s.schema)
	}
	read := func() (rows map[string][]string) {
		s.Helper()
		if installed() {
			rows = s.rows()
		}
		return rows
	}
	before := read()
	return func() {
		s.Helper()
		check(s, "the schema: -before +after", before, read())
	}
}

// atWork blocks an up of 0.16.6 halfway, until the function releases it.
func (s *site) atWork() (release func()) {
	s.Helper()
	return s.holding("insert into graphile_worker.migrations (id) values (20)")
}

// holding opens a transaction with a statement; the function rolls it back.
func (s *site) holding(sql string) (release func()) {
	s.Helper()
	tx, err := s.pool.Begin(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if _, err := tx.Exec(s.Context(), sql); err != nil {
		s.Fatal(err)
	}
	release = func() { _ = tx.Rollback(context.Background()) }
	s.Cleanup(release)
	return release
}

// start starts the command on the site's database.
func (s *site) start(args ...string) *process {
	s.Helper()
	return start(s.TB, s.env(), strings.NewReader(""), s.args(args)...)
}

// eventually waits until a condition, in SQL, holds.
func (s *site) eventually(condition string) {
	s.Helper()
	for deadline := time.Now().Add(patience / 2); !value[bool](s, "select "+condition); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("never: %s", condition)
		}
	}
}

// psql runs a script with psql, or through the pool if psql is not installed.
func (s *site) psql(script string) {
	s.Helper()
	path, err := exec.LookPath("psql")
	if err != nil {
		if _, err := s.pool.Exec(s.Context(), script, pgx.QueryExecModeSimpleProtocol); err != nil {
			s.Fatal(err)
		}
		return
	}
	cmd := exec.CommandContext(s.Context(), path, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", s.url)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("psql: %v\n%s", err, out)
	}
}

// A session records what a person does on a site.
type session struct {
	*site
	paper strings.Builder
}

var sqlField = regexp.MustCompile(`("sql": ?)"(?:[^"\\]|\\.)*"`)

// run runs the command and records it, without the SQL of migrations.
func (s *session) run(code int, args ...string) {
	s.Helper()
	got := s.site.run(args...)
	checkCode(s, code, got)
	line := "$ gwadmin " + strings.Join(args, " ")
	fmt.Fprintf(&s.paper, "%s\n%s\n", normal(line), sqlField.ReplaceAllString(got.transcript(), `$1"…"`))
}

// All of migrate on one database, from its installation to its end.
func TestMigrateSession(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"table", "json", "ndjson"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := &session{site: newSite(t, nil)}
			run := func(code int, args ...string) {
				t.Helper()
				if format != "table" {
					args = append(args, "--output", format)
				}
				s.run(code, append([]string{"migrate"}, args...)...)
			}
			run(exitPending, "status")
			run(exitPending, "plan")
			run(exitPending, "validate")
			run(exitOK, "down", "--dry-run")
			run(exitPending, "up", "--dry-run")
			run(exitPending, "up", "--dry-run", "--to", "2")
			run(exitPending, "up", "--dry-run", "--to", "1")
			check(t, "dry runs", false, value[bool](s.site, "select exists (select from pg_namespace where nspname = 'graphile_worker')"))
			run(exitOK, "up", "--to", "2")
			run(exitOK, "up", "--dry-run", "--to", "2")
			run(exitPending, "status")
			run(exitPending, "plan")
			run(exitDrifted, "validate")
			run(exitOK, "up")
			run(exitOK, "up")
			run(exitOK, "status")
			run(exitOK, "plan")
			run(exitOK, "validate")
			s.exec("drop index graphile_worker.jobs_main_index")
			s.exec("alter table graphile_worker._private_jobs alter column priority set default 7, add column tenant text")
			run(exitDrifted, "validate")
			for range 3 {
				s.exec("select graphile_worker.add_job('seed')")
			}
			s.exec("update graphile_worker._private_jobs set locked_at = now(), locked_by = 'pool-a' where id = 1")
			unchanged := s.unchanged()
			run(exitOK, "down", "--dry-run")
			run(exitOK, "down", "--dry-run", "--to", "2")
			run(exitRefused, "down")
			unchanged()
			run(exitOK, "down", "--to", "3", "--yes")
			run(exitOK, "down", "--yes")
			run(exitOK, "down", "--yes")
			run(exitPending, "status")
			golden(t, "migrate/session-"+format+".txt", s.paper.String())
		})
	}
}

// Each state that has an exit code, and each wrong usage.
func TestMigrateExitCodes(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	on := func(version, sql string) func(testing.TB) *site {
		return func(t testing.TB) *site {
			s := newSite(t, testdb.Upstream(t, version, ""))
			s.exec(sql)
			return s
		}
	}
	var (
		nothing  = func(t testing.TB) *site { return newSite(t, nil) }
		tooOld   = on("0.18.0", "delete from graphile_worker.migrations where id > 17")
		tooNew   = on("0.18.0", "insert into graphile_worker.migrations (id, breaking) values (21, true)")
		newer    = on("0.18.0", "insert into graphile_worker.migrations (id, breaking) values (21, false)")
		migrated = func(revision string) func(testing.TB) *site {
			return func(t testing.TB) *site {
				s := ours(t)
				s.exec("select graphile_worker.add_job('seed')")
				s.exec("insert into graphile_worker.migrations (id, breaking) values "+revision, pgx.QueryExecModeSimpleProtocol)
				return s
			}
		}
		// What gwadmin looks for in schemas of 0.13 and 0.15.
		version = func(ledger string) func(testing.TB) *site {
			return func(t testing.TB) *site {
				s := newSite(t, nil)
				s.exec("create schema graphile_worker")
				s.exec("create table graphile_worker.job_queues (); create table graphile_worker.jobs (); "+ledger, pgx.QueryExecModeSimpleProtocol)
				return s
			}
		}
		v013 = version(`create table graphile_worker.migrations (id int primary key, ts timestamptz default now() not null);
			insert into graphile_worker.migrations select n, '2020-01-01' from generate_series(1, 10) as n`)
		v015 = version(`create table graphile_worker.migrations (id int primary key, ts timestamptz default now() not null, breaking boolean not null default false);
			insert into graphile_worker.migrations select n, '2020-01-01', n in (1, 3, 11, 13, 14) from generate_series(1, 15) as n`)
		busyOld  = func(t testing.TB) *site { return busy(t, "0.16.6") }
		withJobs = func(t testing.TB) *site {
			s := ours(t)
			s.exec("select graphile_worker.add_job('seed')")
			return s
		}
	)
	cases := []struct {
		reason string
		code   int
		site   func(testing.TB) *site
		args   []string
	}{
		{"up to date", exitOK, ours, []string{"status"}},
		{"a newer revision that is not breaking", exitPending, newer, []string{"status"}},
		{"", exitOK, newer, []string{"validate"}},
		{"", exitOK, newer, []string{"up"}},
		{"", exitOK, newer, []string{"plan", "-o", "json"}},
		{"", exitOK, newer, []string{"sql"}},
		{"the same after gwadmin's migrations", exitOK, migrated("(21, false)"), []string{"status"}},
		{"", exitOK, migrated("(21, false)"), []string{"up"}},
		{"", exitOK, migrated("(21, false); alter table graphile_worker._private_jobs add tenant text"), []string{"validate"}},
		{"", exitDrifted, migrated("(21, false); drop index graphile_worker.jobs_main_index"), []string{"validate"}},
		{"", exitUnsupported, migrated("(21, false)"), []string{"down", "--yes"}},
		{"a newer revision that is breaking", exitUnsupported, migrated("(21, true)"), []string{"down", "--yes"}},
		{"", exitUnsupported, migrated("(21, true)"), []string{"down", "--dry-run"}},
		{"", exitUnsupported, migrated("(21, true)"), []string{"grants", "reader", "web"}},
		{"Graphile Worker 0.13 and 0.15", exitUnsupported, v013, []string{"status"}},
		{"", exitUnsupported, v013, []string{"grants", "producer", "web"}},
		{"", exitUnsupported, v015, []string{"grants", "producer", "web"}},
		{"", exitUnsupported, v015, []string{"grants", "producer", "web", "--revoke"}},
		{"", exitUnsupported, v015, []string{"indexes"}},
		{"", exitUnsupported, v015, []string{"down", "--yes"}},
		{"nothing is installed", exitOK, nothing, []string{"down", "--yes", "-o", "json"}},
		{"", exitPending, nothing, []string{"grants", "reader", "nobody_at_all"}},
		{"", exitPending, nothing, []string{"grants", "reader", "nobody_at_all", "--apply", "--yes"}},
		{"Graphile Worker 0.17.3 is", exitPending, on("0.17.3", "select"), []string{"status"}},
		{"", exitOK, on("0.17.3", "select"), []string{"down", "--yes"}},
		{"", exitDrifted, on("0.17.3", "select"), []string{"validate"}},
		{"Graphile Worker 0.18.0 is", exitOK, on("0.18.0", "select"), []string{"validate"}},
		{"too old", exitUnsupported, tooOld, []string{"status"}},
		{"", exitUnsupported, tooOld, []string{"plan"}},
		{"", exitUnsupported, tooOld, []string{"sql"}},
		{"", exitUnsupported, tooOld, []string{"up"}},
		{"", exitUnsupported, tooOld, []string{"validate"}},
		{"", exitUnsupported, tooOld, []string{"grants", "reader", "nobody_at_all", "--apply", "--yes"}},
		{"too new", exitUnsupported, tooNew, []string{"status", "-o", "json"}},
		{"", exitUnsupported, tooNew, []string{"up", "--force"}},
		{"", exitUnsupported, tooNew, []string{"validate"}},
		{"workers hold jobs of 0.16.6", exitRefused, busyOld, []string{"up"}},
		{"", exitRefused, busyOld, []string{"up", "--wait-idle", "10ms"}},
		{"", exitPending, busyOld, []string{"up", "--dry-run"}},
		{"", exitPending, busyOld, []string{"plan"}},
		{"not confirmed", exitRefused, withJobs, []string{"down"}},
		{"", exitRefused, withJobs, []string{"grants", "reader", "nobody_at_all", "--apply"}},
		{"what PostgreSQL refuses", exitError, withJobs, []string{"grants", "reader", "nobody_at_all", "--apply", "--yes"}},
		{"wrong usage", exitUsage, withJobs, []string{"up", "--to", "0"}},
		{"", exitUsage, withJobs, []string{"up", "--to", "5"}},
		{"", exitUsage, withJobs, []string{"up", "--to", "tables"}},
		{"", exitUsage, nothing, []string{"up", "--to", "5", "--dry-run"}},
		{"", exitUsage, nothing, []string{"up", "--to", "0", "--dry-run"}},
		{"", exitUsage, withJobs, []string{"down", "--to", "5", "--yes"}},
		{"", exitUsage, withJobs, []string{"down", "--to", "-1", "--yes"}},
		{"", exitUsage, withJobs, []string{"up", "--force", "--wait-idle", "1s"}},
		{"", exitUsage, withJobs, []string{"up", "--wait-idle", "-1s"}},
		{"", exitUsage, withJobs, []string{"up", "--lock-timeout", "-1s"}},
		{"", exitUsage, withJobs, []string{"up", "--wait-lock", "5"}},
		{"", exitUsage, withJobs, []string{"upp"}},
		{"", exitUsage, withJobs, []string{"status", "--yes"}},
		{"", exitUsage, withJobs, []string{"status", "graphile_worker"}},
		{"", exitUsage, withJobs, []string{"status", "-o", "xml"}},
		{"", exitUsage, withJobs, []string{"status", "--schema", "pg_jobs"}},
		{"", exitUsage, withJobs, []string{"sql", "--from-nothing", "--schema", "pg_jobs"}},
		{"", exitUsage, withJobs, []string{"grants", "boss", "web"}},
		{"", exitUsage, withJobs, []string{"grants", "reader"}},
		{"", exitUsage, withJobs, []string{"grants", "reader", "public"}},
		{"", exitUsage, withJobs, []string{"grants", "reader", "public", "--apply", "--yes"}},
		{"", exitUsage, withJobs, []string{"grants", "reader", "web", "--offline", "--apply", "--yes"}},
	}
	papers := make([]string, len(cases))
	t.Run("", func(t *testing.T) {
		for i, tc := range cases {
			t.Run(fmt.Sprintf("%d %s", tc.code, strings.Join(tc.args, " ")), func(t *testing.T) {
				t.Parallel()
				s := &session{site: tc.site(t)}
				unchanged := s.unchanged()
				s.run(tc.code, append([]string{"migrate"}, tc.args...)...)
				unchanged()
				if tc.reason != "" {
					papers[i] = "## " + tc.reason + "\n\n"
				}
				papers[i] += s.paper.String()
			})
		}
	})
	if !slices.Contains(papers, "") { // -run may have left some out
		golden(t, "migrate/exits.txt", strings.Join(papers, ""))
	}
}

func TestMigrateCannotConnect(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for reason, env := range map[string]string{
		"no server":   "DATABASE_URL=postgres://127.0.0.1:1/jobs?sslmode=disable",
		"no database": "DATABASE_URL=" + strings.Replace(s.url, "/gwadmin_test_", "/gwadmin_lost_", 1),
	} {
		for _, args := range [][]string{{"status"}, {"plan"}, {"sql"}, {"validate"}, {"up"}, {"down", "--yes"}, {"grants", "reader", "web"}, {"grants", "reader", "web", "--apply", "--yes"}, {"indexes"}} {
			got := gwadmin(t, []string{env}, "", append([]string{"migrate"}, args...)...)
			checkCode(t, exitConnect, got)
			if got.Stdout != "" || !strings.Contains(got.Stderr, ": failed to connect to ") {
				t.Errorf("%s: %q said %s", reason, args, got.transcript())
			}
		}
	}
}

func TestMigrateInOtherSchema(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{weird, "$body$"} {
		s := siteIn(t, nil, schema)
		for _, run := range []struct {
			code int
			args []string
		}{
			{exitPending, []string{"status"}},
			{exitOK, []string{"up"}},
			{exitOK, []string{"validate"}},
			{exitOK, []string{"status"}},
			{exitRefused, []string{"down"}},
			{exitOK, []string{"down", "--yes"}},
			{exitPending, []string{"plan"}},
		} {
			checkCode(t, run.code, s.run(append([]string{"migrate"}, run.args...)...))
		}
	}
}

func TestMigrateUpAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	runs := make([]*process, 8)
	for i := range runs {
		runs[i] = s.start("migrate", "up", "--output", "json")
	}
	var applied []int64
	for _, p := range runs {
		got := p.wait()
		checkCode(t, exitOK, got)
		var said struct {
			Applied []struct{ Version int64 }
			After   int `json:"revision_after"`
		}
		if err := json.Unmarshal([]byte(got.Stdout), &said); err != nil {
			t.Fatalf("%v: %s", err, got.Stdout)
		}
		for _, m := range said.Applied {
			applied = append(applied, m.Version)
		}
		check(t, "revision", 20, said.After)
	}
	check(t, "all of them together applied", []int64{1, 2, 3, 4}, applied)
	checkCode(t, exitOK, s.run("migrate", "validate"))
}

// Of many downs at once one undoes the migrations, and the others have nothing to undo.
func TestMigrateDownAtOnce(t *testing.T) {
	t.Parallel()
	s := ours(t)
	runs := make([]*process, 8)
	for i := range runs {
		runs[i] = s.start("migrate", "down", "--yes", "--output", "json")
	}
	for _, p := range runs {
		checkCode(t, exitOK, p.wait())
	}
	checkCode(t, exitPending, s.run("migrate", "status"))
}

func TestMigrateWaitLock(t *testing.T) {
	t.Parallel()
	s := newSite(t, testdb.Upstream(t, "0.16.6", ""))
	release := s.atWork()
	first := s.start("migrate", "up")
	s.blocked()
	unchanged := s.unchanged()
	for _, args := range [][]string{
		{"migrate", "up", "--wait-lock", "50ms"},
		{"migrate", "grants", "reader", "nobody_at_all", "--apply", "--yes", "--wait-lock", "50ms"},
	} {
		got := s.run(args...)
		checkCode(t, exitRefused, got)
		if !strings.Contains(got.Stderr, `another migrator is at work on schema "graphile_worker": waited 50ms for it`) {
			t.Errorf("%q said %s", args, got.Stderr)
		}
	}
	unchanged()
	second := s.start("migrate", "up")
	s.eventually(waiting(2))
	release()
	for _, p := range []*process{first, second} {
		checkCode(t, exitOK, p.wait())
	}
	checkCode(t, exitOK, s.run("migrate", "validate"))
}

// waiting holds when so many runs of the command wait for a lock, and none at 0
// when there is no run either.
func waiting(n int) string {
	const sessions = `(select count(*) from pg_catalog.pg_stat_activity
		where datname = current_database() and application_name = 'gwadmin'`
	if n == 0 {
		return sessions + ") = 0"
	}
	return fmt.Sprintf("%s and wait_event_type = 'Lock') = %d", sessions, n)
}

// Ctrl-C ends a run that waits, for its turn or at work, and its session.
func TestMigrateInterrupted(t *testing.T) {
	t.Parallel()
	s := newSite(t, testdb.Upstream(t, "0.16.6", ""))
	release := s.atWork()
	unchanged := s.unchanged()
	first := s.start("migrate", "up", "--lock-timeout", "1m")
	s.eventually(waiting(1))
	second := s.start("migrate", "up", "--wait-lock", "0")
	s.eventually(waiting(2))
	for _, p := range []*process{second, first} {
		p.interrupt()
		got := p.wait()
		checkCode(t, exitInterrupted, got)
		check(t, "stdout", "", got.Stdout)
	}
	s.eventually(waiting(0))
	release()
	unchanged()
	checkCode(t, exitOK, s.run("migrate", "up"))
}

func TestMigrateWaitIdle(t *testing.T) {
	t.Parallel()
	s := busy(t, "0.16.6")
	unchanged := s.unchanged()
	p := s.start("migrate", "up", "--wait-idle", "1m")
	s.eventually(`exists (select from pg_catalog.pg_stat_activity
		where datname = current_database() and application_name = 'gwadmin' and state = 'idle' and query ~ 'commit|rollback')`)
	unchanged()
	s.exec("update graphile_worker._private_jobs set locked_at = null, locked_by = null")
	got := p.wait()
	checkCode(t, exitOK, got)
	want := "a breaking revision is pending while pool-a holds 2 jobs, since YYYY-MM-DD hh:mm:ssZ\n"
	check(t, "said", want, normal(got.Stderr))
	checkCode(t, exitOK, s.run("migrate", "validate"))

	interrupted := busy(t, "0.16.6")
	unchanged = interrupted.unchanged()
	p = interrupted.start("migrate", "up", "--wait-idle", "1m")
	interrupted.eventually(`exists (select from pg_catalog.pg_stat_activity
		where datname = current_database() and application_name = 'gwadmin' and state = 'idle' and query ~ 'commit|rollback')`)
	p.interrupt()
	checkCode(t, exitInterrupted, p.wait())
	unchanged()
}

// up names a worker of 0.16.6 that runs a job, and stops it with --force.
func TestMigrateStopsWorkers(t *testing.T) {
	t.Parallel()
	s := newSite(t, testdb.Upstream(t, "0.16.6", ""))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	worker, err := upstream.Start(t, "0.16.6", s.url, "").StartWorker(ctx, upstream.WorkerOptions{Tasks: []string{"seed"}})
	if err != nil {
		t.Fatal(err)
	}
	s.exec(`select graphile_worker.add_job('seed', '{"holdUntilReleased": true}')`)
	job, err := worker.Started(ctx)
	if err != nil {
		t.Fatal(err)
	}
	unchanged := s.unchanged()
	got := s.run("migrate", "up")
	checkCode(t, exitRefused, got)
	if !strings.Contains(got.Stderr, job.LockedBy+" holds 1 since ") {
		t.Errorf("the worker %s is not in %s", job.LockedBy, got.Stderr)
	}
	unchanged()
	got = s.run("migrate", "up", "--force")
	checkCode(t, exitOK, got)
	if !strings.Contains(got.Stderr, "while "+job.LockedBy+" holds 1 job,") {
		t.Errorf("the worker %s is not in %s", job.LockedBy, got.Stderr)
	}
	if err := worker.Release(ctx, job.ID); err != nil {
		t.Log(err) // it may have gone already
	}
	select {
	case <-worker.Done():
	case <-ctx.Done():
		t.Error("the worker goes on")
	}
	checkCode(t, exitOK, s.run("migrate", "validate"))
}

// On a terminal down says what would be lost, and asks.
func TestMigrateDownAsks(t *testing.T) {
	t.Parallel()
	s := ours(t)
	s.exec("select graphile_worker.add_job('seed')")
	unchanged := s.unchanged()
	for _, tc := range []struct {
		answer string
		code   int
	}{{"n\n", exitRefused}, {"\n", exitRefused}, {"y\n", exitOK}} {
		unchanged()
		term := onTerminal(t, s.env(), 100, "migrate", "down")
		term.expect("1 job would be lost, 0 of them held by workers")
		term.expect("Undo 4 migrations? [y/N] ")
		term.press(tc.answer)
		checkCode(t, tc.code, term.wait())
	}
	checkCode(t, exitPending, s.run("migrate", "status"))
}

// down refuses if a job was added since it counted.
func TestMigrateDownMeanwhile(t *testing.T) {
	t.Parallel()
	s := ours(t)
	s.exec("select graphile_worker.add_job('seed')")
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), "select graphile_worker.add_job('late')"); err != nil {
		t.Fatal(err)
	}
	p := s.start("migrate", "down", "--yes", "--lock-timeout", "1m")
	s.blocked()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := p.wait()
	checkCode(t, exitRefused, got)
	check(t, "stdout", "", got.Stdout)
	want := "1 job would be lost, 0 of them held by workers\n" +
		"gwadmin: refused: jobs were added meanwhile: 2 would be lost, 0 of them held by workers\n"
	check(t, "said", want, got.Stderr)
	check(t, "jobs", 2, value[int](s, "select count(*) from graphile_worker.jobs"))
	checkCode(t, exitOK, s.run("migrate", "validate"))
	checkCode(t, exitOK, s.run("migrate", "down", "--yes"))
}

// --lock-timeout and --statement-timeout end a run.
func TestMigrateLockTimeout(t *testing.T) {
	t.Parallel()
	s := ours(t)
	s.holding("lock table graphile_worker._private_jobs in row exclusive mode")
	unchanged := s.unchanged()
	got := s.run("migrate", "down", "--yes", "--lock-timeout", "10ms")
	checkCode(t, exitRefused, got)
	if !strings.Contains(got.Stderr, "SQLSTATE 55P03") {
		t.Errorf("it said %s", got.Stderr)
	}
	unchanged()

	s = newSite(t, testdb.Upstream(t, "0.16.6", ""))
	s.atWork()
	got = s.run("migrate", "up", "--statement-timeout", "100ms")
	checkCode(t, exitError, got)
	if !strings.Contains(got.Stderr, "SQLSTATE 57014") {
		t.Errorf("it said %s", got.Stderr)
	}
}

// After psql has run what sql prints, up finds nothing to do.
func TestMigrateSQL(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		site   func(*testing.T) *site
		args   []string
	}{
		{"on nothing", func(t *testing.T) *site { return newSite(t, nil) }, nil},
		{"from nothing", func(t *testing.T) *site { return newSite(t, nil) }, []string{"--from-nothing"}},
		{"in another schema", func(t *testing.T) *site { return siteIn(t, nil, weird) }, []string{"--from-nothing"}},
		{"taking over 0.16.6", func(t *testing.T) *site { return busy(t, "0.16.6") }, nil},
		{"taking over 0.18.0", func(t *testing.T) *site { return busy(t, "0.18.0") }, nil},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			s := tc.site(t)
			unchanged := s.unchanged()
			args := append([]string{"migrate", "sql"}, tc.args...)
			got := s.run(args...)
			checkCode(t, exitOK, got)
			check(t, "stderr", "", got.Stderr)
			inJSON := s.run(append(args, "--output", "json")...)
			var said map[string]string
			if err := json.Unmarshal([]byte(inJSON.Stdout), &said); err != nil {
				t.Fatal(err)
			}
			check(t, "in JSON", map[string]string{"sql": got.Stdout}, said)
			unchanged()
			s.psql(got.Stdout)
			for _, verb := range []string{"status", "validate", "up", "plan"} {
				checkCode(t, exitOK, s.run("migrate", verb))
			}
			got = s.run("migrate", "sql")
			if tc.args == nil {
				check(t, "afterwards", result{Stderr: "nothing to do\n"}, got)
			}
		})
	}
}

// With --from-nothing and --offline no database is needed.
func TestMigrateWithoutConnection(t *testing.T) {
	t.Parallel()
	env := []string{"PGHOST=" + t.TempDir()}
	want, err := migrations.InstallPlan(&migrations.Options{Schema: weird})
	if err != nil {
		t.Fatal(err)
	}
	check(t, "sql", result{Stdout: want.Script}, gwadmin(t, env, "", "migrate", "sql", "--from-nothing", "--schema", weird))
	migrator, err := migrations.New(pgtest.Pool(t, nil), &migrations.Options{Schema: weird})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []migrations.RoleKind{migrations.Producer, migrations.Admin, migrations.Reader} {
		for _, revoke := range []bool{false, true} {
			statements, err := migrator.Grants().GrantSQL(kind, "Web App")
			args := []string{"migrate", "grants", string(kind), "Web App", "--schema", weird, "--offline"}
			if revoke {
				statements, err = migrator.Grants().RevokeSQL(kind, "Web App")
				args = append(args, "--revoke")
			}
			if err != nil {
				t.Fatal(err)
			}
			check(t, string(kind), result{Stdout: strings.Join(statements, "\n") + "\n"}, gwadmin(t, env, "", args...))

			got := gwadmin(t, env, "", append(args, "--output", "json")...)
			var said rights
			decoder := json.NewDecoder(strings.NewReader(got.Stdout))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&said); err != nil {
				t.Fatal(err)
			}
			check(t, "in JSON", rights{Kind: kind, Role: "Web App", Revoke: revoke, Statements: statements}, said)
		}
	}
}

func TestMigrateGrants(t *testing.T) {
	t.Parallel()
	s := ours(t)
	role := s.role("web").name
	may := func(want bool) {
		t.Helper()
		check(t, "the role may add jobs", want, value[bool](s,
			"select has_column_privilege($1, 'graphile_worker._private_jobs', 'payload', 'insert')", role))
		check(t, "and has policies", want, value[bool](s,
			"select exists (select from pg_catalog.pg_policies where $1 = any (roles))", role))
	}
	may(false)
	s.psql(s.run("migrate", "grants", "producer", role).Stdout)
	may(true)
	s.psql(s.run("migrate", "grants", "producer", role, "--revoke").Stdout)
	may(false)

	paper := &session{site: s}
	for range 2 {
		paper.run(exitOK, "migrate", "grants", "producer", role, "--apply", "--yes")
		may(true)
	}
	paper.run(exitOK, "migrate", "grants", "producer", role, "--apply", "--yes", "--output", "json")
	paper.run(exitRefused, "migrate", "grants", "producer", role, "--apply", "--revoke")
	may(true)
	for range 2 {
		paper.run(exitOK, "migrate", "grants", "producer", role, "--apply", "--revoke", "--yes")
		may(false)
	}
	paper.run(exitOK, "migrate", "grants", "producer", role, "--apply", "--revoke", "--yes", "--output", "ndjson")
	golden(t, "migrate/grants.txt", strings.ReplaceAll(paper.paper.String(), "DATABASE", "ROLE"))
	checkCode(t, exitOK, s.run("migrate", "validate"))
}
