package gwtest

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/admin"
)

// An Option narrows down the jobs that [RequireAdded] and [RequireNotAdded] look for.
// A job must agree with all of them.
type Option func(*expectation)

// An expectation is what options say.
type expectation struct {
	task   admin.DeclaredTask
	schema []admin.Option
	count  *int
	checks []check
	err    error
}

// A check compares one thing about a job.
type check struct {
	name string
	want any
	got  func(*admin.Job) any
}

func compare(name string, want any, got func(*admin.Job) any) Option {
	return func(e *expectation) { e.checks = append(e.checks, check{name, want, got}) }
}

// Where selects the jobs whose payload the function accepts. T is the task's type of
// payloads; with another one the test fails. A payload that the task cannot decode
// is not accepted.
func Where[T any](accepts func(payload T) bool) Option {
	return func(e *expectation) {
		if of := e.task.PayloadType(); of != reflect.TypeFor[T]() {
			e.err = fmt.Errorf("where: the function takes %v, and the payload of task %q is %v", reflect.TypeFor[T](), e.task.Identifier(), of)
			return
		}
		task := admin.NewTask[T](e.task.Identifier(), nil)
		const want = "what the function of Where accepts"
		compare("payload", want, func(job *admin.Job) any {
			payload, err := task.Decode(job)
			switch {
			case err != nil:
				return err.Error()
			case accepts(payload):
				return want
			}
			return string(job.Payload)
		})(e)
	}
}

// Queue selects the jobs in the queue.
func Queue(name string) Option {
	return compare("queue", name, func(j *admin.Job) any { return textOf(j.QueueName) })
}

// NoQueue selects the jobs without a queue.
func NoQueue() Option {
	return compare("queue", nil, func(j *admin.Job) any { return textOf(j.QueueName) })
}

// Key selects the job with the key.
func Key(key string) Option {
	return compare("key", key, func(j *admin.Job) any { return textOf(j.Key) })
}

// NoKey selects the jobs without a key.
func NoKey() Option { return compare("key", nil, func(j *admin.Job) any { return textOf(j.Key) }) }

// RunAt selects the jobs whose run_at differs from the moment by the margin at most.
// Both are rounded down to microseconds, as PostgreSQL stores times.
func RunAt(at time.Time, margin time.Duration) Option {
	at = at.UTC().Truncate(time.Microsecond)
	want := at.Format(time.RFC3339Nano)
	if margin != 0 {
		want += " ± " + margin.String()
	}
	return compare("run_at", want, func(j *admin.Job) any {
		if j.RunAt.Infinity == pgtype.Finite && j.RunAt.Time.Sub(at).Abs() <= margin {
			return want
		}
		return j.RunAt.String()
	})
}

// RunNever selects the jobs that wait until they are rescheduled: see [admin.Never].
func RunNever() Option {
	return compare("run_at", admin.Never().String(), func(j *admin.Job) any { return j.RunAt.String() })
}

// Priority selects the jobs of the priority.
func Priority(n int) Option {
	return compare("priority", n, func(j *admin.Job) any { return j.Priority })
}

// Attempts selects the jobs that workers have taken so many times.
func Attempts(n int) Option {
	return compare("attempts", n, func(j *admin.Job) any { return j.Attempts })
}

// MaxAttempts selects the jobs that are given so many attempts.
func MaxAttempts(n int) Option {
	return compare("max_attempts", n, func(j *admin.Job) any { return j.MaxAttempts })
}

// Flags selects the jobs that have these flags and no others, in any order.
func Flags(flags ...string) Option {
	want := slices.Compact(slices.Sorted(slices.Values(flags)))
	return compare("flags", list(want), func(j *admin.Job) any { return list(j.Flags) })
}

// Count has [RequireAdded] require exactly so many jobs. Without it there must be
// one at least.
func Count(n int) Option { return func(e *expectation) { e.count = &n } }

// Schema sets the schema to look in, as it is written in [admin.WithSchema].
func Schema(name string) Option {
	return func(e *expectation) { e.schema = []admin.Option{admin.WithSchema(name)} }
}

// RequireAdded fails the test at once unless there is a job of the task that agrees
// with all options, and returns the first one by id. It looks in the database as the
// pool, connection or transaction sees it, without locks. The failure shows the jobs
// of the task that there are beside what was expected.
func RequireAdded(tb testing.TB, db admin.DB, task admin.DeclaredTask, options ...Option) *admin.Job {
	tb.Helper()
	return requireAdded(tb, database{db}, task, options)
}

