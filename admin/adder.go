package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrAdderClosed is the error of [Adder.AddJob] after [Adder.Close] has been called.
var ErrAdderClosed = errors.New("adder is closed")

// AdderOptions are the options of [NewAdder]. Zero means the default, and so does a nil
// struct.
type AdderOptions struct {
	// Commits is the number of commits that may be under way at a time. Each uses a
	// connection of the pool. 0: 2.
	Commits int
	// MaxBatch is the most jobs that one commit adds. 0: 500. A commit adds more than
	// 1 MB only when a single job is longer.
	MaxBatch int
	// MaxPending is the most jobs that are waiting or being added. More calls wait until
	// there is room. 0: 5000.
	MaxPending int
}

// An Adder adds jobs for many goroutines. A call alone is sent at once by add_job, as by
// [Client.AddJob]. Calls that come while jobs are being committed share the next commit.
// The server makes commits that notify workers one after the other, so shared commits
// add many times more jobs.
//
// An Adder is never part of a transaction: for that use AddJob of [Client.WithTx]. It
// starts goroutines when there are jobs to add, and they end when there are none. It is
// safe for concurrent use.
type Adder struct {
	client   *Client
	options  AdderOptions
	patience time.Duration
	err      error         // the error of every call
	room     chan struct{} // has an element for each job accepted

	mu       sync.Mutex
	queue    []*adding            // the jobs to be added next, no two with one key
	behind   map[string][]*adding // for each key that is queued or being added: the jobs that follow
	commits  int                  // goroutines that take jobs from the queue
	working  int                  // all goroutines, with those of calls that add their job
	rewrites *bool                // whether a trigger may change jobs as they are inserted; nil: unknown
	closing  chan struct{}        // closed by Close
	drained  chan struct{}        // closed when the last goroutine has ended after that
	closed   bool
}

// NewAdder returns an adder on a client. The client must be on a pool. A client on a
// transaction or on a single connection, and invalid options, are the error of every
// call.
func NewAdder(client *Client, options *AdderOptions) *Adder {
	a := &Adder{client: client, patience: defaultPatience, behind: map[string][]*adding{}, closing: make(chan struct{}), drained: make(chan struct{})}
	if options != nil {
		a.options = *options
	}
	var f faults
	defaults := func(field string, value *int, fallback int) {
		if *value < 0 {
			f.add(field, "%d is negative", *value)
		} else if *value == 0 {
			*value = fallback
		}
	}
	defaults("commits", &a.options.Commits, 2)
	defaults("max_batch", &a.options.MaxBatch, 500)
	defaults("max_pending", &a.options.MaxPending, 5000)
	switch {
	case client == nil:
		a.err = errors.New("adder: the client is nil")
	case client.err != nil:
		a.err = client.err
	case onOneConnection(client.conn.db):
		a.err = errors.New("adder: the client is on a transaction or on one connection: use a client on a pool, or AddJob of the client")
	default:
		a.err = f.err("adder")
	}
	if a.err == nil {
		a.room = make(chan struct{}, a.options.MaxPending)
	}
	return a
}

func onOneConnection(on DB) bool {
	switch on := on.(type) {
	case sqlDB:
		return on.conn() != nil
	case pgx.Tx, interface{ PgConn() *pgconn.PgConn }, interface{ Conn() *pgx.Conn }:
		return true
	}
	return false
}

// AddJob adds a job as [Client.AddJob] does, and returns it when it is committed. A job
// that is refused or fails is the error of its own call only. Jobs with the same key are
// added in the order in which the calls were accepted.
//
// The call waits while MaxPending jobs have been accepted. When its context ends, it
// returns at once. If the job had been sent by then, or the connection is lost, the error
// matches [ErrOutcomeUnknown]: the job may have been added. After any other error it has
// not. After [Adder.Close] the error is [ErrAdderClosed].
func (a *Adder) AddJob(ctx context.Context, taskIdentifier string, payload any, options *AddJobOptions) (job *Job, err error) {
	const call = "add job"
	if a.err != nil {
		return nil, a.err
	}
	done := a.client.logAt(ctx, slog.LevelDebug, call, false)
	defer func() { done(job, err) }()
	j, err := newAdding(ctx, call, taskIdentifier, payload, options)
	if err != nil {
		return nil, err
	}
	if err := a.prepare(ctx); err != nil {
		return nil, a.client.failure(call, err)
	}
	if err := a.accept(j); err != nil {
		return nil, a.client.failure(call, err)
	}
	if j.first {
		a.addFirst(j)
	} else {
		select {
		case <-j.done:
		case <-ctx.Done():
			a.abandon(j)
		}
	}
	return j.job, a.client.failure(call, sentAs(Sent{Jobs: 1}, j.err))
}

// Close refuses further jobs, and waits until all that were accepted have been added or
// have failed. If the context ends first, its error is returned, and the rest is still
// added in the background. Close may be called again.
func (a *Adder) Close(ctx context.Context) error {
	if a.err != nil {
		return nil
	}
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.closing)
		if a.working == 0 {
			close(a.drained)
		}
	}
	a.mu.Unlock()
	select {
	case <-a.drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close adder: %d jobs are still being added: %w", len(a.room), ctx.Err())
	}
}

// An adding is a job that is being added, and the call that waits for it.
type adding struct {
	spec    JobSpec // without its payload
	payload *string
	mode    JobKeyMode
	text    string // of the job_spec; relative times are not in it yet
	way     way
	ctx     context.Context // of the call
	first   bool            // found nothing in the queue: the call adds it by itself

	// The rest is guarded by Adder.mu.
	stage    stage
	with     *commit
	answered bool
	done     chan struct{} // closed when answered
	job      *Job          // not changed after done is closed, and so is err
	err      error
}

