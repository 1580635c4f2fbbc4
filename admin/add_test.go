package admin_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/admin"
)

// nasty is text with every character that must be quoted or escaped somewhere.
const nasty = "a,b \"c\" 'd' \\e \\\\ \\\" {f} (g) $1 :h ? % \t\n\r ☃ 日本 👩‍🚀 \u2028 null NULL"

func TestAddJob(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason  string
		task    string
		payload any
		options *admin.AddJobOptions
		want    admin.Job
	}{
		{
			reason: "nil options are the defaults", task: "send",
			want: admin.Job{TaskIdentifier: "send"},
		},
		{
			reason: "empty options are the defaults", task: "send", options: &admin.AddJobOptions{},
			want: admin.Job{TaskIdentifier: "send"},
		},
		{
			reason: "all options", task: "send", payload: map[string]int{"n": 1},
			options: &admin.AddJobOptions{
				QueueName: new("mail"), RunAt: admin.At(later), MaxAttempts: new(3), JobKey: new("key"),
				JobKeyMode: admin.PreserveRunAt, Priority: new(-5), Flags: []string{"b", "a"},
			},
			want: admin.Job{
				TaskIdentifier: "send", QueueName: new("mail"), Payload: json.RawMessage(`{"n":1}`), RunAt: admin.RunAt{Time: later.UTC()},
				MaxAttempts: 3, Key: new("key"), Priority: -5, Flags: []string{"a", "b"},
			},
		},
		{
			reason: "the smallest value of every option", task: " ",
			options: &admin.AddJobOptions{
				QueueName: new(""), RunAt: &admin.RunAt{Infinity: pgtype.NegativeInfinity},
				MaxAttempts: new(1), JobKey: new(" "), Priority: new(math.MinInt16), Flags: []string{},
			},
			want: admin.Job{TaskIdentifier: " ", QueueName: new(""), RunAt: admin.RunAt{Infinity: pgtype.NegativeInfinity}, MaxAttempts: 1, Key: new(" "), Priority: math.MinInt16},
		},
		{
			reason: "the greatest value of every option, in characters of four bytes", task: strings.Repeat("🚀", 128),
			options: &admin.AddJobOptions{
				QueueName: new(strings.Repeat("🚀", 128)), RunAt: admin.Never(),
				MaxAttempts: new(math.MaxInt16), JobKey: new(strings.Repeat("🚀", 512)), Priority: new(math.MaxInt16), Flags: []string{strings.Repeat("🚀", 1000)},
			},
			want: admin.Job{
				TaskIdentifier: strings.Repeat("🚀", 128), QueueName: new(strings.Repeat("🚀", 128)), RunAt: *admin.Never(),
				MaxAttempts: math.MaxInt16, Key: new(strings.Repeat("🚀", 512)), Priority: math.MaxInt16, Flags: []string{strings.Repeat("🚀", 1000)},
			},
		},
		{
			reason: "text is text", task: nasty, payload: nasty,
			options: &admin.AddJobOptions{QueueName: new(nasty), JobKey: new(nasty), Flags: []string{nasty}},
			want:    admin.Job{TaskIdentifier: nasty, QueueName: new(nasty), Payload: marshalled(nasty), Key: new(nasty), Flags: []string{nasty}},
		},
		{
			reason: "flags are a set", task: "send",
			options: &admin.AddJobOptions{Flags: []string{"x", "", `"`, `\`, ",", "{}", "NULL", "x", " x", "☃", `\"`, "'"}},
			want:    admin.Job{TaskIdentifier: "send", Flags: []string{"", " x", `"`, "'", ",", "NULL", `\`, `\"`, "x", "{}", "☃"}},
		},
		{
			reason: "a time in the first valid year", task: "send", options: &admin.AddJobOptions{RunAt: admin.At(firstMoment)},
			want: admin.Job{TaskIdentifier: "send", RunAt: admin.RunAt{Time: firstMoment}},
		},
		{
			reason: "a time in the last valid year", task: "send", options: &admin.AddJobOptions{RunAt: admin.At(lastMoment)},
			want: admin.Job{TaskIdentifier: "send", RunAt: admin.RunAt{Time: lastMoment}},
		},
		{
			reason: "parts of a microsecond are cut off", task: "send", options: &admin.AddJobOptions{RunAt: admin.At(day0.Add(999))},
			want: admin.Job{TaskIdentifier: "send", RunAt: admin.RunAt{Time: day0}},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			want := added(tc.want)
			want.ID = 1
			t.Run("AddJob", func(t *testing.T) {
				onBoth(t, func(b *bench) {
					b.check("job", &want, b.ok(b.client.AddJob(b.ctx, tc.task, tc.payload, tc.options)))
					b.check("table", []admin.Job{want}, b.jobs())
				})
			})
			spec := admin.JobSpec{TaskIdentifier: tc.task, Payload: tc.payload}
			if o := tc.options; o != nil {
				spec.QueueName, spec.RunAt, spec.MaxAttempts = o.QueueName, o.RunAt, o.MaxAttempts
				spec.JobKey, spec.Priority, spec.Flags = o.JobKey, o.Priority, o.Flags
			}
			t.Run("AddJobs", func(t *testing.T) {
				onBoth(t, func(b *bench) {
					b.check("jobs", []admin.Job{want}, b.ok(b.client.AddJobs(b.ctx, []admin.JobSpec{spec}, nil)))
					b.check("table", []admin.Job{want}, b.jobs())
				})
			})
		})
	}
}

// firstMoment is the earliest time that is not the zero time.
var (
	firstMoment = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)
	lastMoment  = time.Date(294275, 12, 31, 23, 59, 59, 999999000, time.UTC)
)

func marshalled(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

// A payload is stored as its JSON text, byte by byte. pgx trims the surrounding space when
// it reads the payload.
func TestPayload(t *testing.T) {
	t.Parallel()
	type part struct {
		Name string `json:"name"`
		Skip string `json:"-"`
	}
	big := `{"big": "` + strings.Repeat("x", 1<<20) + `"}`
	for _, tc := range []struct {
		reason  string
		payload any
		want    string
	}{
		{"nil is an empty object", nil, "{}"},
		{"a nil raw message is an empty object", json.RawMessage(nil), "{}"},
		{"a raw null stays null", json.RawMessage("null"), "null"},
		{"a nil pointer is null", (*part)(nil), "null"},
		{"a raw message is stored unchanged", json.RawMessage(" { \"b\":1,\t\"a\" : 1e400, \"b\": 12345678901234567890 }\n"), " { \"b\":1,\t\"a\" : 1e400, \"b\": 12345678901234567890 }\n"},
		{"a struct with tags", part{Name: "n", Skip: "s"}, `{"name":"n"}`},
		{"an array", []part{{Name: "1"}, {Name: "2"}}, `[{"name":"1"},{"name":"2"}]`},
		{"a text", `it's "C:\dir" <&> ☃`, `"it's \"C:\\dir\" \u003c\u0026\u003e ☃"`},
		{"a NUL within JSON is an escape", "a\x00b", `"a\u0000b"`},
		{"half a surrogate pair", json.RawMessage(`"\ud800"`), `"\ud800"`},
		{"false", false, "false"},
		{"a number", 1.5, "1.5"},
		{"a pointer to a raw message", new(json.RawMessage(`{"a":1}`)), `{"a":1}`},
		{"a mebibyte", json.RawMessage(big), big},
		{"a thousand levels", json.RawMessage(strings.Repeat("[", 1000) + strings.Repeat("]", 1000)), strings.Repeat("[", 1000) + strings.Repeat("]", 1000)},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				one := added(admin.Job{ID: 1, TaskIdentifier: "send", Payload: json.RawMessage(tc.want)})
				two := added(admin.Job{ID: 2, TaskIdentifier: "send", Payload: json.RawMessage(tc.want)})
				b.check("AddJob", &one, b.ok(b.client.AddJob(b.ctx, "send", tc.payload, nil)))
				b.check("AddJobs", []admin.Job{two}, b.ok(b.client.AddJobs(b.ctx, []admin.JobSpec{{TaskIdentifier: "send", Payload: tc.payload}}, nil)))
				b.check("table", []admin.Job{one, two}, b.jobs())
			})
		})
	}
}