// RequireNotAdded fails the test at once if there is a job of the task that agrees with
// all options. Without options there must be no job of the task.
func RequireNotAdded(tb testing.TB, db admin.DB, task admin.DeclaredTask, options ...Option) {
	tb.Helper()
	requireNotAdded(tb, database{db}, task, options)
}

// A source has the jobs of one task, by id, and the identifiers of all tasks that have jobs.
type source interface {
	jobs(ctx context.Context, e *expectation) ([]admin.Job, error)
	tasks(ctx context.Context, e *expectation) ([]string, error)
}

// maxShown is how many jobs of a kind a failure shows.
const maxShown = 10

func requireAdded(tb testing.TB, from source, task admin.DeclaredTask, options []Option) *admin.Job {
	tb.Helper()
	e, found, differ := look(tb, from, task, options)
	if e.count == nil && len(found) > 0 || e.count != nil && *e.count == len(found) {
		if len(found) == 0 {
			return nil
		}
		return &found[0]
	}
	want := "a job"
	if e.count != nil {
		want = fmt.Sprintf("exactly %d", *e.count)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "want %s of task %q, found %d%s", want, task.Identifier(), len(found), show(found))
	switch {
	case len(differ) > 0:
		fmt.Fprintf(&text, "\njobs of the task that differ: %d", len(differ))
		for _, job := range differ[:min(len(differ), maxShown)] {
			fmt.Fprintf(&text, "\njob %d: -want +got\n%s", job.ID, e.diff(&job))
		}
	case len(found) == 0:
		tasks, err := from.tasks(tb.Context(), e)
		if err != nil {
			tb.Fatalf("%s\nread the tasks: %v", &text, err)
		}
		fmt.Fprintf(&text, "\ntasks that have jobs: %s", list(tasks))
	}
	tb.Fatal(text.String())
	return nil
}

func requireNotAdded(tb testing.TB, from source, task admin.DeclaredTask, options []Option) {
	tb.Helper()
	e, found, _ := look(tb, from, task, options)
	if e.count != nil {
		tb.Fatal("Count is an option of RequireAdded alone")
	}
	if len(found) > 0 {
		tb.Fatalf("want no such job of task %q, found %d%s", task.Identifier(), len(found), show(found))
	}
}

// look reads the options, and the jobs of the task that agree with them or differ.
func look(tb testing.TB, from source, task admin.DeclaredTask, options []Option) (e *expectation, found, differ []admin.Job) {
	tb.Helper()
	e = &expectation{task: task, err: task.Err()}
	for _, option := range options {
		if e.err == nil {
			option(e)
		}
	}
	if e.err != nil {
		tb.Fatal(e.err)
	}
	jobs, err := from.jobs(tb.Context(), e)
	if err != nil {
		tb.Fatalf("read the jobs of task %q: %v", task.Identifier(), err)
	}
	for _, job := range jobs {
		if e.diff(&job) == "" {
			found = append(found, job)
		} else {
			differ = append(differ, job)
		}
	}
	return e, found, differ
}

// diff compares a job with what is expected.
func (e *expectation) diff(job *admin.Job) string {
	want, got := map[string]any{}, map[string]any{}
	for i, c := range e.checks {
		name := c.name
		if _, again := want[name]; again {
			name = fmt.Sprintf("%s, option %d", name, i+1)
		}
		want[name], got[name] = c.want, c.got(job)
	}
	return cmp.Diff(want, got)
}

// show lists jobs.
func show(jobs []admin.Job) string {
	var text strings.Builder
	for _, job := range jobs[:min(len(jobs), maxShown)] {
		fmt.Fprintf(&text, "\njob %d: payload %s, run_at %s", job.ID, job.Payload, job.RunAt)
		if job.QueueName != nil {
			fmt.Fprintf(&text, ", queue %q", *job.QueueName)
		}
		if job.Key != nil {
			fmt.Fprintf(&text, ", key %q", *job.Key)
		}
	}
	return text.String()
}

func textOf(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

type database struct{ db admin.DB }

func (d database) jobs(ctx context.Context, e *expectation) (jobs []admin.Job, err error) {
	filter := admin.Filter{TaskIdentifiers: []string{e.task.Identifier()}}
	whole := &admin.ListOptions{PayloadBytes: math.MaxInt32}
	for job, err := range admin.New(d.db, e.schema...).AllJobs(ctx, filter, whole) {
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, job.Job)
	}
	return jobs, nil
}

func (d database) tasks(ctx context.Context, e *expectation) (identifiers []string, err error) {
	tasks, err := admin.New(d.db, e.schema...).Tasks(ctx)
	for _, task := range tasks {
		if task.Jobs.Total() > 0 {
			identifiers = append(identifiers, task.Identifier)
		}
	}
	return identifiers, err
}
