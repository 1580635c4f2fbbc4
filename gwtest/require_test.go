package gwtest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/gwtest"
)

func (tb *scopeTB) Fatal(args ...any)                 { tb.fatal = fmt.Sprint(args...); panic(tb) }
func (tb *scopeTB) Fatalf(format string, args ...any) { tb.Fatal(fmt.Sprintf(format, args...)) }

// failure returns how f fails its test, or "".
func failure(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	tb := &scopeTB{TB: t}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(tb) {
				panic(r)
			}
		}()
		f(tb)
	}()
	// go-cmp writes blanks of two kinds, at random.
	return strings.NewReplacer("\u00a0", " ", "\t", " ").Replace(tb.fatal)
}

var noon = time.Date(2100, 1, 2, 12, 0, 0, 123456789, time.FixedZone("", 3600))

// filled has three jobs of send_receipt and one of another task.
func filled(t *testing.T) *gwtest.Fake {
	t.Helper()
	fake := &gwtest.Fake{}
	for _, options := range []*admin.AddJobOptions{
		{QueueName: new("mail"), JobKey: new("order-1"), RunAt: admin.At(noon), Priority: new(-3), MaxAttempts: new(5), Flags: []string{"slow", "big"}},
		{RunAt: admin.Never()},
		nil,
	} {
		if _, err := SendReceipt.Add(t.Context(), fake, Receipt{Order: len(fake.Jobs()) + 1}, options); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ResizeImage.Add(t.Context(), fake, []int{4}, nil); err != nil {
		t.Fatal(err)
	}
	return fake
}

func TestOptions(t *testing.T) {
	t.Parallel()
	fake := filled(t)
	for _, tt := range []struct {
		reason  string
		options []gwtest.Option
		want    []int64 // the ids of the jobs that agree
	}{
		{"no option asks for nothing", nil, []int64{1, 2, 3}},
		{"the payload", []gwtest.Option{gwtest.Where(func(r Receipt) bool { return r.Order > 1 })}, []int64{2, 3}},
		{"two functions", []gwtest.Option{gwtest.Where(func(r Receipt) bool { return r.Order > 1 }), gwtest.Where(func(r Receipt) bool { return r.Order < 3 })}, []int64{2}},
		{"the queue", []gwtest.Option{gwtest.Queue("mail")}, []int64{1}},
		{"another queue", []gwtest.Option{gwtest.Queue("")}, nil},
		{"no queue", []gwtest.Option{gwtest.NoQueue()}, []int64{2, 3}},
		{"the key", []gwtest.Option{gwtest.Key("order-1")}, []int64{1}},
		{"another key", []gwtest.Option{gwtest.Key("order-2")}, nil},
		{"no key", []gwtest.Option{gwtest.NoKey()}, []int64{2, 3}},
		{"the moment, to the microsecond", []gwtest.Option{gwtest.RunAt(noon.UTC(), 0)}, []int64{1}},
		{"another moment", []gwtest.Option{gwtest.RunAt(noon.Add(time.Microsecond), 0)}, nil},
		{"a moment near it", []gwtest.Option{gwtest.RunAt(noon.Add(-time.Hour), time.Hour)}, []int64{1}},
		{"now", []gwtest.Option{gwtest.RunAt(time.Now(), time.Minute)}, []int64{3}},
		{"never", []gwtest.Option{gwtest.RunNever()}, []int64{2}},
		{"the priority", []gwtest.Option{gwtest.Priority(-3)}, []int64{1}},
		{"zero is a priority", []gwtest.Option{gwtest.Priority(0)}, []int64{2, 3}},
		{"the attempts", []gwtest.Option{gwtest.Attempts(0), gwtest.MaxAttempts(5)}, []int64{1}},
		{"other attempts", []gwtest.Option{gwtest.Attempts(1)}, nil},
		{"the flags, in any order", []gwtest.Option{gwtest.Flags("slow", "big")}, []int64{1}},
		{"some of the flags", []gwtest.Option{gwtest.Flags("slow")}, nil},
		{"no flags", []gwtest.Option{gwtest.Flags()}, []int64{2, 3}},
		{"all must agree", []gwtest.Option{gwtest.NoKey(), gwtest.RunNever()}, []int64{2}},
	} {
		n := gwtest.Count(len(tt.want))
		added := failure(t, func(tb testing.TB) { fake.RequireAdded(tb, SendReceipt, append(tt.options, n)...) })
		if added != "" {
			t.Errorf("%s: %s", tt.reason, added)
		}
		var first *admin.Job
		added = failure(t, func(tb testing.TB) { first = fake.RequireAdded(tb, SendReceipt, tt.options...) })
		notAdded := failure(t, func(tb testing.TB) { fake.RequireNotAdded(tb, SendReceipt, tt.options...) })
		if there := len(tt.want) > 0; there != (added == "") || there != (notAdded != "") {
			t.Errorf("%s: RequireAdded fails with %q, RequireNotAdded with %q", tt.reason, added, notAdded)
		}
		if len(tt.want) > 0 && first.ID != tt.want[0] {
			t.Errorf("%s: returned job %d, want %d", tt.reason, first.ID, tt.want[0])
		}
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	fake := filled(t)
	if _, err := fake.RemoveJob(t.Context(), "order-1", nil); err != nil {
		t.Fatal(err)
	}
	isSeven := gwtest.Where(func(r Receipt) bool { return r.Order == 7 })
	for _, tt := range []struct {
		reason string
		test   func(testing.TB)
		want   string
	}{
		{"each job of the task beside what was expected", func(tb testing.TB) {
			fake.RequireAdded(tb, SendReceipt, isSeven, gwtest.RunNever(), gwtest.Queue("mail"))
		}, `want a job of task "send_receipt", found 0
jobs of the task that differ: 2
job 2: -want +got
  map[string]any{
-  "payload": string("what the function of Where accepts"),
+  "payload": string(` + "`" + `{"order":2}` + "`" + `),
-  "queue":   string("mail"),
+  "queue":   nil,
   "run_at":  string("infinity"),
  }

job 3: -want +got
  map[string]any{
-  "payload": string("what the function of Where accepts"),
+  "payload": string(` + "`" + `{"order":3}` + "`" + `),
-  "queue":   string("mail"),
+  "queue":   nil,
-  "run_at":  string("infinity"),
+  "run_at":  string("NOW"),
  }
`},
		{"a misspelled task", func(tb testing.TB) { fake.RequireAdded(tb, admin.NewTask[Receipt]("send_reciept", nil)) },
			`want a job of task "send_reciept", found 0
tasks that have jobs: resize_image, send_receipt`},
		{"too many", func(tb testing.TB) { fake.RequireAdded(tb, SendReceipt, gwtest.Count(1)) },
			`want exactly 1 of task "send_receipt", found 2
job 2: payload {"order":2}, run_at infinity
job 3: payload {"order":3}, run_at NOW`},
		{"one that should not be", func(tb testing.TB) { fake.RequireNotAdded(tb, SendReceipt, gwtest.RunNever()) },
			`want no such job of task "send_receipt", found 1
job 2: payload {"order":2}, run_at infinity`},
		{"a function for another task", func(tb testing.TB) { fake.RequireNotAdded(tb, ResizeImage, isSeven) },
			`where: the function takes gwtest_test.Receipt, and the payload of task "resize_image" is []int`},
		{"a payload that does not fit the declaration", func(tb testing.TB) {
			fake.RequireAdded(tb, admin.NewTask[Receipt]("resize_image", nil), isSeven)
		}, `want a job of task "resize_image", found 0
jobs of the task that differ: 1
job 4: -want +got
  map[string]any{
   "payload": strings.Join({
-   "what the function of Where accepts",
+   ` + "`" + `decode job 4 of task "resize_image": payload: JSON array does no` + "`" + `,
+   "t fit Go type gwtest_test.Receipt",
   }, ""),
  }
`},
		{"a wrong declaration", func(tb testing.TB) { fake.RequireNotAdded(tb, admin.NewTask[Receipt]("", nil)) },
			`task "": invalid input: task_identifier is empty: no worker runs such a job`},
		{"an option of the other function", func(tb testing.TB) { fake.RequireNotAdded(tb, SendReceipt, gwtest.Count(0)) },
			`Count is an option of RequireAdded alone`},
		{"no database", func(tb testing.TB) { gwtest.RequireNotAdded(tb, nil, SendReceipt) },
			`read the jobs of task "send_receipt": list jobs: admin client: the database is nil`},
	} {
		got := failure(t, tt.test)
		if run := fake.Jobs()[1].RunAt; !run.Time.IsZero() {
			got = strings.ReplaceAll(got, run.String(), "NOW")
		}
		check(t, tt.reason, tt.want, got)
	}
}

// TestInTransaction sees what nobody has committed, and nobody else sees.
func TestInTransaction(t *testing.T) {
	t.Parallel()
	pool := gwtest.Pool(t)
	conn, err := pgx.Connect(t.Context(), pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SendReceipt.Add(t.Context(), admin.New(tx), Receipt{Order: 7}, nil); err != nil {
		t.Fatal(err)
	}
	job := gwtest.RequireAdded(t, tx, SendReceipt, gwtest.Where(func(r Receipt) bool { return r.Order == 7 }))
	if receipt, err := SendReceipt.Decode(job); err != nil || receipt != (Receipt{7}) {
		t.Errorf("decoded %v, %v", receipt, err)
	}
	gwtest.RequireAdded(t, conn, SendReceipt)
	gwtest.RequireNotAdded(t, pool, SendReceipt)
	text := failure(t, func(tb testing.TB) { gwtest.RequireAdded(tb, tx, ResizeImage) })
	check(t, "the tasks there", "want a job of task \"resize_image\", found 0\ntasks that have jobs: send_receipt", text)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	gwtest.RequireNotAdded(t, conn, SendReceipt)

	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	sqlTx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SendReceipt.Add(t.Context(), admin.New(admin.SQL(sqlTx)), Receipt{Order: 7}, nil); err != nil {
		t.Fatal(err)
	}
	gwtest.RequireAdded(t, admin.SQL(sqlTx), SendReceipt)
	gwtest.RequireNotAdded(t, admin.SQL(db), SendReceipt)
	if err := sqlTx.Rollback(); err != nil {
		t.Fatal(err)
	}
}

// TestManyJobs are more than a page of a list, and more than a failure shows.
func TestManyJobs(t *testing.T) {
	t.Parallel()
	pool := gwtest.Pool(t)
	var specs []admin.JobSpec
	for i := range 250 {
		specs = append(specs, SendReceipt.Spec(Receipt{Order: i}, nil))
	}
	if _, err := admin.New(pool).AddJobs(t.Context(), specs, nil); err != nil {
		t.Fatal(err)
	}
	gwtest.RequireAdded(t, pool, SendReceipt, gwtest.Count(250))
	text := failure(t, func(tb testing.TB) {
		gwtest.RequireAdded(tb, pool, SendReceipt, gwtest.Where(func(r Receipt) bool { return r.Order < 20 }), gwtest.Count(1))
	})
	if shown := strings.Count(text, "\njob "); shown != 20 || !strings.Contains(text, "found 20\n") || !strings.Contains(text, "that differ: 230\n") {
		t.Errorf("shown are %d jobs in:\n%s", shown, text)
	}
}