// TestJobKey adds a job with a key that another job has, in every mode.
func TestJobKey(t *testing.T) {
	t.Parallel()
	options := admin.AddJobOptions{QueueName: new("q new"), RunAt: admin.At(later), MaxAttempts: new(4), Priority: new(0)}
	// fresh is a new job with the options, updated an existing job after the update.
	fresh := func(key string) admin.Job {
		return added(admin.Job{
			ID: 8, TaskIdentifier: "new", QueueName: new("q new"), Payload: json.RawMessage(`[2]`),
			RunAt: admin.RunAt{Time: later.UTC()}, MaxAttempts: 4, Key: &key,
		})
	}
	updated := func(old admin.Job) admin.Job {
		j := fresh(*old.Key)
		j.ID, j.CreatedAt, j.Revision = old.ID, old.CreatedAt, old.Revision+1
		return j
	}
	// detached is a job that has lost its key.
	detached := func(j admin.Job) admin.Job {
		j.Key, j.Attempts, j.UpdatedAt = nil, j.MaxAttempts, now()
		return j
	}
	touched := func(j admin.Job) admin.Job {
		j.Revision, j.UpdatedAt = j.Revision+1, now()
		return j
	}
	for _, tc := range []struct {
		reason string
		mode   admin.JobKeyMode
		key    string
		want   func(jobs []admin.Job) (admin.Job, []admin.Job) // the returned job, and the jobs in the table
	}{
		{"a new key with the default mode", "", "key 8", func(jobs []admin.Job) (admin.Job, []admin.Job) {
			return fresh("key 8"), append(jobs, fresh("key 8"))
		}},
		{"a new key with preserve_run_at", admin.PreserveRunAt, "key 8", func(jobs []admin.Job) (admin.Job, []admin.Job) {
			return fresh("key 8"), append(jobs, fresh("key 8"))
		}},
		{"a new key with unsafe_dedupe", admin.UnsafeDedupe, "key 8", func(jobs []admin.Job) (admin.Job, []admin.Job) {
			return fresh("key 8"), append(jobs, fresh("key 8"))
		}},
		{"an available job is replaced", "", "key 2", func(jobs []admin.Job) (admin.Job, []admin.Job) {
			jobs[1] = updated(jobs[1])
			return jobs[1], jobs
		}},
		{"an available job is replaced with the mode's name", admin.Replace, "key 6", func(jobs []admin.Job) (admin.Job, []admin.Job) {
			jobs[5] = updated(jobs[5])
			return jobs[5], jobs
		}},
		{"run_at is preserved before the first attempt", admin.PreserveRunAt, "key 6", func(jobs []admin.Job) (admin.Job, []admin.Job) {
			jobs[5] = updated(jobs[5])
			jobs[5].RunAt = *admin.Never()
			return jobs[5], jobs
		}},
		{"run_at is replaced after the first attempt", admin.PreserveRunAt, "key 2", func(jobs []admin.Job) (admin.Job, []admin.Job) {
			jobs[1] = updated(jobs[1])
			return jobs[1], jobs
		}},
		{"a locked job loses its key and a job is added", "", "key 3", func(jobs []admin.Job) (admin.Job, []admin.Job) {
			jobs[2] = detached(jobs[2])
			return fresh("key 3"), append(jobs, fresh("key 3"))
		}},
		{"a job with a stale lock loses its key and a job is added", admin.PreserveRunAt, "key 4", func(jobs []admin.Job) (admin.Job, []admin.Job) {
			jobs[3] = detached(jobs[3])
			return fresh("key 4"), append(jobs, fresh("key 4"))
		}},
		{"unsafe_dedupe changes only the revision of an available job, and returns its own task and queue", admin.UnsafeDedupe, "key 2", func(jobs []admin.Job) (admin.Job, []admin.Job) {
			jobs[1] = touched(jobs[1])
			return jobs[1], jobs
		}},
		{"unsafe_dedupe changes only the revision of a locked job", admin.UnsafeDedupe, "key 3", func(jobs []admin.Job) (admin.Job, []admin.Job) {
			jobs[2] = touched(jobs[2])
			return jobs[2], jobs
		}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				job, table := tc.want(b.fixture())
				options := options
				options.JobKey, options.JobKeyMode = &tc.key, tc.mode
				b.check("job", &job, b.add("new", []int{2}, &options))
				b.check("table", table, b.jobs())
			})
		})
	}
}

