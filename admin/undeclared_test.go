package admin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

func TestUndeclaredTasks(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		undeclared := func(declared ...string) []admin.UndeclaredTask {
			return b.ok(b.client.UndeclaredTasks(b.ctx, declared)).([]admin.UndeclaredTask)
		}
		b.check("no task", []admin.UndeclaredTask{}, undeclared())
		for _, job := range []admin.Job{
			{TaskIdentifier: "send_receipt", CreatedAt: day0},
			{TaskIdentifier: "sendReciept", CreatedAt: day2},
			{TaskIdentifier: "sendReciept", CreatedAt: day1, Attempts: 25},
			{TaskIdentifier: "sendReciept", CreatedAt: day2, Attempts: 1, LockedBy: new("pool"), LockedAt: ago(time.Minute)},
			{TaskIdentifier: "old", CreatedAt: day0, Attempts: 30},
			{TaskIdentifier: "", CreatedAt: day0},
		} {
			b.insert(added(job))
		}
		b.exec("insert into graphile_worker._private_tasks (identifier) values ('without jobs')")
		want := []admin.UndeclaredTask{
			{Identifier: "", Jobs: 1, Pending: 1, Oldest: day0},
			{Identifier: "old", Jobs: 1, Pending: 0, Oldest: day0},
			{Identifier: "sendReciept", Jobs: 3, Pending: 2, Oldest: day1, DidYouMean: new("send_receipt")},
		}
		before := b.tables()
		b.check("some", want, undeclared("send", "send_receipt", "Send"))
		want[2].DidYouMean = nil
		b.check("no similar identifier", append(want, admin.UndeclaredTask{Identifier: "send_receipt", Jobs: 1, Pending: 1, Oldest: day0}), undeclared("else"))
		b.check("no declared task", 4, len(undeclared()))
		b.check("all", []admin.UndeclaredTask{}, undeclared("send_receipt", "", "old", "sendReciept"))
		b.check("the tables", before, b.tables())

		_, err := b.client.UndeclaredTasks(b.ctx, []string{"a", "b\x00", strings.Repeat("c", 129)})
		b.check("invalid", "undeclared tasks: invalid input: declared[1] has a NUL character; declared[2] has 129 characters, more than 128", fmt.Sprint(err))
	})
}

// UndeclaredTasks reads no job if every task is declared.
func TestUndeclaredTasksReadsNoJob(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.exec("select graphile_worker.add_job('a'), graphile_worker.add_job('b') from generate_series(1, 2000)")
	b.exec("analyze graphile_worker._private_jobs, graphile_worker._private_tasks")
	b.ok(b.client.UndeclaredTasks(b.ctx, nil))
	b.sent.take()
	for _, declared := range [][]string{{"a", "b"}, {"a"}} {
		b.ok(b.client.UndeclaredTasks(b.ctx, declared))
		query := b.sent.take()[0]
		plan := strings.Join(rowsOf[string](b, "explain (analyze, costs off, timing off) "+query.SQL, query.Args...), "\n")
		if read := !strings.Contains(plan, "Seq Scan on _private_jobs jobs (never executed)"); read != (len(declared) == 1) {
			b.Errorf("declared %q: read %t\n%s", declared, read, plan)
		}
		b.sent.take()
	}
}

func TestCheckDeclared(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.add("send_receipt", nil, nil)
	b.add("sendReciept", nil, nil)
	for _, tc := range []struct {
		declared []string
		want     string
	}{
		{nil, "<nil>"},
		{[]string{}, `check: jobs of undeclared tasks: "sendReciept" (1 job), "send_receipt" (1 job)`},
		{[]string{"send_receipt"}, `check: jobs of undeclared tasks: "sendReciept" (1 job; did you mean "send_receipt"?)`},
		{[]string{"send_receipt", "sendReciept", "more"}, "<nil>"},
		{[]string{"a\x00"}, "check: undeclared tasks: invalid input: declared[0] has a NUL character"},
	} {
		err := b.client.Check(b.ctx, tc.declared...)
		b.check(fmt.Sprintf("declared %q", tc.declared), tc.want, fmt.Sprint(err))
		if _, listed := errors.AsType[*admin.UndeclaredError](err); listed != strings.Contains(tc.want, "jobs of") {
			b.Errorf("%v is an UndeclaredError: %t", err, listed)
		}
	}
	_, err := admin.New(b.on, admin.WithSchema("none")).UndeclaredTasks(b.ctx, nil)
	b.check("not installed", true, errors.Is(err, admin.ErrNotInstalled))
	err = admin.New(b.on, admin.WithSchema("none")).Check(b.ctx, "send_receipt")
	b.check("not installed", true, errors.Is(err, admin.ErrNotInstalled))
}

func TestUndeclaredTasksElsewhere(t *testing.T) {
	t.Parallel()
	b := benchIn(t, testdb.Ours(weird), weird)
	b.add("a", nil, nil)
	b.check("another schema", []admin.UndeclaredTask{{Identifier: "a", Jobs: 1, Pending: 1, Oldest: now()}}, b.ok(b.client.UndeclaredTasks(b.ctx, nil)))
}

func TestUndeclaredError(t *testing.T) {
	t.Parallel()
	e := &admin.UndeclaredError{Tasks: []admin.UndeclaredTask{{Identifier: "a", Jobs: 1}, {Identifier: "b c", Jobs: 2, DidYouMean: new("bc")}}}
	for range 5 {
		e.Tasks = append(e.Tasks, admin.UndeclaredTask{Identifier: "x", Jobs: 9})
	}
	const want = `jobs of undeclared tasks: "a" (1 job), "b c" (2 jobs; did you mean "bc"?), "x" (9 jobs), "x" (9 jobs), "x" (9 jobs), and 2 more tasks`
	if e.Error() != want || !errors.Is(e, admin.ErrUndeclared) {
		t.Errorf("got %v\nwant %s", e, want)
	}
}

// Common misspellings of identifiers.
func TestUndeclaredDidYouMean(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	declared := []string{"send", "send_email", "send-sms", "resize_image", "Ünïcode", "resize_images", "--"}
	for identifier, want := range map[string]*string{
		"sendEmail": new("send_email"), "send_emial": new("send_email"), "email": nil, "sent": new("send"), "end": new("send"), "sms": nil, "sendsms": new("send-sms"),
		"resizeImage": new("resize_image"), "resize_imagess": new("resize_images"), "ünicode": new("Ünïcode"), "x": nil, "_": new("--"), "SEND": new("send"), "se": nil,
	} {
		b.exec("delete from graphile_worker._private_jobs")
		b.insert(added(admin.Job{TaskIdentifier: identifier}))
		tasks := b.ok(b.client.UndeclaredTasks(b.ctx, declared)).([]admin.UndeclaredTask)
		b.check(identifier, want, tasks[0].DidYouMean)
	}
}
