package gwtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/gwtest"
)

// A queue is what a client and a fake have in common.
type queue interface {
	admin.JobAdder
	AddJobs(context.Context, []admin.JobSpec, *admin.AddJobsOptions) ([]admin.Job, error)
	RemoveJob(context.Context, string, *admin.RemoveOptions) (*admin.RemoveResult, error)
}

// A step is one call, and what it returned.
type step struct {
	Jobs    []admin.Job
	Outcome admin.RemoveOutcome
	Err     string
}

// calls are made one after another on an empty queue.
type calls struct {
	reason string
	make   []func(context.Context, queue) step
}

func add(task string, payload any, options *admin.AddJobOptions) func(context.Context, queue) step {
	return func(ctx context.Context, q queue) step {
		job, err := q.AddJob(ctx, task, payload, options)
		if err != nil {
			return step{Err: err.Error()}
		}
		return step{Jobs: []admin.Job{*job}}
	}
}

func addMany(options *admin.AddJobsOptions, specs ...admin.JobSpec) func(context.Context, queue) step {
	return func(ctx context.Context, q queue) step {
		jobs, err := q.AddJobs(ctx, specs, options)
		if err != nil {
			return step{Err: err.Error()}
		}
		return step{Jobs: jobs}
	}
}

func remove(key string, options *admin.RemoveOptions) func(context.Context, queue) step {
	return func(ctx context.Context, q queue) step {
		result, err := q.RemoveJob(ctx, key, options)
		if err != nil {
			return step{Err: err.Error()}
		}
		s := step{Outcome: result.Outcome}
		if result.Job != nil {
			s.Jobs = []admin.Job{*result.Job}
		}
		return s
	}
}

var conformance = func() []calls {
	full := func(key string, mode admin.JobKeyMode) *admin.AddJobOptions {
		return &admin.AddJobOptions{
			QueueName: new("mail"), RunAt: admin.At(noon), MaxAttempts: new(3), JobKey: &key, JobKeyMode: mode,
			Priority: new(-7), Flags: []string{"b", "a", "b"},
		}
	}
	keyed := func(key string, mode admin.JobKeyMode) *admin.AddJobOptions {
		return &admin.AddJobOptions{JobKey: &key, JobKeyMode: mode}
	}
	var all []calls
	do := func(reason string, make ...func(context.Context, queue) step) { all = append(all, calls{reason, make}) }

	do("defaults", add("t", nil, nil), add("t", Receipt{7}, &admin.AddJobOptions{}))
	do("every option", add("t", Receipt{7}, full("k", "")))
	do("payloads", add("t", json.RawMessage(`{"b": 1, "a": 1.50}`), nil), add("t", json.RawMessage(nil), nil),
		add("t", json.RawMessage("null"), nil), add("t", (*Receipt)(nil), nil), add("t", []any{}, nil), add("t", "<é>", nil))
	do("moments", add("t", nil, &admin.AddJobOptions{RunAt: admin.Never()}),
		add("t", nil, &admin.AddJobOptions{RunAt: &admin.RunAt{Infinity: -1}}),
		add("t", nil, &admin.AddJobOptions{RunAt: admin.At(noon)}),
		add("t", nil, &admin.AddJobOptions{RunAt: admin.In(-time.Hour)}),
		addMany(nil, admin.JobSpec{TaskIdentifier: "t", RunAt: admin.In(time.Hour)}, admin.JobSpec{TaskIdentifier: "t"}))
	do("no flags", add("t", nil, &admin.AddJobOptions{Flags: []string{}}))
	for _, mode := range []admin.JobKeyMode{"", admin.Replace, admin.PreserveRunAt, admin.UnsafeDedupe} {
		do("a key again, "+string(mode), add("t", Receipt{1}, full("k", mode)), add("other", Receipt{2}, keyed("k", mode)),
			add("t", Receipt{3}, full("k", mode)), add("t", nil, keyed("another", mode)))
		do("arrays with one key, "+string(mode), add("t", []int{1}, keyed("k", mode)), add("t", []int{2, 3}, keyed("k", mode)),
			add("t", Receipt{4}, keyed("k", mode)), add("t", []int{5}, keyed("k", mode)))
		do("a mode without a key, "+string(mode), add("t", nil, &admin.AddJobOptions{JobKeyMode: mode}))
	}
	batch := []admin.JobSpec{
		{TaskIdentifier: "t", Payload: []int{1}, JobKey: new("k"), RunAt: admin.At(noon)},
		{TaskIdentifier: "t"},
		{TaskIdentifier: "other", Payload: Receipt{7}, QueueName: new("mail"), MaxAttempts: new(1), Priority: new(2), Flags: []string{"a"}},
	}
	again := []admin.JobSpec{{TaskIdentifier: "t"}, {TaskIdentifier: "t", Payload: []int{2}, JobKey: new("k")}}
	do("a batch", addMany(nil, batch...), addMany(nil, again...), addMany(nil))
	do("a batch that keeps run_at", addMany(nil, batch...), addMany(&admin.AddJobsOptions{PreserveRunAt: true}, again...),
		addMany(&admin.AddJobsOptions{PreserveRunAt: true}, again[1]))
	do("removal", add("t", Receipt{7}, full("k", "")), remove("k", &admin.RemoveOptions{DryRun: true}), remove("k", nil),
		remove("k", nil), add("t", nil, keyed("k", "")), remove("other", nil))
	do("bad input", add("", nil, nil), add(strings.Repeat("t", 129), nil, nil), add("t", []byte("{}"), nil), add("t", make(chan int), nil),
		add("t", json.RawMessage("{"), nil), add("t", nil, keyed("", "")), add("t", nil, keyed("k", "unknown")),
		add("t", nil, &admin.AddJobOptions{Priority: new(32768), MaxAttempts: new(0), QueueName: new(strings.Repeat("q", 129))}),
		addMany(nil, admin.JobSpec{TaskIdentifier: "t", JobKey: new("k")}, admin.JobSpec{TaskIdentifier: "t", JobKey: new("k")}),
		addMany(nil, admin.JobSpec{TaskIdentifier: "t"}, admin.JobSpec{Priority: new(40000)}), remove("", nil),
		add("t", nil, nil))
	return all
}()