// A way is how a job is added. A statement adds jobs of one way.
type way int

const (
	replacing  way = iota // by add_jobs
	preserving            // by add_jobs, preserving run_at
	deduping              // by add_job
	alone                 // by add_job, and in a statement of its own
)

// A stage is how far a job has come.
type stage int

const (
	waiting stage = iota // in the queue, or behind one with the same key
	taken                // in a batch
	sent
	finished // no longer the adder's
)

// newAdding validates the input of a call.
func newAdding(ctx context.Context, call, taskIdentifier string, payload any, options *AddJobOptions) (*adding, error) {
	if options == nil {
		options = &AddJobOptions{}
	}
	j := &adding{spec: newSpec(taskIdentifier, payload, options), mode: options.JobKeyMode, ctx: ctx, done: make(chan struct{})}
	var f faults
	j.payload = f.spec(&j.spec)
	f.keyMode(j.mode)
	if err := f.err(call); err != nil {
		return nil, err
	}
	// The caller may change what the options point to once the call has returned.
	j.spec.Payload = nil
	j.spec.QueueName, j.spec.JobKey = clone(j.spec.QueueName), clone(j.spec.JobKey)
	j.spec.MaxAttempts, j.spec.Priority = clone(j.spec.MaxAttempts), clone(j.spec.Priority)
	if j.spec.RunAt = clone(j.spec.RunAt); j.spec.RunAt != nil {
		j.spec.RunAt.In = clone(j.spec.RunAt.In)
	}
	j.spec.Flags = slices.Clone(j.spec.Flags)
	j.text = composite(&j.spec, j.payload, time.Time{})
	switch {
	case j.spec.JobKey == nil: // the mode has no effect
	case j.mode == PreserveRunAt:
		j.way = preserving
	case j.mode == UnsafeDedupe:
		j.way = deduping
	}
	return j, nil
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}

// prepare checks once that the client can add jobs, and how.
func (a *Adder) prepare(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not added: %w", err)
	}
	if err := a.client.ready(ctx, readJobs); err != nil {
		return err
	}
	a.mu.Lock()
	known := a.rewrites != nil
	a.mu.Unlock()
	if known {
		return nil
	}
	rewrites, err := a.client.rewritten(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rewrites = &rewrites
	return nil
}

// accept waits until there is room for the job, and puts it into the queue.
func (a *Adder) accept(j *adding) error {
	select {
	case a.room <- struct{}{}:
	case <-a.closing:
		return ErrAdderClosed
	case <-j.ctx.Done():
		return fmt.Errorf("not added: %w", j.ctx.Err())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		<-a.room
		return ErrAdderClosed
	}
	if j.spec.JobKey == nil && *a.rewrites {
		j.way = alone
	}
	if key := j.spec.JobKey; key != nil {
		if others, busy := a.behind[*key]; busy {
			a.behind[*key] = append(others, j)
			return nil
		}
		a.behind[*key] = nil
	}
	if j.first = len(a.queue) == 0 && a.commits < a.options.Commits; j.first {
		a.commits++
		a.working++
	} else {
		a.enqueue(j)
	}
	return nil
}

// enqueue puts a job into the queue. The caller holds the mutex.
func (a *Adder) enqueue(j *adding) {
	a.queue = append(a.queue, j)
	if a.commits < a.options.Commits {
		a.commits++
		a.goes(a.work)
	}
}

// goes runs fn in a goroutine that Close waits for. The caller holds the mutex.
func (a *Adder) goes(fn func()) {
	a.working++
	go func() {
		fn()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.stops()
	}()
}

// stops records that a goroutine does no more for the adder. The caller holds the mutex.
func (a *Adder) stops() {
	if a.working--; a.working == 0 && a.closed {
		close(a.drained)
	}
}

// answer ends the job's call. The caller holds the mutex.
func (j *adding) answer(job *Job, err error) {
	if !j.answered {
		j.answered, j.job, j.err = true, job, err
		close(j.done)
	}
}

// finish ends the job's call, and makes room for others. The caller holds the mutex.
func (a *Adder) finish(j *adding, job *Job, err error) {
	j.answer(job, err)
	j.stage = finished
	<-a.room
	if key := j.spec.JobKey; key != nil {
		if others := a.behind[*key]; len(others) > 0 {
			a.behind[*key] = others[1:]
			a.enqueue(others[0])
		} else {
			delete(a.behind, *key)
		}
	}
}

// abandon ends the job's call because its context has ended. Unless the job has been
// sent, it will not be.
func (a *Adder) abandon(j *adding) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if j.answered {
		return
	}
	if j.with != nil {
		j.with.leave()
	}
	if j.stage == sent {
		j.answer(nil, &OutcomeUnknownError{Err: j.ctx.Err()})
		return
	}
	err := fmt.Errorf("not added: %w", j.ctx.Err())
	if j.stage == waiting {
		if i := slices.Index(a.queue, j); i >= 0 {
			a.queue = slices.Delete(a.queue, i, i+1)
		} else { // another has its key
			others := a.behind[*j.spec.JobKey]
			i := slices.Index(others, j)
			a.behind[*j.spec.JobKey] = slices.Delete(others, i, i+1)
			j.answer(nil, err)
			j.stage = finished
			<-a.room
			return
		}
	}
	a.finish(j, nil, err)
}
