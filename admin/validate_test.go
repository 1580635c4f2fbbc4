package admin_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/admin"
)

// unserializable is a value that cannot be marshalled. Its error contains the value.
type unserializable struct{}

func (unserializable) MarshalJSON() ([]byte, error) { return nil, errors.New("secret") }

// Invalid input is refused before anything is sent, and the error lists all faults.
func TestInvalid(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil) // an empty database without the schema
	const (
		latin1 = "caf\xe9"
		nul    = "a\x00b"
	)
	long := func(n int) string { return strings.Repeat("☃", n) }
	add := func(task string, payload any, options *admin.AddJobOptions) func() (any, error) {
		return func() (any, error) { return b.client.AddJob(b.ctx, task, payload, options) }
	}
	reschedule := func(options admin.RescheduleValues) func() (any, error) {
		return func() (any, error) { return b.client.RescheduleJobs(b.ctx, []int64{1}, options, nil) }
	}
	fail := func(reason string) func() (any, error) {
		return func() (any, error) {
			return b.client.FailJobs(b.ctx, []int64{1}, &reason, nil)
		}
	}
	remove := func(key string) func() (any, error) {
		return func() (any, error) { return b.client.RemoveJob(b.ctx, key, nil) }
	}
	cleanup := func(options admin.CleanupOptions) func() (any, error) {
		return func() (any, error) { return b.client.Cleanup(b.ctx, options) }
	}

	for _, tc := range []struct {
		reason string
		call   func() (any, error)
		want   admin.InvalidError
	}{
		{
			"every option of a job, one character or one number too far",
			add(long(129), []byte("{}"), &admin.AddJobOptions{
				QueueName: new(long(129)), RunAt: admin.At(time.Date(294276, 1, 1, 0, 0, 0, 0, time.UTC)), MaxAttempts: new(0),
				JobKey: new(long(513)), JobKeyMode: "Replace", Priority: new(math.MaxInt16 + 1), Flags: []string{"ok", latin1, nul},
			}),
			admin.InvalidError{Call: "add job", Faults: []admin.Fault{
				{Field: "task_identifier", Problem: "has 129 characters, more than 128"},
				{Field: "payload", Problem: "is a []byte, which JSON would turn into base64: make it a json.RawMessage"},
				{Field: "queue_name", Problem: "has 129 characters, more than 128"},
				{Field: "run_at", Problem: "is outside the years 1 to 294275"},
				{Field: "max_attempts", Problem: "0 is outside 1 to 32767"},
				{Field: "job_key", Problem: "has 513 characters, more than 512"},
				{Field: "priority", Problem: "32768 is outside -32768 to 32767"},
				{Field: "flags", Problem: "is not UTF-8"},
				{Field: "flags", Problem: "has a NUL character"},
				{Field: "job_key_mode", Problem: `"Replace" is unknown: use replace, preserve_run_at or unsafe_dedupe`},
			}},
		},
		{
			"and to the other side",
			add(latin1, json.RawMessage("{"), &admin.AddJobOptions{
				QueueName: new(nul), RunAt: admin.At(time.Time{}.Add(-1)), MaxAttempts: new(math.MaxInt16 + 1),
				JobKey: new(""), Priority: new(math.MinInt16 - 1),
			}),
			admin.InvalidError{Call: "add job", Faults: []admin.Fault{
				{Field: "task_identifier", Problem: "is not UTF-8"},
				{Field: "payload", Problem: "is not JSON"},
				{Field: "queue_name", Problem: "has a NUL character"},
				{Field: "run_at", Problem: "is outside the years 1 to 294275"},
				{Field: "max_attempts", Problem: "32768 is outside 1 to 32767"},
				{Field: "job_key", Problem: "is empty: leave it nil for none"},
				{Field: "priority", Problem: "-32769 is outside -32768 to 32767"},
			}},
		},
		{
			"numbers that another size of integer would wrap",
			add("ok", nil, &admin.AddJobOptions{MaxAttempts: new(1<<32 + 1), Priority: new(1 << 32)}),
			admin.InvalidError{Call: "add job", Faults: []admin.Fault{
				{Field: "max_attempts", Problem: "4294967297 is outside 1 to 32767"},
				{Field: "priority", Problem: "4294967296 is outside -32768 to 32767"},
			}},
		},
		{
			"a time that is neither finite nor infinite",
			add("ok", nil, &admin.AddJobOptions{RunAt: &admin.RunAt{Infinity: 2}}),
			admin.InvalidError{Call: "add job", Faults: []admin.Fault{{Field: "run_at", Problem: "has an unknown Infinity: use a value of pgtype.InfinityModifier"}}},
		},
		{
			"a payload without JSON, of which the error says only the type",
			add("ok", unserializable{}, nil),
			admin.InvalidError{Call: "add job", Faults: []admin.Fault{{Field: "payload", Problem: "cannot be marshalled to JSON: it is a admin_test.unserializable"}}},
		},
		{
			"a batch: every fault of every job, with its place",
			func() (any, error) {
				return b.client.AddJobs(b.ctx, []admin.JobSpec{
					{TaskIdentifier: "ok", JobKey: new("same")},
					{TaskIdentifier: nul, Payload: json.RawMessage("\"\xe9\"")},
					{TaskIdentifier: "ok", Payload: math.Inf(1), JobKey: new("same"), MaxAttempts: new(-1)},
					{TaskIdentifier: "ok", Payload: json.RawMessage(""), JobKey: new("same"), Flags: []string{nul}},
					{TaskIdentifier: "ok", Payload: make(chan int), Priority: new(-40000), RunAt: &admin.RunAt{Infinity: -2}},
				}, nil)
			},
			admin.InvalidError{Call: "add jobs", Faults: []admin.Fault{
				{Index: new(1), Field: "task_identifier", Problem: "has a NUL character"},
				{Index: new(1), Field: "payload", Problem: "is not UTF-8"},
				{Index: new(2), Field: "payload", Problem: "cannot be marshalled to JSON: it is a float64"},
				{Index: new(2), Field: "max_attempts", Problem: "-1 is outside 1 to 32767"},
				{Index: new(2), Field: "job_key", Problem: "is also that of job 0"},
				{Index: new(3), Field: "payload", Problem: "is not JSON"},
				{Index: new(3), Field: "flags", Problem: "has a NUL character"},
				{Index: new(3), Field: "job_key", Problem: "is also that of job 0"},
				{Index: new(4), Field: "payload", Problem: "cannot be marshalled to JSON: it is a chan int"},
				{Index: new(4), Field: "run_at", Problem: "has an unknown Infinity: use a value of pgtype.InfinityModifier"},
				{Index: new(4), Field: "priority", Problem: "-40000 is outside -32768 to 32767"},
			}},
		},
		{
			"a reschedule that asks for nothing",
			reschedule(admin.RescheduleValues{}),
			admin.InvalidError{Call: "reschedule jobs", Faults: []admin.Fault{
				{Field: "values", Problem: "are all nil: set RunAt, Priority, Attempts or MaxAttempts"},
			}},
		},
		{
			"a run_at of two kinds", reschedule(admin.RescheduleValues{RunAt: &admin.RunAt{In: new(time.Second), Time: day0}}),
			admin.InvalidError{Call: "reschedule jobs", Faults: []admin.Fault{{Field: "run_at", Problem: "has more than one of Time, Infinity and In"}}},
		},
		{
			"a run_at that somebody forgot to fill in", reschedule(admin.RescheduleValues{RunAt: admin.At(time.Time{})}),
			admin.InvalidError{Call: "reschedule jobs", Faults: []admin.Fault{{Field: "run_at", Problem: "is the zero time: leave RunAt nil for now, or use In"}}},
		},
		{
			"no task", add("", nil, nil),
			admin.InvalidError{Call: "add job", Faults: []admin.Fault{{Field: "task_identifier", Problem: "is empty: no worker runs such a job"}}},
		},
		{
			"a reschedule to what cannot be",
			reschedule(admin.RescheduleValues{
				RunAt: &admin.RunAt{Infinity: pgtype.InfinityModifier(-128)}, Priority: new(math.MaxInt), Attempts: new(-1), MaxAttempts: new(0),
			}),
			admin.InvalidError{Call: "reschedule jobs", Faults: []admin.Fault{
				{Field: "run_at", Problem: "has an unknown Infinity: use a value of pgtype.InfinityModifier"},
				{Field: "priority", Problem: "9223372036854775807 is outside -32768 to 32767"},
				{Field: "attempts", Problem: "-1 is outside 0 to 32767"},
				{Field: "max_attempts", Problem: "0 is outside 1 to 32767"},
			}},
		},
		{
			"a reason that is not text", fail(latin1),
			admin.InvalidError{Call: "fail jobs", Faults: []admin.Fault{{Field: "reason", Problem: "is not UTF-8"}}},
		},
		{
			"nor may it have a NUL", fail(nul),
			admin.InvalidError{Call: "fail jobs", Faults: []admin.Fault{{Field: "reason", Problem: "has a NUL character"}}},
		},
		{
			"no job has the empty key", remove(""),
			admin.InvalidError{Call: "remove job", Faults: []admin.Fault{{Field: "job_key", Problem: "is empty"}}},
		},
		{
			"nor one that is too long", remove(long(513)),
			admin.InvalidError{Call: "remove job", Faults: []admin.Fault{{Field: "job_key", Problem: "has 513 characters, more than 512"}}},
		},
		{
			"worker ids that are not text, each with its place",
			func() (any, error) {
				return b.client.ForceUnlockWorkers(b.ctx, []string{"ok", latin1, "ok", nul}, nil)
			},
			admin.InvalidError{Call: "force unlock workers", Faults: []admin.Fault{
				{Field: "worker_ids[1]", Problem: "is not UTF-8"},
				{Field: "worker_ids[3]", Problem: "has a NUL character"},
			}},
		},
		{
			"cleanup tasks that are none, and a list to keep that nothing obeys",
			cleanup(admin.CleanupOptions{Tasks: []admin.CleanupTask{admin.GCJobQueues, "gc_job_queues", "ALL"}, KeepTasks: []string{"ok", latin1}}),
			admin.InvalidError{Call: "cleanup", Faults: []admin.Fault{
				{Field: "tasks", Problem: `has "gc_job_queues": use DELETE_PERMAFAILED_JOBS, GC_TASK_IDENTIFIERS or GC_JOB_QUEUES`},
				{Field: "tasks", Problem: `has "ALL": use DELETE_PERMAFAILED_JOBS, GC_TASK_IDENTIFIERS or GC_JOB_QUEUES`},
				{Field: "keep_tasks", Problem: "needs the task GC_TASK_IDENTIFIERS"},
				{Field: "keep_tasks", Problem: "is not UTF-8"},
			}},
		},
		{
			"the default cleanup keeps no tasks",
			cleanup(admin.CleanupOptions{KeepTasks: []string{"ok"}}),
			admin.InvalidError{Call: "cleanup", Faults: []admin.Fault{{Field: "keep_tasks", Problem: "needs the task GC_TASK_IDENTIFIERS"}}},
		},
	} {
		b.sent.take()
		_, err := tc.call()
		got, ok := errors.AsType[*admin.InvalidError](err)
		if !ok || !errors.Is(err, admin.ErrInvalid) {
			t.Errorf("%s: %v is no InvalidError", tc.reason, err)
			continue
		}
		b.check(tc.reason, tc.want, *got)
		b.check(tc.reason+": what was sent", []string(nil), b.sent.names())
	}
}

