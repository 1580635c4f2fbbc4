package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// down is a target that nobody can connect to.
const down = "postgres://u:secret@127.0.0.1:1/db"

// targetsOf is a variable with targets, which are names and connection strings in turn.
func targetsOf(texts ...string) []string {
	lines := "# targets\n\n"
	for i := 0; i < len(texts); i += 2 {
		lines += texts[i] + "=" + texts[i+1] + "\n"
	}
	return []string{targetsEnv + "=" + lines}
}

// refusal is what the error of a refused connection says for each address.
var refusal = regexp.MustCompile(`(?:(?:\\n|\n(?:down: )?)  127\.0\.0\.1:1 \(127\.0\.0\.1\): dial error: dial tcp 127\.0\.0\.1:1: connect: connection refused)+`)

// Each verb that reads merges what it finds on all targets, one of which is down.
func TestTargets(t *testing.T) {
	t.Parallel()
	eu, us := fixture(t), siteIn(t, testdb.Ours(weird), weird)
	us.exec("select graphile_worker.add_job('mail', queue_name => 'letters', run_at => '2024-03-01 12:00Z')")
	us.exec("insert into graphile_worker._private_known_crontabs values ('hourly', now(), null)")
	env := targetsOf("eu", eu.url, "us/"+weird, us.url, "down", down)
	for name, args := range map[string][]string{
		"list": {"jobs", "list", "--columns", "id,state,task,queue,run_at"}, "count": {"jobs", "count", "--state", "ready"}, "stats": {"stats"},
		"queues": {"queues"}, "tasks": {"tasks"}, "declared": {"tasks", "--declared", "send,unused"}, "workers": {"workers", "list"}, "crontabs": {"crontabs"},
		"none": {"jobs", "list", "--id", "77"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			for _, output := range []string{"table", "json", "ndjson"} {
				got := gwadmin(t, env, "", append(args, "-o", output)...)
				checkCode(t, exitConnect, got)
				text.WriteString("gwadmin " + strings.Join(args, " ") + " -o " + output + "\n" + got.transcript())
			}
			shown := refusal.ReplaceAllString(text.String(), " refused")
			if strings.Contains(shown, "secret") {
				t.Error("it shows a password")
			}
			golden(t, "targets/"+name+".txt", shown)
		})
	}
}

// The verbs of migrate say what they came to on each target: new, at an old revision, drifted
// and down.
func TestTargetsMigrate(t *testing.T) {
	t.Parallel()
	fresh, old, drifted, good := newSite(t, nil), ours(t), ours(t), ours(t)
	old.exec("delete from graphile_worker.migrations where id > 17")
	drifted.exec("alter table graphile_worker._private_jobs alter column priority set default 7")
	env := targetsOf("new", fresh.url, "old", old.url, "drifted", drifted.url, "down", down, "good", good.url)
	var text strings.Builder
	run := func(code int, env []string, args ...string) {
		t.Helper()
		got := gwadmin(t, env, "", append([]string{"migrate"}, args...)...)
		checkCode(t, code, got)
		text.WriteString("gwadmin migrate " + strings.Join(args, " ") + "\n" + got.transcript())
	}
	for _, verb := range []string{"status", "plan", "validate"} {
		run(exitConnect, env, verb)
		run(exitConnect, env, verb, "-o", "ndjson")
	}
	run(exitConnect, env, "up", "-o", "json")
	check(t, "revision of the new one", 20, value[int](fresh, "select max(id) from graphile_worker.migrations"))
	// The worst exit code of all is that of the command.
	run(exitUnsupported, targetsOf("old", old.url, "drifted", drifted.url, "good", good.url), "validate")
	run(exitDrifted, targetsOf("drifted", drifted.url, "good", good.url), "validate")
	run(exitOK, targetsOf("new", fresh.url, "good", good.url), "up")
	run(exitPending, targetsOf("empty", newSite(t, nil).url, "good", good.url), "plan")
	golden(t, "targets/migrate.txt", regexp.MustCompile(`"sql":"(\\.|[^"])*"`).ReplaceAllString(refusal.ReplaceAllString(text.String(), " refused"), `"sql":"…"`))
}

