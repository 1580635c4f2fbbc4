package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/examples/orders/tasks"
)

// TestTry starts the program with its own PostgreSQL and the real worker, does what it
// says, and looks into the database.
func TestTry(t *testing.T) {
	need(t, "sh", "curl")
	p := start(t)
	answers := []string{ // to each line
		`{"id":1}`,
		`"paid_at":"2.*"receipt_sent_at":"2.*"jobs":\[\]`,
		`{"id":2}`,
		`"id":4,.*"payload":{"order":2},.*"last_error":"the mail server does not know the address"`,
		`"email":"bob@example.com"`,
		`"matched":[01],`, // 0 if it is being retried already
		`"receipt_sent_at":"2.*"jobs":\[\]`,
		` 1000 202`,
	}
	lines := regexp.MustCompile(`(?m)^  curl .*$`).FindAllString(p.printed, -1)
	if len(lines) != len(answers) {
		t.Fatalf("%d lines to try, and %d answers:\n%s", len(lines), len(answers), p.printed)
	}
	for i, line := range lines {
		line = strings.Replace(line, "[1-10000]", "[1-1000]", 1)
		want := regexp.MustCompile(answers[i])
		eventually(t, line+" answers "+answers[i], func() bool {
			out, err := exec.Command("sh", "-c", line).Output()
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if !want.Match(out) && !strings.Contains(line, " curl http") { // it does something
				t.Fatalf("%s: want %s, got %s", line, want, out)
			}
			return want.Match(out)
		})
	}

	url := regexp.MustCompile(`postgres://[^']+`).FindString(p.printed)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "there are no more jobs", func() bool {
		var jobs int
		if err := conn.QueryRow(t.Context(), "select count(*) from graphile_worker.jobs").Scan(&jobs); err != nil {
			t.Fatal(err)
		}
		return jobs == 0
	})
	type order struct {
		ID         int64
		Email      string
		Cents      int64
		Currency   tasks.Currency
		Paid, Sent bool
	}
	type outcome struct {
		Orders          []order
		Products, Views int
	}
	var got outcome
	rows, err := conn.Query(t.Context(), "select id, email, cents, currency, paid_at is not null, receipt_sent_at is not null from orders order by id")
	if err == nil {
		got.Orders, err = pgx.CollectRows(rows, pgx.RowToStructByPos[order])
	}
	if err == nil {
		err = conn.QueryRow(t.Context(), "select count(*), sum(views) from product_views").Scan(&got.Products, &got.Views)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := outcome{[]order{
		{1, "ada@example.com", 1999, tasks.EUR, true, true},
		{2, "bob@example.com", 500, tasks.USD, true, true},
	}, 1000, 1000}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in the database: -want +got\n%s", diff)
	}

	if _, err := conn.Exec(t.Context(), "select graphile_worker.add_job('count_view', '{\"product\": 1}') from generate_series(1, 10000)"); err != nil {
		t.Fatal(err)
	}
	if err := p.end(os.Interrupt); err != nil { // in the midst of these
		t.Errorf("after Ctrl-C: %v", err)
	}
	if _, err := pgx.Connect(t.Context(), url); err == nil {
		t.Error("PostgreSQL is still there")
	}
}

// TestKilled kills the program while its worker is busy, in a database of the team's. The
// worker finishes the jobs that it has begun.
func TestKilled(t *testing.T) {
	pool := database.Pool(t)
	p := start(t, "-database-url", pool.Config().ConnString())
	specs := make([]admin.JobSpec, 10_000)
	for i := range specs {
		specs[i] = tasks.CountView.Spec(tasks.View{Product: int64(i % 100)}, nil)
	}
	if _, err := admin.New(pool).AddJobsIDs(t.Context(), specs, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "some jobs have run", func() bool { return count(t, pool, "product_views") > 0 })
	if err := p.end(os.Kill); err == nil {
		t.Error("it was killed, and ended without an error")
	}
	left := count(t, pool, "graphile_worker.jobs")
	if held := count(t, pool, "graphile_worker.jobs where locked_at is not null"); left == 0 || held > 0 {
		t.Errorf("of %d jobs that are left the worker still holds %d, want some and none", left, held)
	}
}

func TestRefusesToStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		o    options
		want string
	}{
		{options{addr: taken.Addr().String()}, "choose another address with -addr"},
		{options{addr: "127.0.0.1:0", worker: "nowhere"}, "run this in examples/orders"},
		{options{addr: "127.0.0.1:0", databaseURL: "host=127.0.0.1"}, "-database-url must begin with postgres://"},
		{options{addr: "127.0.0.1:0", databaseURL: "postgres://ada:secret@127.0.0.1:1/orders"}, "connection refused"},
	} {
		err := run(t.Context(), c.o, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// A program is this one as a child process.
type program struct {
	t       *testing.T
	cmd     *exec.Cmd
	pipe    *os.File // that it and its worker write to
	output  *bufio.Reader
	printed string
}

// start builds and starts the program, and waits until it is ready.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	needWorker(t)
	binary := filepath.Join(t.TempDir(), "orders")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	pipe, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, cmd: exec.Command(binary, append([]string{"-addr", "127.0.0.1:0"}, args...)...), pipe: pipe, output: bufio.NewReader(pipe)}
	p.cmd.Stdout, p.cmd.Stderr = theirs, theirs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	theirs.Close()
	for !strings.HasSuffix(p.printed, "Ctrl-C ends it.\n") {
		line, err := p.output.ReadString('\n')
		if p.printed += line; err != nil {
			t.Fatalf("the program does not start: %v\n%s", err, p.printed)
		}
	}
	return p
}

// end sends a signal, and waits until the program and its worker have ended: then
// nobody writes to the pipe any more.
func (p *program) end(signal os.Signal) error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	if err := p.pipe.SetReadDeadline(time.Now().Add(2 * grace)); err != nil {
		p.t.Fatal(err)
	}
	rest, err := io.ReadAll(p.output)
	p.t.Logf("%s%s", p.printed, rest)
	if err != nil {
		p.t.Fatalf("the program and its worker do not end: %v", err)
	}
	return p.cmd.Wait()
}

// eventually waits until something is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after two minutes: %s", what)
		}
	}
}
