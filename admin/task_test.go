package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

type receipt struct {
	Order int      `json:"order"`
	Notes []string `json:"notes,omitempty"`
}

// adding is a JobAdder that records the arguments of AddJob.
type adding struct {
	Task    string
	Payload any
	Options *admin.AddJobOptions
}

func (a *adding) AddJob(_ context.Context, task string, payload any, options *admin.AddJobOptions) (*admin.Job, error) {
	*a = adding{task, payload, options}
	return nil, nil
}

// Each option of the call overrides the same option of the task.
func TestTaskOptions(t *testing.T) {
	t.Parallel()
	defaults := admin.TaskOptions{
		QueueName: new("mail"), RunAt: admin.At(day0), MaxAttempts: new(5), JobKey: new("only"), JobKeyMode: admin.Replace,
		Priority: new(3), Flags: []string{"network"},
	}
	call := admin.AddJobOptions{
		QueueName: new("other"), RunAt: admin.Never(), MaxAttempts: new(1), JobKey: new("k"), JobKeyMode: admin.UnsafeDedupe,
		Priority: new(0), Flags: []string{},
	}
	for _, tc := range []struct {
		reason   string
		defaults *admin.TaskOptions
		call     *admin.AddJobOptions
		want     admin.AddJobOptions
	}{
		{"neither", nil, nil, admin.AddJobOptions{}},
		{"only the task's options", &defaults, nil, admin.AddJobOptions(defaults)},
		{"the task's options for those that the call does not give", &defaults, &admin.AddJobOptions{}, admin.AddJobOptions(defaults)},
		{"only the call's options", nil, &call, call},
		{"both", &defaults, &call, call},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			task := admin.NewTask[receipt]("send_receipt", tc.defaults)
			var got adding
			if _, err := task.Add(t.Context(), &got, receipt{Order: 7}, tc.call); err != nil {
				t.Fatal(err)
			}
			want := adding{"send_receipt", receipt{Order: 7}, &tc.want}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("Add: -want +got\n%s", diff)
			}
			if tc.want.JobKeyMode == admin.UnsafeDedupe {
				return // Spec cannot have this mode
			}
			spec := admin.JobSpec{
				TaskIdentifier: "send_receipt", Payload: receipt{Order: 7}, QueueName: tc.want.QueueName, RunAt: tc.want.RunAt,
				MaxAttempts: tc.want.MaxAttempts, JobKey: tc.want.JobKey, Priority: tc.want.Priority, Flags: tc.want.Flags,
			}
			if diff := gocmp.Diff(spec, task.Spec(receipt{Order: 7}, tc.call)); diff != "" {
				t.Errorf("Spec: -want +got\n%s", diff)
			}
		})
	}
}

func TestTaskInDatabase(t *testing.T) {
	t.Parallel()
	task := admin.NewTask[receipt]("send_receipt", &admin.TaskOptions{MaxAttempts: new(5), JobKeyMode: admin.PreserveRunAt})
	onBoth(t, func(b *bench) {
		want := added(admin.Job{ID: 1, TaskIdentifier: "send_receipt", Payload: json.RawMessage(`{"order":7}`), MaxAttempts: 5, Key: new("order-7")})
		job := b.ok(task.Add(b.ctx, b.client, receipt{Order: 7}, &admin.AddJobOptions{JobKey: new("order-7")})).(*admin.Job)
		b.check("added", &want, job)
		b.check("decoded", receipt{Order: 7}, b.ok(task.Decode(job)))

		later := b.ok(task.Add(b.ctx, b.client, receipt{Order: 8}, &admin.AddJobOptions{JobKey: new("order-7"), RunAt: admin.Never()})).(*admin.Job)
		b.check("the task's mode", want.RunAt, later.RunAt)

		replace := &admin.AddJobOptions{JobKeyMode: admin.Replace}
		jobs := b.ok(b.client.AddJobs(b.ctx, []admin.JobSpec{task.Spec(receipt{Order: 9}, replace), task.Spec(receipt{Order: 10}, replace)}, nil)).([]admin.Job)
		orders := map[int]bool{}
		for _, job := range jobs {
			orders[b.ok(task.Decode(&job)).(receipt).Order] = true
		}
		b.check("added by AddJobs", map[int]bool{9: true, 10: true}, orders)

		before := b.tables()
		_, err := b.client.AddJobs(b.ctx, []admin.JobSpec{task.Spec(receipt{}, replace), task.Spec(receipt{Order: 424242}, nil)}, nil)
		b.check("a mode that AddJobs does not have", "add jobs: invalid input: job 1: job_key_mode is not for AddJobs: set AddJobsOptions, or use AddJob", fmt.Sprint(err))
		b.check("nothing added", before, b.tables())
	})
}

// Every use of a task with an invalid declaration returns its error and sends nothing.
func TestTaskInvalid(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.ok(nil, b.client.Check(b.ctx))
	b.sent.take()
	invalidTask(b, admin.NewTask[int]("", nil), `task "": invalid input: task_identifier is empty: no worker runs such a job`)
	invalidTask(b, admin.NewTask[int]("a\x00", nil), `task "a\x00": invalid input: task_identifier has a NUL character`)
	invalidTask(b, admin.NewTask[int](strings.Repeat("x", 129), nil),
		fmt.Sprintf("task %q: invalid input: task_identifier has 129 characters, more than 128", strings.Repeat("x", 100)+"…"))
	invalidTask(b, admin.NewTask[int]("x", &admin.TaskOptions{MaxAttempts: new(0), JobKeyMode: "newest"}),
		`task "x": invalid input: max_attempts 0 is outside 1 to 32767; job_key_mode "newest" is unknown: use replace, preserve_run_at or unsafe_dedupe`)
	invalidTask(b, admin.NewTask[[]byte]("x", nil),
		`task "x": invalid input: payload is a []byte, which JSON would turn into base64: make it a json.RawMessage`)
	b.check("sent", []string(nil), b.sent.names())

	_, err := admin.NewTask[int]("x", nil).Add(b.ctx, (*admin.Client)(nil), 1, nil)
	b.check("no client", `add job of task "x": the client is nil`, fmt.Sprint(err))
}

func invalidTask[T any](b *bench, task *admin.TypedTask[T], want string) {
	b.Helper()
	var payload T
	_, added := task.Add(b.ctx, b.client, payload, nil)
	_, decoded := task.Decode(&admin.Job{TaskIdentifier: task.Identifier(), Payload: json.RawMessage("0")})
	for use, err := range map[string]error{"Err": task.Err(), "Add": added, "Decode": decoded} {
		b.check(use, want, fmt.Sprint(err))
		b.check(use+" is invalid", true, errors.Is(err, admin.ErrInvalid))
	}
	_, err := b.client.AddJobs(b.ctx, []admin.JobSpec{task.Spec(payload, nil)}, nil)
	if !errors.Is(err, admin.ErrInvalid) {
		b.Errorf("AddJobs: %v, want %s", err, want)
	}
}