// A list of several targets goes on by its cursor, also if a target is away for a while, until
// every job has been listed once.
func TestTargetsPages(t *testing.T) {
	t.Parallel()
	eu, us := fixture(t), fixture(t)
	env := targetsOf("eu", eu.url, "us", us.url)
	eu.exec("delete from graphile_worker._private_jobs where id > 2")
	listed, cursor := []string{}, ""
	page := func(code int) bool {
		t.Helper()
		args := []string{"jobs", "list", "--limit", "2", "--sort", "-id", "-o", "ndjson"}
		if cursor != "" {
			args = append(args, "--cursor", cursor)
		}
		got := gwadmin(t, env, "", args...)
		checkCode(t, code, got)
		for line := range strings.Lines(got.Stdout) {
			type job struct {
				Target string
				ID     int
			}
			if job := parse[job](t, result{Stdout: line}); job.ID > 0 {
				listed = append(listed, fmt.Sprint(job.Target, job.ID))
			}
		}
		_, next, more := strings.Cut(got.Stderr, "there are more: go on with --cursor ")
		cursor = strings.TrimSpace(next)
		return more
	}
	if !page(exitOK) || strings.Contains(cursor, "eu=") {
		t.Errorf("after the first page: %s", cursor)
	}
	us.exec("alter schema graphile_worker rename to away")
	if before := cursor; !page(exitPending) || cursor != before {
		t.Errorf("while a target is away the cursor becomes %q instead of %q", cursor, before)
	}
	us.exec("alter schema away rename to graphile_worker")
	for page(exitOK) {
		if len(listed) > 20 {
			t.Fatalf("no end: %v", listed)
		}
	}
	check(t, "jobs", []string{"eu2", "eu1", "us7", "us6", "us5", "us4", "us3", "us2", "us1"}, listed)
	// A target that is away from the start is in the cursor, too.
	eu.exec("alter schema graphile_worker rename to away")
	cursor, listed = "", nil
	if !page(exitPending) || !strings.HasPrefix(cursor, "eu=,us=") {
		t.Errorf("with eu away from the start: %s", cursor)
	}
}

// Tables that are not alike are sections.
func TestTargetsSections(t *testing.T) {
	t.Parallel()
	a, task := &app{}, admin.Task{Identifier: "send", Jobs: admin.Counts{admin.Ready: 1}}
	all := outcomes{{Target: "eu", app: a, Result: shownTasks{task}}, {Target: "us", app: a, Result: comparedTasks{{Task: task, Declared: true}}}}
	text, _ := a.text(all)
	check(t, "tables", "== eu\ntask  ready  total\nsend      1      1\n\n== us\ntask  declared  ready  total\nsend  yes           1      1\n", text)
}

// Targets are given by flag or by variable, and verbs that take one say so.
func TestTargetFlags(t *testing.T) {
	t.Parallel()
	eu, us := fixture(t), fixture(t)
	env := targetsOf("eu", eu.url, "us", us.url)
	for _, tc := range []struct {
		env  []string
		args string
		code int
		says string
	}{
		{env, "jobs complete 1 --yes", exitUsage, "gwadmin: this works on one target, and there are eu, us: name one with --target\n"},
		{env, "jobs export", exitUsage, "there are eu, us"},
		{env, "migrate down --yes", exitUsage, "there are eu, us"},
		{env, "queues --target eus", exitUsage, "no target of this name: did you mean eu or us?"},
		{env, "queues --target eu --target eu", exitUsage, "two targets are named eu"},
		{env, "queues --target eu --database-url " + us.url, exitUsage, "--target and --database-url exclude each other"},
		{env, "jobs list --cursor asia=x", exitUsage, "--cursor is not of these targets: give it as it was printed, and the same targets (eu, us)"},
		{env, "jobs list --cursor eu=x", exitUsage, "is not a cursor or was changed"},
		{env, "jobs list --state red", exitUsage, `"red"`},
		{env, "version", exitOK, ""},
		{nil, "queues --target=" + down, exitUsage, "--target is not NAME=CONNECTION or NAME/SCHEMA=CONNECTION"},
		{nil, "queues --target x=", exitUsage, "--target x has no connection string"},
		{nil, "queues --target x/=y", exitUsage, "--target x has an empty schema"},
		{nil, "queues --target x=" + down + "?connect_timeout=no", exitUsage, "target x: "},
		{nil, "queues --target secret@h", exitUsage, "--target is not NAME=CONNECTION"},
		{[]string{targetsEnv + "=a=" + down + "\nsecret"}, "queues", exitUsage, targetsEnv + ", line 2: is not NAME=CONNECTION"},
		{targetsOf("eu", eu.url), "metrics --once", exitOK, ""},
		{append(env, "GWADMIN_REPLICA_URL="+eu.url), "metrics --once", exitUsage, "GWADMIN_REPLICA_URL is for one target, and there are 2"},
	} {
		got := gwadmin(t, tc.env, "", strings.Fields(tc.args)...)
		checkCode(t, tc.code, got)
		if !strings.Contains(got.Stderr, tc.says) || strings.Contains(got.Stderr, "secret") || tc.code == exitUsage && got.Stdout != "" {
			t.Errorf("%s: %s", tc.args, got.transcript())
		}
	}
	// One of them can be changed.
	checkCode(t, exitOK, gwadmin(t, env, "", "jobs", "complete", "1", "--yes", "--target", "us"))
	checkCode(t, exitOK, gwadmin(t, nil, "", "jobs", "complete", "2", "--yes", "--target", "x="+us.url))
	check(t, "jobs of eu and us", []int{7, 5}, []int{eu.count(), us.count()})
	// --database-url comes before GWADMIN_TARGETS, and that before DATABASE_URL.
	check(t, "by --database-url", 5, len(parse[admin.Page](t, gwadmin(t, env, "", "jobs", "list", "-o", "json", "--database-url", us.url)).Jobs))
	// Two schemas of one database.
	two := siteIn(t, testdb.Ours(weird), weird)
	two.exec("select graphile_worker.add_job('one')")
	got := gwadmin(t, nil, "", "tasks", "--no-headers", "--target", "a/"+weird+"="+two.url, "--target", "b="+two.url)
	checkCode(t, exitPending, got)
	check(t, "of a schema of its own", "a  one  1  1\n", got.Stdout)
}

