package gwtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/admin"
)

// A Fake is a queue in memory, for tests without a database. It is a [admin.JobAdder],
// which typed tasks take in place of a client. Code that also adds batches, or removes
// jobs by key, declares an interface with those of the methods below that it calls;
// an [admin.Client] has them all.
//
// The methods do what those of a client do, the treatment of keys and the refusal of
// bad input included; one suite of tests runs on both. Differences: no worker runs
// the jobs, nothing is rolled back, and run_at, created_at and updated_at are by this
// machine's clock.
//
// The zero value is an empty queue. It may be used from many goroutines at once.
type Fake struct {
	// Err is what every call returns instead of doing anything, for tests of what the
	// code does then. Set it while nobody uses the Fake. Nil: calls work.
	Err error

	mu     sync.Mutex
	lastID int64
	queue  []*admin.Job // by id
}

var _ admin.JobAdder = (*Fake)(nil)

// AddJob does what [admin.Client.AddJob] does.
func (f *Fake) AddJob(ctx context.Context, taskIdentifier string, payload any, options *admin.AddJobOptions) (*admin.Job, error) {
	_, err := checker.AddJob(ctx, taskIdentifier, payload, options)
	if err := f.refusal(ctx, err); err != nil {
		return nil, err
	}
	if options == nil {
		options = &admin.AddJobOptions{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	job := f.add(admin.JobSpec{
		TaskIdentifier: taskIdentifier,
		Payload:        payload,
		QueueName:      options.QueueName,
		RunAt:          options.RunAt,
		MaxAttempts:    options.MaxAttempts,
		JobKey:         options.JobKey,
		Priority:       options.Priority,
		Flags:          options.Flags,
	}, options.JobKeyMode)
	return &job, nil
}

// AddJobs does what [admin.Client.AddJobs] does.
func (f *Fake) AddJobs(ctx context.Context, specs []admin.JobSpec, options *admin.AddJobsOptions) ([]admin.Job, error) {
	_, err := checker.AddJobs(ctx, specs, options)
	if err := f.refusal(ctx, err); err != nil {
		return nil, err
	}
	mode := admin.Replace
	if options != nil && options.PreserveRunAt {
		mode = admin.PreserveRunAt
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	jobs := make([]admin.Job, len(specs))
	for i, spec := range specs {
		jobs[i] = f.add(spec, mode)
	}
	return jobs, nil
}

// RemoveJob does what [admin.Client.RemoveJob] does.
func (f *Fake) RemoveJob(ctx context.Context, key string, options *admin.RemoveOptions) (*admin.RemoveResult, error) {
	_, err := checker.RemoveJob(ctx, key, options)
	if err := f.refusal(ctx, err); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.withKey(&key)
	if i < 0 {
		return &admin.RemoveResult{Outcome: admin.NoSuch}, nil
	}
	job := clone(f.queue[i])
	if options == nil || !options.DryRun {
		f.queue = slices.Delete(f.queue, i, i+1)
	}
	return &admin.RemoveResult{Outcome: admin.Removed, Job: &job}, nil
}

// Jobs returns all jobs by id.
func (f *Fake) Jobs() []admin.Job {
	f.mu.Lock()
	defer f.mu.Unlock()
	jobs := make([]admin.Job, len(f.queue))
	for i, job := range f.queue {
		jobs[i] = clone(job)
	}
	return jobs
}

// RequireAdded is the function [RequireAdded], on the fake.
func (f *Fake) RequireAdded(tb testing.TB, task admin.DeclaredTask, options ...Option) *admin.Job {
	tb.Helper()
	return requireAdded(tb, inFake{f}, task, options)
}

// RequireNotAdded is the function [RequireNotAdded], on the fake.
func (f *Fake) RequireNotAdded(tb testing.TB, task admin.DeclaredTask, options ...Option) {
	tb.Helper()
	requireNotAdded(tb, inFake{f}, task, options)
}

// add adds a job whose spec is valid, or changes the one that has its key.
func (f *Fake) add(spec admin.JobSpec, mode admin.JobKeyMode) admin.Job {
	now := time.Now().UTC().Truncate(time.Microsecond)
	added := admin.Job{
		TaskIdentifier: spec.TaskIdentifier,
		QueueName:      spec.QueueName,
		Payload:        text(spec.Payload),
		Priority:       or(spec.Priority, 0),
		RunAt:          or(spec.RunAt, admin.RunAt{Time: now}),
		MaxAttempts:    or(spec.MaxAttempts, 25),
		CreatedAt:      now,
		UpdatedAt:      now,
		Key:            spec.JobKey,
		Flags:          slices.Compact(slices.Sorted(slices.Values(spec.Flags))),
	}
	if in := added.RunAt.In; in != nil {
		added.RunAt = admin.RunAt{Time: now.Add(*in)}
	}
	added.RunAt.Time = added.RunAt.Time.UTC().Truncate(time.Microsecond)
	i := f.withKey(spec.JobKey)
	if i < 0 {
		f.lastID++
		added.ID = f.lastID
		f.queue = append(f.queue, new(clone(&added)))
		return added
	}
	old := f.queue[i]
	if mode == admin.UnsafeDedupe {
		added = clone(old)
		added.UpdatedAt = now
	} else {
		added.ID, added.CreatedAt = old.ID, old.CreatedAt
		added.Payload = join(old.Payload, added.Payload)
		if mode == admin.PreserveRunAt {
			added.RunAt = old.RunAt
		}
	}
	added.Revision = old.Revision + 1
	f.queue[i] = new(clone(&added))
	return added
}

// withKey returns the place of the job that has the key, or -1.
func (f *Fake) withKey(key *string) int {
	return slices.IndexFunc(f.queue, func(job *admin.Job) bool { return key != nil && job.Key != nil && *job.Key == *key })
}

// refusal is the error of a call that must not do anything, given that of [checker].
func (f *Fake) refusal(ctx context.Context, err error) error {
	if !errors.Is(err, errNoDatabase) {
		return err
	}
	return cmp.Or(f.Err, ctx.Err())
}

// text is the JSON of a valid payload.
func text(payload any) json.RawMessage {
	raw, isRaw := payload.(json.RawMessage)
	switch {
	case payload == nil, isRaw && raw == nil:
		return json.RawMessage("{}")
	case isRaw:
		return slices.Clone(raw)
	}
	text, err := json.Marshal(payload)
	if err != nil {
		panic(err) // a moment ago it could be marshalled
	}
	return text
}

// join returns two arrays as one, and otherwise the new payload.
func join(old, added json.RawMessage) json.RawMessage {
	var a, b []json.RawMessage
	if bytes.HasPrefix(bytes.TrimSpace(old), []byte("[")) && bytes.HasPrefix(bytes.TrimSpace(added), []byte("[")) &&
		json.Unmarshal(old, &a) == nil && json.Unmarshal(added, &b) == nil {
		return text(append(a, b...))
	}
	return added
}

// clone copies a job with all that it points to.
func clone(job *admin.Job) admin.Job {
	c := *job
	c.QueueName, c.Key = copied(job.QueueName), copied(job.Key)
	c.Payload, c.Flags = slices.Clone(job.Payload), slices.Clone(job.Flags)
	return c
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// checker is a client that refuses bad input like any other, and fails with
// errNoDatabase otherwise.
var checker = admin.New(noDatabase{})

var errNoDatabase = errors.New("no database")

type noDatabase struct{}

func (noDatabase) Begin(context.Context) (pgx.Tx, error) { return nil, errNoDatabase }
func (noDatabase) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, errNoDatabase
}
func (noDatabase) Query(context.Context, string, ...any) (pgx.Rows, error) { return nil, errNoDatabase }
func (noDatabase) QueryRow(context.Context, string, ...any) pgx.Row        { return noDatabase{} }
func (noDatabase) Scan(...any) error                                       { return errNoDatabase }

type inFake struct{ *Fake }

func (f inFake) jobs(_ context.Context, e *expectation) ([]admin.Job, error) {
	return slices.DeleteFunc(f.Jobs(), func(job admin.Job) bool { return job.TaskIdentifier != e.task.Identifier() }), nil
}

func (f inFake) tasks(context.Context, *expectation) ([]string, error) {
	var identifiers []string
	for _, job := range f.Jobs() {
		identifiers = append(identifiers, job.TaskIdentifier)
	}
	slices.Sort(identifiers)
	return slices.Compact(identifiers), nil
}
