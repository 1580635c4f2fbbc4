package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
)

// weird is a schema name that must be quoted, with quotes in it.
const weird = `Weird "Name"`

// patience is how long a run may take before its test gives up on it.
const patience = time.Minute

func TestMain(m *testing.M) {
	code := m.Run()
	gwadmincmd.Remove()
	os.Exit(code)
}

// A result is what a run of the command came to.
type result struct {
	Stdout, Stderr string
	Code           int // -1 when a signal ended it
}

// gwadmin runs the command to its end. It sees the variables of env, such as
// DATABASE_URL=…, and none of the test's own.
func gwadmin(t testing.TB, env []string, stdin string, args ...string) result {
	t.Helper()
	return start(t, env, strings.NewReader(stdin), args...).wait()
}

// A process is a run of the command that has not ended yet.
type process struct {
	testing.TB
	cmd            *exec.Cmd
	stdout, stderr printed
}

// printed is what a process has printed so far.
type printed struct {
	mu   sync.Mutex
	text strings.Builder
}

func (p *printed) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(text)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// start starts the command; the end of the test ends it.
func start(t testing.TB, env []string, stdin io.Reader, args ...string) *process {
	t.Helper()
	p := &process{TB: t, cmd: command(t, env, args...)}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// command is the command with a clean environment, and a home without any of
// PostgreSQL's files in it.
func command(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, gwadmincmd.File(t), args...)
	cmd.Dir = filepath.Dir(cmd.Path)
	cmd.Env = append([]string{"HOME=" + cmd.Dir, "PGPASSFILE=" + os.DevNull, "PGSERVICEFILE=" + os.DevNull, "TZ=UTC"}, env...)
	return cmd
}

// interrupt does what Ctrl-C does.
func (p *process) interrupt() {
	p.Helper()
	if runtime.GOOS == "windows" {
		p.Skip("one process cannot interrupt another here")
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.Fatal(err)
	}
}

// expect waits until standard error has a text.
func (p *process) expect(text string) {
	p.Helper()
	for deadline := time.Now().Add(patience / 2); !strings.Contains(p.stderr.String(), text); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.Fatalf("it does not say %q, but:\n%s", text, p.stderr.String())
		}
	}
}

func (p *process) wait() result {
	p.Helper()
	code := exitOf(p.TB, p.cmd)
	return result{p.stdout.String(), p.stderr.String(), code}
}

// exitOf waits for the end of a run and returns its exit code.
func exitOf(t testing.TB, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Errorf("gwadmin %q: %v", cmd.Args[1:], err)
	}
	return cmd.ProcessState.ExitCode()
}

// A site is a database, and the command on it.
type site struct {
	testing.TB
	pool   *pgxpool.Pool
	url    string
	schema string
}

// newSite works on a copy of the template, in the schema graphile_worker.
func newSite(t testing.TB, template *pgtest.Template) *site {
	t.Helper()
	return siteIn(t, template, graphile.DefaultSchema)
}

// siteIn works on a copy of the template, whose schema has another name.
func siteIn(t testing.TB, template *pgtest.Template, schema string) *site {
	t.Helper()
	pool := pgtest.Pool(t, template)
	return &site{TB: t, pool: pool, url: pool.Config().ConnString(), schema: schema}
}

// ours is a site with this module's schema.
func ours(t testing.TB) *site {
	t.Helper()
	return newSite(t, testdb.Ours(""))
}

// env is the environment for the site's database.
func (s *site) env(more ...string) []string { return append(more, "DATABASE_URL="+s.url) }

// args adds the schema's name, unless it is the default.
func (s *site) args(args []string) []string {
	if s.schema == graphile.DefaultSchema {
		return args
	}
	return append([]string{"--schema", s.schema}, args...)
}

// run runs the command on the site's database, without a terminal.
func (s *site) run(args ...string) result {
	s.Helper()
	return gwadmin(s.TB, s.env(), "", s.args(args)...)
}

// piped is run with something on standard input.
func (s *site) piped(stdin string, args ...string) result {
	s.Helper()
	return gwadmin(s.TB, s.env(), stdin, s.args(args)...)
}