func (s *site) count() int {
	s.Helper()
	return value[int](s, "select count(*)::int from graphile_worker._private_jobs")
}

// Targets are read at the same time. If one is slow, Ctrl-C shows what the others have.
func TestTargetsSlow(t *testing.T) {
	t.Parallel()
	sites := []*site{fixture(t), fixture(t), fixture(t)}
	env := targetsOf("a", sites[0].url, "b", sites[1].url, "c", sites[2].url)
	var release []func()
	for _, s := range sites {
		release = append(release, s.holding("lock table graphile_worker._private_jobs"))
	}
	p := start(t, env, strings.NewReader(""), "jobs", "list", "--id", "1", "--columns", "id")
	for _, s := range sites {
		s.blocked() // all at once
	}
	release[0]()
	release[2]()
	for _, s := range []*site{sites[0], sites[2]} {
		until(t, "the end of a target's list", func() bool {
			return value[int](s, `select count(*)::int from pg_catalog.pg_stat_activity where datname = current_database() and application_name = 'gwadmin' and state <> 'idle'`) == 0
		})
	}
	p.interrupt()
	got := p.wait()
	checkCode(t, exitInterrupted, got)
	check(t, "stdout", "target  id\na        1\nc        1\n", got.Stdout)
	if !strings.HasPrefix(got.Stderr, "b: interrupted: ") {
		t.Errorf("stderr: %s", got.Stderr)
	}
	release[1]()
}

// A target that takes the connection and never answers is down after a while.
func TestTargetsSilent(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	got := gwadmin(t, targetsOf("silent", "postgres://u:secret@"+listener.Addr().String()+"/db?sslmode=disable", "eu", fixture(t).url), "", "jobs", "list", "--id", "1", "--columns", "id")
	checkCode(t, exitConnect, got)
	check(t, "stdout", "target  id\neu       1\n", got.Stdout)
	if !strings.HasPrefix(got.Stderr, "silent: list jobs: failed to connect") || strings.Contains(got.Stderr, "secret") {
		t.Errorf("stderr: %s", got.Stderr)
	}
}

// A watch goes on while one target is away, and ends at once if all are.
func TestTargetsWatch(t *testing.T) {
	t.Parallel()
	eu, us := fixture(t), fixture(t)
	p := start(t, targetsOf("eu", eu.url, "us", us.url), strings.NewReader(""), "jobs", "list", "--id", "1", "--columns", "id", "--watch=100ms")
	until(t, "both", func() bool { return strings.Contains(p.stdout.String(), "eu       1\nus       1\n") })
	us.exec("alter schema graphile_worker rename to away")
	until(t, "one, and what is wrong with the other", func() bool {
		return strings.Contains(p.stdout.String(), "every 100ms: us: list jobs: schema of Graphile Worker is not installed") &&
			strings.Contains(p.stdout.String(), "--schema-only\ntarget  id\neu       1\n\n")
	})
	us.exec("alter schema away rename to graphile_worker")
	seen := len(p.stdout.String())
	until(t, "both again", func() bool { return strings.Contains(p.stdout.String()[seen:], "eu       1\nus       1\n") })
	p.interrupt()
	checkCode(t, exitOK, p.wait())

	got := gwadmin(t, targetsOf("a", down, "b", down), "", "queues", "--watch=100ms")
	checkCode(t, exitConnect, got)
	if got.Stdout != "" || !strings.Contains(got.Stderr, "gwadmin: a: queues: failed to connect") || !strings.Contains(got.Stderr, "\nb: queues: failed to connect") {
		t.Errorf("all down: %s", got.transcript())
	}
}

