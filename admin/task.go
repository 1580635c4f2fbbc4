package admin

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// A JobAdder adds jobs: a [Client] and an [Adder] do.
type JobAdder interface {
	AddJob(ctx context.Context, taskIdentifier string, payload any, options *AddJobOptions) (*Job, error)
}

// A DeclaredTask is a [TypedTask] of any payload type.
type DeclaredTask interface {
	// Identifier is the task's identifier.
	Identifier() string
	// PayloadType is the Go type of the task's payloads.
	PayloadType() reflect.Type
	// Err is what is wrong with the declaration, an [*InvalidError]; nil: nothing.
	Err() error
}

// Identifiers returns the identifiers of the tasks, in their order.
func Identifiers(tasks ...DeclaredTask) []string {
	identifiers := make([]string, len(tasks))
	for i, task := range tasks {
		identifiers[i] = task.Identifier()
	}
	return identifiers
}

// A TypedTask is a task whose payloads have the Go type T. It is made by [NewTask],
// and may be used from many goroutines at once.
type TypedTask[T any] struct {
	identifier string
	defaults   AddJobOptions
	err        error
}

// TaskOptions are the defaults for the jobs of a task. The [AddJobOptions] of a call win
// over them. A nil field means the default of AddJobOptions, and so does a nil struct.
type TaskOptions struct {
	QueueName   *string    // jobs of one queue run one after another; nil: no queue. At most 128 characters
	RunAt       *RunAt     // such as In(time.Minute); nil: now, by the database's clock
	MaxAttempts *int       // 1 to 32767; nil: 25
	JobKey      *string    // 1 to 512 characters: the task has one job at most, which is replaced; nil: none
	JobKeyMode  JobKeyMode // empty: Replace
	Priority    *int       // -32768 to 32767, smaller runs earlier; nil: 0
	Flags       []string   // workers that forbid one of them leave the job alone
}

// NewTask declares a task. Its identifier is the name that the JavaScript worker
// knows it by, and T the type of its payloads, as encoding/json writes them.
//
// NewTask returns no error, so that it can initialize a package variable. An empty or
// invalid identifier, invalid options, and []byte for T (use [json.RawMessage]) are
// reported by [TypedTask.Err], and by every other use.
func NewTask[T any](identifier string, options *TaskOptions) *TypedTask[T] {
	if options == nil {
		options = &TaskOptions{}
	}
	t := &TypedTask[T]{identifier: identifier, defaults: AddJobOptions(*options)}
	t.defaults.Flags = slices.Clone(options.Flags)

	var f faults
	var payload any
	if reflect.TypeFor[T]() == reflect.TypeFor[[]byte]() {
		payload = []byte{} // which is refused
	}
	f.spec(new(newSpec(identifier, payload, &t.defaults)))
	f.keyMode(t.defaults.JobKeyMode)
	t.err = f.err(fmt.Sprintf("task %q", graphile.Short(identifier)))
	return t
}

// Identifier returns the task's identifier.
func (t *TypedTask[T]) Identifier() string { return t.identifier }

// PayloadType returns T.
func (t *TypedTask[T]) PayloadType() reflect.Type { return reflect.TypeFor[T]() }

// Err returns what is wrong with the declaration, which is an [*InvalidError] and the
// error of every other use; nil: nothing.
func (t *TypedTask[T]) Err() error { return t.err }

// Add adds a job of the task by the adder's AddJob, and returns what that does. A field
// that is nil in the options has the task's default; Flags that are empty but not nil
// mean no flags.
func (t *TypedTask[T]) Add(ctx context.Context, adder JobAdder, payload T, options *AddJobOptions) (*Job, error) {
	if t.err != nil {
		return nil, t.err
	}
	if isNil(adder) {
		return nil, fmt.Errorf("add job of task %q: the client is nil", t.identifier)
	}
	return adder.AddJob(ctx, t.identifier, payload, new(t.options(options)))
}

// Spec returns a job of the task for [Client.AddJobs], with options as [TypedTask.Add]
// takes them. AddJobs refuses it where the declaration is wrong, and where its
// JobKeyMode is neither empty nor Replace: AddJobs has one mode for all jobs, which
// [AddJobsOptions] set.
func (t *TypedTask[T]) Spec(payload T, options *AddJobOptions) JobSpec {
	all := t.options(options)
	spec := newSpec(t.identifier, payload, &all)
	if all.JobKeyMode != "" && all.JobKeyMode != Replace {
		spec.Payload = refusal{Field: "job_key_mode", Problem: "is not for AddJobs: set AddJobsOptions, or use AddJob"}
	}
	return spec
}

// A refusal is the payload of a job that must not be added.
type refusal Fault

// MarshalJSON fails, so that nobody stores the refusal.
func (r refusal) MarshalJSON() ([]byte, error) { return nil, errors.New(Fault(r).String()) }

// options returns the options given, and the task's where none are.
func (t *TypedTask[T]) options(given *AddJobOptions) AddJobOptions {
	all := t.defaults
	if given == nil {
		given = &AddJobOptions{}
	}
	override(&all.QueueName, given.QueueName)
	override(&all.RunAt, given.RunAt)
	override(&all.MaxAttempts, given.MaxAttempts)
	override(&all.JobKey, given.JobKey)
	override(&all.Priority, given.Priority)
	if given.JobKeyMode != "" {
		all.JobKeyMode = given.JobKeyMode
	}
	if given.Flags != nil {
		all.Flags = given.Flags
	}
	return all
}

func override[V any](to **V, given *V) {
	if given != nil {
		*to = given
	}
}