// exec runs a statement that is written for the schema graphile_worker.
func (s *site) exec(sql string, args ...any) {
	s.Helper()
	if _, err := s.pool.Exec(s.Context(), graphile.Rename(sql, s.schema), args...); err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
}

// value reads one value, by SQL written for the schema graphile_worker.
func value[T any](s *site, sql string, args ...any) (v T) {
	s.Helper()
	if err := s.pool.QueryRow(s.Context(), graphile.Rename(sql, s.schema), args...).Scan(&v); err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
	return v
}

// rows are all rows and sequences of the schema.
func (s *site) rows() (rows map[string][]string) {
	s.Helper()
	err := s.pool.AcquireFunc(s.Context(), func(conn *pgxpool.Conn) (err error) {
		rows, err = upstream.Snapshot(s.Context(), conn.Conn(), s.schema)
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return rows
}

// blocked waits until a statement in the site's database waits for a lock.
func (s *site) blocked() {
	s.Helper()
	const waiting = `select count(*) from pg_catalog.pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
	for deadline := time.Now().Add(patience); value[int](s, waiting) == 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatal("nothing waits for a lock")
		}
	}
}

// gone waits until the server has ended every run on the site's database.
func (s *site) gone() {
	s.Helper()
	const running = `select count(*) from pg_catalog.pg_stat_activity where datname = current_database() and application_name = 'gwadmin'`
	for deadline := time.Now().Add(patience / 2); value[int](s, running) > 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatal("the server still has a connection of it")
		}
	}
}

// check compares whole values; the blanks within JSON do not count.
func check(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := gocmp.Diff(want, got, compacted); diff != "" {
		t.Errorf("%s: -want +got\n%s", what, diff)
	}
}

var compacted = gocmp.Transformer("compact", func(text json.RawMessage) string {
	var compact bytes.Buffer
	if json.Compact(&compact, text) != nil {
		return string(text)
	}
	return compact.String()
})

// checkCode compares the exit code. A failure shows all output.
func checkCode(t testing.TB, want int, got result) {
	t.Helper()
	if got.Code != want {
		t.Errorf("exit code %d, want %d\n%s", got.Code, want, got.transcript())
	}
}

// golden compares with a file in testdata, which -update rewrites.
func golden(t testing.TB, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
		t.Errorf("%s, which -update rewrites: -want +got\n%s", file, diff)
	}
}

// transcript is a run as it is in a golden file.
func (r result) transcript() string {
	var text strings.Builder
	for _, part := range []struct{ name, content string }{{"stdout", r.Stdout}, {"stderr", r.Stderr}} {
		if part.content != "" {
			fmt.Fprintf(&text, "-- %s --\n%s", part.name, normal(part.content))
			if !strings.HasSuffix(part.content, "\n") {
				fmt.Fprintln(&text, "%")
			}
		}
	}
	fmt.Fprintf(&text, "-- exit %d --\n", r.Code)
	return text.String()
}

var (
	timestamps = regexp.MustCompile(`(\d{4}-\d\d-\d\d)([ T])(\d\d:\d\d:\d\d)(\.\d+)?`)
	shortTimes = regexp.MustCompile(`( )\d\d-\d\d \d\d:\d\d(Z|[+-]\d\d)`) // of this year
	testNames  = regexp.MustCompile(`gwadmin_test_\w+`)
)

// normal replaces what differs from run to run by text of the same width: the name of the
// test database, and times of the last and the next days.
func normal(text string) string {
	text = testNames.ReplaceAllString(text, "DATABASE")
	text = shortTimes.ReplaceAllString(text, "${1}MM-DD hh:mm$2")
	return timestamps.ReplaceAllStringFunc(text, func(stamp string) string {
		parts := timestamps.FindStringSubmatch(stamp)
		at, err := time.Parse(time.DateTime, parts[1]+" "+parts[3])
		if err != nil || time.Since(at).Abs() > 10*24*time.Hour {
			return stamp
		}
		return "YYYY-MM-DD" + cmp.Or(parts[2], " ") + "hh:mm:ss"
	})
}