func TestAddJobs(t *testing.T) {
	t.Parallel()
	spec := func(payload string, key *string) admin.JobSpec {
		return admin.JobSpec{TaskIdentifier: "new", Payload: json.RawMessage(payload), RunAt: admin.At(later), JobKey: key}
	}
	fresh := func(id int64, payload string, key *string) admin.Job {
		return added(admin.Job{ID: id, TaskIdentifier: "new", Payload: json.RawMessage(payload), RunAt: admin.RunAt{Time: later.UTC()}, Key: key})
	}
	updated := func(old admin.Job, payload string) admin.Job {
		j := fresh(old.ID, payload, old.Key)
		j.CreatedAt, j.Revision = old.CreatedAt, old.Revision+1
		return j
	}
	for _, tc := range []struct {
		reason  string
		specs   []admin.JobSpec
		options *admin.AddJobsOptions
		want    func(jobs []admin.Job) (returned, table []admin.Job)
	}{
		{"no specs add nothing", []admin.JobSpec{}, nil, func(jobs []admin.Job) (_, _ []admin.Job) { return []admin.Job{}, jobs }},
		{"nil specs add nothing", nil, nil, func(jobs []admin.Job) (_, _ []admin.Job) { return []admin.Job{}, jobs }},
		{
			"jobs without a key may be alike",
			[]admin.JobSpec{spec("1", nil), spec("1", nil)}, nil,
			func(jobs []admin.Job) (_, _ []admin.Job) {
				both := []admin.Job{fresh(8, "1", nil), fresh(9, "1", nil)}
				return both, append(jobs, both...)
			},
		},
		{
			"available jobs are replaced, their run_at too",
			[]admin.JobSpec{spec("1", new("key 6")), spec("2", new("key 2"))}, nil,
			func(jobs []admin.Job) (_, _ []admin.Job) {
				jobs[5], jobs[1] = updated(jobs[5], "1"), updated(jobs[1], "2")
				return []admin.Job{jobs[5], jobs[1]}, jobs
			},
		},
		{
			"run_at is preserved before the first attempt",
			[]admin.JobSpec{spec("1", new("key 6")), spec("2", new("key 2"))}, &admin.AddJobsOptions{PreserveRunAt: true},
			func(jobs []admin.Job) (_, _ []admin.Job) {
				jobs[5], jobs[1] = updated(jobs[5], "1"), updated(jobs[1], "2")
				jobs[5].RunAt = *admin.Never()
				return []admin.Job{jobs[5], jobs[1]}, jobs
			},
		},
		{
			"locked jobs lose their keys to new ones, also by a stale lock",
			[]admin.JobSpec{spec("1", new("key 3")), spec("2", new("key 4"))}, nil,
			func(jobs []admin.Job) (_, _ []admin.Job) {
				for _, j := range []*admin.Job{&jobs[2], &jobs[3]} {
					j.Key, j.Attempts, j.UpdatedAt = nil, j.MaxAttempts, now()
				}
				both := []admin.Job{fresh(8, "1", new("key 3")), fresh(9, "2", new("key 4"))}
				return both, append(jobs, both...)
			},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				returned, table := tc.want(b.fixture())
				b.check("jobs", returned, b.ok(b.client.AddJobs(b.ctx, tc.specs, tc.options)))
				b.check("table", table, b.jobs())
			})
		})
	}
}