// TestConformance makes the same calls on a fake and on a client, and compares what
// they return and what is there afterwards.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, c := range conformance {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			fake, client := &gwtest.Fake{}, admin.New(gwtest.Pool(t))
			ofFake, ofClient := renumbering{}, renumbering{}
			for i, call := range c.make {
				want, got := call(t.Context(), client), call(t.Context(), fake)
				ofClient.renumber(want.Jobs)
				ofFake.renumber(got.Jobs)
				check(t, fmt.Sprintf("call %d, client and fake", i), want, got, alike)
			}
			there := []admin.Job{}
			for job, err := range client.AllJobs(t.Context(), admin.Filter{}, &admin.ListOptions{PayloadBytes: 1000}) {
				if err != nil {
					t.Fatal(err)
				}
				there = append(there, job.Job)
			}
			jobs := fake.Jobs()
			ofClient.renumber(there)
			ofFake.renumber(jobs)
			check(t, "jobs, client and fake", there, jobs, alike)
		})
	}
}

// A renumbering gives jobs ids without gaps, as they are first seen. PostgreSQL
// leaves gaps.
type renumbering map[int64]int64

func (r renumbering) renumber(jobs []admin.Job) {
	for i := range jobs {
		if _, seen := r[jobs[i].ID]; !seen {
			r[jobs[i].ID] = int64(len(r) + 1)
		}
		jobs[i].ID = r[jobs[i].ID]
	}
}

// alike compares payloads as JSON, and takes moments of these hours for one that are
// less than a minute apart.
var alike = gocmp.Options{
	gocmp.Transformer("JSON", func(payload json.RawMessage) (value any) {
		if err := json.Unmarshal(payload, &value); err != nil {
			return err
		}
		return value
	}),
	gocmp.Comparer(func(x, y time.Time) bool {
		return x.Location() == y.Location() && (x.Equal(y) || time.Since(x).Abs() < 2*time.Hour && x.Sub(y).Abs() < time.Minute)
	}),
}

func TestFakeErr(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	fake := &gwtest.Fake{Err: broken}
	if _, err := SendReceipt.Add(t.Context(), fake, Receipt{}, nil); !errors.Is(err, broken) {
		t.Errorf("AddJob: got %v, want the error set", err)
	}
	if _, err := fake.AddJobs(t.Context(), nil, nil); !errors.Is(err, broken) {
		t.Errorf("AddJobs: got %v, want the error set", err)
	}
	if _, err := fake.RemoveJob(t.Context(), "k", nil); !errors.Is(err, broken) {
		t.Errorf("RemoveJob: got %v, want the error set", err)
	}
	fake.Err = nil
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SendReceipt.Add(ended, fake, Receipt{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("AddJob: got %v, want context.Canceled", err)
	}
	fake.RequireNotAdded(t, SendReceipt)
}

// TestFakeAtOnce is for the race detector, too.
func TestFakeAtOnce(t *testing.T) {
	t.Parallel()
	var fake gwtest.Fake
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := SendReceipt.Add(t.Context(), &fake, Receipt{Order: i}, nil); err != nil {
				t.Error(err)
			}
			fake.Jobs()
		})
	}
	wg.Wait()
	fake.RequireAdded(t, SendReceipt, gwtest.Count(50))
}

// TestFakeKeepsItsJobs from what callers do with theirs.
func TestFakeKeepsItsJobs(t *testing.T) {
	t.Parallel()
	var fake gwtest.Fake
	payload := json.RawMessage(`{"order":7}`)
	options := &admin.AddJobOptions{QueueName: new("mail"), JobKey: new("k"), Flags: []string{"a"}}
	job, err := fake.AddJob(t.Context(), "t", payload, options)
	if err != nil {
		t.Fatal(err)
	}
	want := fake.Jobs()
	spoil := func(j *admin.Job) {
		copy(j.Payload, "spoiled")
		*j.QueueName, *j.Key, j.Flags[0] = "spoiled", "spoiled", "spoiled"
	}
	spoil(job)
	copy(payload, "spoiled")
	*options.QueueName, *options.JobKey, options.Flags[0] = "spoiled", "spoiled", "spoiled"
	spoil(&fake.Jobs()[0])
	want[0].Payload, want[0].QueueName, want[0].Key = json.RawMessage(`{"order":7}`), new("mail"), new("k")
	want[0].Flags = []string{"a"}
	check(t, "jobs", want, fake.Jobs())
}