// The text of an error never contains a payload.
func TestInvalidErrorText(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, tc := range []struct {
		reason string
		err    func() error
		want   string
	}{
		{
			"each fault is said, with the job it is in",
			func() error {
				_, err := b.client.AddJobs(b.ctx, []admin.JobSpec{
					{TaskIdentifier: "ok", Payload: "secret"},
					{TaskIdentifier: "\xff", Payload: json.RawMessage("secret"), Priority: new(1 << 20)},
				}, nil)
				return err
			},
			"add jobs: invalid input: job 1: task_identifier is not UTF-8; job 1: payload is not JSON; " +
				"job 1: priority 1048576 is outside -32768 to 32767",
		},
		{
			"a single job has no number",
			func() error { _, err := b.client.AddJob(b.ctx, "ok", []byte("secret"), nil); return err },
			"add job: invalid input: payload is a []byte, which JSON would turn into base64: make it a json.RawMessage",
		},
	} {
		b.check(tc.reason, tc.want, tc.err().Error())
	}
}

// If the schema name is invalid, every call returns an error and sends nothing.
func TestSchemaName(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.sent.take()
	for _, tc := range []struct{ reason, name, problem string }{
		{"empty", "", `is empty: leave it out for "graphile_worker"`},
		{"too long", strings.Repeat("s", 64), `"` + strings.Repeat("s", 64) + `" has 64 bytes: PostgreSQL keeps only 63`},
		{"not UTF-8", "\xff", `"\xff" is not UTF-8`},
		{"a control character", "a\nb", `"a\nb" has a control character`},
	} {
		b.client = admin.New(b.on, admin.WithSchema(tc.name))
		b.check(tc.reason+": Schema", tc.name, b.client.Schema())
		for name, call := range b.calls() {
			err := call(b.client)
			got, _ := errors.AsType[*admin.InvalidError](err)
			b.check(tc.reason+": "+name, &admin.InvalidError{
				Call: "admin client", Faults: []admin.Fault{{Field: "schema name", Problem: tc.problem}},
			}, got)
		}
	}
	b.check("what was sent", []string(nil), b.sent.names())
}