// Payloads are arrays. add_job joins the arrays of the existing and the new payload.
func TestJobKeyJoinsArrays(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		for _, payload := range []any{[]int{1}, []any{"2", nil}, []int{}} {
			b.add("send", payload, &admin.AddJobOptions{JobKey: new("k")})
		}
		specs := []admin.JobSpec{{TaskIdentifier: "send", Payload: []int{3}, JobKey: new("k")}}
		want := added(admin.Job{ID: 1, TaskIdentifier: "send", Payload: json.RawMessage(`[1, "2", null, 3]`), Key: new("k"), Revision: 3})
		b.check("jobs", []admin.Job{want}, b.ok(b.client.AddJobs(b.ctx, specs, nil)))
		want.Payload, want.Revision = json.RawMessage("{}"), 4
		b.check("job", &want, b.add("send", nil, &admin.AddJobOptions{JobKey: new("k")}))
	})
}

// Every job of a batch has the names of its own task and queue, whether these are new or
// not. On gwadmin's schema the jobs are in the order of the specs.
func TestAddJobsLabels(t *testing.T) {
	t.Parallel()
	const types = 200
	for _, tc := range []struct {
		reason string
		known  func(i int) bool // whether the task and queue exist before the batch
	}{
		{"all are new", func(int) bool { return false }},
		{"all exist", func(int) bool { return true }},
		{"every third exists", func(i int) bool { return i%3 == 0 }},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				label := func(i int) string { return fmt.Sprintf("task %d", i*7919%types) }
				for i := range types {
					if tc.known(i) {
						b.exec(`insert into graphile_worker._private_tasks (identifier) values ($1)`, label(i))
						b.exec(`insert into graphile_worker._private_job_queues (queue_name) values ($1)`, label(i))
					}
				}
				var specs []admin.JobSpec
				var want []admin.Job
				for i := range 3 * types {
					name := label(i)
					spec := admin.JobSpec{TaskIdentifier: name, Payload: numbered{i, name}, QueueName: &name}
					if i%2 == 0 {
						spec.JobKey = new(fmt.Sprint("key ", i))
					}
					specs = append(specs, spec)
					want = append(want, added(admin.Job{
						TaskIdentifier: name, QueueName: &name, Payload: marshalled(spec.Payload), Key: spec.JobKey,
					}))
				}
				got := b.ok(b.client.AddJobs(b.ctx, specs, nil)).([]admin.Job)
				b.check("table", sortJobs(got), b.jobs())
				b.check("jobs", want, b.inOrder(got))
			})
		})
	}
}

