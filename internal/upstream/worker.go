package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// WorkerOptions says what a worker does.
type WorkerOptions struct {
	// Tasks are the identifiers of the tasks that it runs. The payload says what the
	// job does: {"sleepMs": n} sleeps, {"holdUntilReleased": true} waits for
	// [Worker.Release], and {"fail": "message"} then fails. Any other payload
	// succeeds at once.
	Tasks []string
	// Concurrency is how many jobs it runs at a time; 0 means 1.
	Concurrency int
	// PollInterval is how often it looks for jobs without a notification; 0 means
	// 100 ms.
	PollInterval time.Duration
	// LocalQueue is the size of its local queue, which exists since 0.17; 0 means none.
	LocalQueue int
	// SweepInterval is how often it clears stale locks; 0 means graphile-worker's 8 to 10
	// minutes.
	SweepInterval time.Duration
	// ForbiddenFlags are the flags of the jobs that it does not take.
	ForbiddenFlags []string
}

// Job is a job that a worker ran.
type Job struct {
	ID       int64           `json:"id,string"`
	Task     string          `json:"task"`
	Payload  json.RawMessage `json:"payload"`
	Attempts int             `json:"attempts"` // this one included
	LockedBy string          `json:"lockedBy"` // the worker's id; since 0.17 its pool's
	Error    string          `json:"error"`    // why a finished job failed; empty otherwise
}

// Worker is a graphile-worker runner inside a [Driver]. It may be used from many
// goroutines at once.
type Worker struct {
	driver            *Driver
	id                int64
	started, finished *feed
	done              chan struct{}
	err               error // to be read once done is closed
}

// StartWorker starts a worker and returns once it listens for notifications.
func (d *Driver) StartWorker(ctx context.Context, opts WorkerOptions) (*Worker, error) {
	if opts.Concurrency == 0 {
		opts.Concurrency = 1
	}
	if opts.PollInterval == 0 {
		opts.PollInterval = 100 * time.Millisecond
	}
	if opts.Tasks == nil {
		opts.Tasks = []string{}
	}
	w := &Worker{driver: d, started: newFeed(), finished: newFeed(), done: make(chan struct{})}
	d.mu.Lock()
	d.lastID++
	w.id = d.lastID
	d.workers[w.id] = w
	d.mu.Unlock()

	err := d.Call(ctx, "startWorker", []any{map[string]any{
		"worker":       w.id,
		"tasks":        opts.Tasks,
		"concurrency":  opts.Concurrency,
		"pollInterval": opts.PollInterval.Milliseconds(),
		"localQueue":   opts.LocalQueue,
		"sweep":        opts.SweepInterval.Milliseconds(),
		"forbidden":    opts.ForbiddenFlags,
	}}, nil)
	if err != nil {
		d.mu.Lock()
		delete(d.workers, w.id)
		d.mu.Unlock()
		return nil, err
	}
	return w, nil
}

// Started waits for the next job that the worker began to run. Each call
// returns another job, in the order in which they began.
func (w *Worker) Started(ctx context.Context) (Job, error) { return w.next(ctx, w.started, "started") }

// Finished waits for the next job that the worker has finished, in the database as
// well: the row is deleted if the job succeeded, and unlocked if it failed.
func (w *Worker) Finished(ctx context.Context) (Job, error) {
	return w.next(ctx, w.finished, "finished")
}

func (w *Worker) next(ctx context.Context, f *feed, what string) (Job, error) {
	for {
		over := w.over() // first: no job is added after the end
		job, ok, more := f.take()
		switch {
		case ok:
			return job, nil
		case over:
			return Job{}, fmt.Errorf("wait for a %s job: the worker has stopped", what)
		}
		select {
		case <-more:
		case <-w.done:
		case <-w.driver.ended:
		case <-ctx.Done():
			return Job{}, fmt.Errorf("wait for a %s job: %w", what, context.Cause(ctx))
		}
	}
}

func (w *Worker) over() bool {
	select {
	case <-w.done:
		return true
	case <-w.driver.ended:
		return true
	default:
		return false
	}
}

// Release ends the wait of a running job.
func (w *Worker) Release(ctx context.Context, jobID int64) error {
	return w.driver.Call(ctx, "release", []any{w.id, strconv.FormatInt(jobID, 10)}, nil)
}

// Stop shuts the worker down and waits until it has stopped. It waits for running jobs,
// so release those that wait first. It may be called again.
func (w *Worker) Stop(ctx context.Context) error {
	if w.over() {
		return nil
	}
	if err := w.driver.Call(ctx, "stopWorker", []any{w.id}, nil); err != nil {
		return err
	}
	return w.Wait(ctx)
}

// Done is closed when the worker has stopped, for whatever reason.
func (w *Worker) Done() <-chan struct{} { return w.done }

// Wait waits until the worker has stopped, and returns the error it stopped with. A
// worker stops by itself when the database gets a breaking migration.
func (w *Worker) Wait(ctx context.Context) error {
	select {
	case <-w.done:
		return w.err
	case <-w.driver.ended:
		return w.driver.exit()
	case <-ctx.Done():
		return fmt.Errorf("wait for the worker to stop: %w", context.Cause(ctx))
	}
}

// feed is a queue of jobs without a limit.
type feed struct {
	mu   sync.Mutex
	jobs []Job
	more chan struct{} // closed when a job is added
}

func newFeed() *feed { return &feed{more: make(chan struct{})} }

func (f *feed) add(job Job) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs = append(f.jobs, job)
	close(f.more)
	f.more = make(chan struct{})
}

func (f *feed) take() (job Job, ok bool, more <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.jobs) == 0 {
		return Job{}, false, f.more
	}
	job, f.jobs = f.jobs[0], f.jobs[1:]
	return job, true, nil
}