// Every sample has the target, and a target that is down has gwadmin_up 0.
func TestTargetsMetrics(t *testing.T) {
	t.Parallel()
	eu, us := fixture(t), ours(t)
	env := targetsOf("eu", eu.url, "us", us.url, "down", down)
	got := gwadmin(t, env, "", "metrics", "--once")
	checkCode(t, exitConnect, got)
	for line := range strings.Lines(got.Stdout) {
		if line[0] != '#' && !regexp.MustCompile(`[{,]target="(eu|us|down)"[,}]`).MatchString(line) {
			t.Errorf("no target: %s", line)
		}
	}
	for _, sample := range []string{
		`gwadmin_up{target="eu"} 1`, `gwadmin_up{target="us"} 1`, `gwadmin_up{target="down"} 0`,
		`graphile_worker_jobs{state="permafailed",target="eu"} 1`, `graphile_worker_jobs{state="permafailed",target="us"} 0`,
	} {
		if !strings.Contains(got.Stdout, "\n"+sample+"\n") {
			t.Errorf("%s is missing in\n%s", sample, got.Stdout)
		}
	}
	if !strings.HasPrefix(got.Stderr, "down: check: failed to connect") || strings.Contains(got.Stderr, "secret") {
		t.Errorf("stderr: %s", got.Stderr)
	}

	p := start(t, env, nil, "metrics", "--listen", "127.0.0.1:0")
	p.expect("serving on http://")
	_, base, _ := strings.Cut(strings.TrimSpace(p.stderr.String()), "serving on ")
	ready := func() (int, string) {
		t.Helper()
		return get(t, http.DefaultClient, base+"/readyz")
	}
	code, body := ready()
	check(t, "readyz", "200 eu: ok\nus: ok\ndown: cannot connect to the database\n", fmt.Sprint(code, " ", body))
	p.expect("down: readyz: check: failed to connect")
	for _, s := range []*site{eu, us} {
		s.exec("alter schema graphile_worker rename to away")
	}
	if code, body = ready(); code != 503 || !strings.Contains(body, "eu: check: schema of Graphile Worker is not installed") {
		t.Errorf("readyz without a target: %d %s", code, body)
	}
	p.interrupt()
	checkCode(t, exitOK, p.wait())
}

// The page lists the targets, and serves the page of each.
func TestTargetsUI(t *testing.T) {
	t.Parallel()
	eu, us := fixture(t), siteIn(t, testdb.Ours(weird), weird)
	p := start(t, targetsOf("eu", eu.url, "us/"+weird, us.url, "down", down), nil, "ui", "--listen", "127.0.0.1:0")
	p.expect("The admin page of 3 targets.")
	until(t, "the link", func() bool { return strings.HasSuffix(p.stdout.String(), "\n") })
	link := strings.TrimSpace(p.stdout.String())
	base, _, _ := strings.Cut(link, "?")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	for _, path := range []string{"", "t/eu/", "t/us/jobs"} {
		if code, _ := get(t, http.DefaultClient, base+path); code != http.StatusUnauthorized {
			t.Errorf("/%s without the token: %d", path, code)
		}
	}
	code, list := get(t, browser, link)
	for _, text := range []string{`<a href="t/eu/" data-open>eu</a>`, `<a href="t/us/" data-open>us</a></td><td data-label="Schema">Weird &#34;Name&#34;`, "The database cannot be reached."} {
		if code != http.StatusOK || !strings.Contains(list, text) {
			t.Errorf("the list: %d without %s\n%s", code, text, list)
		}
	}
	for path, want := range map[string]int{"t/eu/": 200, "t/eu/jobs?q=state%3Apermafailed": 200, "t/us/queues": 200, "t/eu/static/style.css": 200, "t/asia/": 404, "nothing": 404} {
		code, body := get(t, browser, base+path)
		if code != want {
			t.Errorf("/%s: %d", path, code)
		}
		if path == "t/eu/" && !strings.Contains(body, `<a href="../../">Targets</a>`) {
			t.Errorf("no way back to the list:\n%s", body)
		}
	}
	p.expect("down: check: failed to connect")
	p.interrupt()
	got := p.wait()
	checkCode(t, exitOK, got)
	if strings.Contains(got.Stderr+list, "secret") {
		t.Error("it shows a password")
	}
}

// The shell completes the names of targets, and what is on any of them.
func TestTargetsCompletion(t *testing.T) {
	t.Parallel()
	eu, us := fixture(t), ours(t)
	us.exec("select graphile_worker.add_job('sent')")
	for typed, want := range map[string][]string{
		"stats --target ":                {"eu", "us", "down"},
		"jobs list --task sen":           {"send", "sent"},
		"jobs list --target us --task s": {"sent"},
	} {
		got := gwadmin(t, targetsOf("eu", eu.url, "us", us.url, "down", down), "", append([]string{"__completeNoDesc"}, strings.Split(typed, " ")...)...)
		values, _, _ := strings.Cut(got.Stdout, ":")
		if lines := strings.Fields(values); !slices.Equal(want, lines) {
			t.Errorf("%q: %q, want %q", typed, lines, want)
		}
	}
}