// A numbered payload contains the number of its spec.
type numbered struct {
	N    int    `json:"n"`
	Task string `json:"task"`
}

// inOrder removes the ids of the jobs. If the schema defines no order, it sorts the jobs by
// the numbers in their payloads.
func (b *bench) inOrder(jobs []admin.Job) []admin.Job {
	b.Helper()
	number := func(j admin.Job) int {
		var payload numbered
		if err := json.Unmarshal(j.Payload, &payload); err != nil {
			b.Fatal(err)
		}
		return payload.N
	}
	jobs = slices.Clone(jobs)
	if b.npm {
		slices.SortFunc(jobs, func(x, y admin.Job) int { return number(x) - number(y) })
	}
	for i := range jobs {
		jobs[i].ID = 0
	}
	return jobs
}

// AddJobs adds all specs or none if there are more than one statement takes.
func TestAddManyJobs(t *testing.T) {
	t.Parallel()
	const many = 12_000
	onBoth(t, func(b *bench) {
		specs := make([]admin.JobSpec, many)
		want := make([]string, many)
		for i := range specs {
			key := fmt.Sprint("key ", i)
			specs[i] = admin.JobSpec{TaskIdentifier: "many", Payload: numbered{i, "many"}, JobKey: &key}
			want[i] = fmt.Sprintf(`many {"n":%d,"task":"many"} %s`, i, key)
		}
		b.exec(`alter table graphile_worker._private_jobs add constraint test check (key <> 'key 11000')`)
		jobs, err := b.client.AddJobs(b.ctx, specs, nil)
		b.check("an error in the last batch", "23514", code(err))
		b.check("its jobs", []admin.Job(nil), jobs)
		b.check("table after the error", []admin.Job{}, b.jobs())

		b.exec(`alter table graphile_worker._private_jobs drop constraint test`)
		jobs = b.ok(b.client.AddJobs(b.ctx, specs, nil)).([]admin.Job)
		var got []string
		for _, j := range b.inOrder(jobs) {
			got = append(got, fmt.Sprintf("%s %s %s", j.TaskIdentifier, j.Payload, *j.Key))
		}
		b.check("jobs", strings.Join(want, "\n"), strings.Join(got, "\n"))
		b.check("rows", []int{many}, rowsOf[int](b, "select count(*)::int from graphile_worker._private_jobs"))
	})
}
