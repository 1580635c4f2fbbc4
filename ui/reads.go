package ui

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// reads shares what requests read from the database: as many tabs as there may be that
// show the same, it is read once, and again only when it is too old. The zero value is
// ready.
type reads struct {
	mu   sync.Mutex
	made map[string]*reading
}

// A reading is a read that runs or has ended.
type reading struct {
	key    string
	began  time.Time
	ended  time.Time // zero: it runs
	done   chan struct{}
	cancel context.CancelFunc
	wanted int       // the requests that wait for it
	seen   time.Time // when a request last waited for it
	owed   bool      // it takes long, and the request that comes again has not had it yet
	value  any
	err    error
}

const (
	patience     = 400 * time.Millisecond // how long a request waits before it shows that it searches
	abandonment  = 6 * time.Second        // a read that nobody asks for again is cancelled after this time
	longestRead  = 5 * time.Minute
	mostReadings = 1000 // that have ended
)

// A slowError says that a read still runs. The request may come again to wait for it.
type slowError struct {
	key   string
	since time.Time
}

func (e *slowError) Error() string { return "still searching" }

// errCancelled is the error of a read that somebody cancelled.
var errCancelled = errors.New("the search was cancelled")

// read returns what is not older than maxAge, and when it was read. It waits for a read
// that runs, or starts one. The read is cancelled, in PostgreSQL too, when all requests
// that wait for it have gone.
func read[T any](ctx context.Context, r *reads, key string, maxAge time.Duration, fn func(context.Context) (T, error)) (T, time.Time, error) {
	return readPatiently(ctx, r, key, maxAge, 0, fn)
}

// readPatiently is like read, but returns a *slowError if the read takes longer than the
// patience. The read then goes on for a while, so that the request can come again.
func readPatiently[T any](ctx context.Context, r *reads, key string, maxAge, patience time.Duration, fn func(context.Context) (T, error)) (value T, at time.Time, err error) {
	made := r.join(ctx, key, maxAge, func(ctx context.Context) (any, error) { return fn(ctx) })
	var impatient <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		impatient = timer.C
	}
	select {
	case <-made.done:
		r.leave(made, false)
	case <-impatient:
		if !r.leave(made, true) {
			return value, made.began, &slowError{key, made.began}
		}
	case <-ctx.Done():
		r.leave(made, false)
		return value, made.began, ctx.Err()
	}
	if made.err != nil {
		return value, made.began, made.err
	}
	return made.value.(T), made.began, nil
}

// join returns the reading of the key, and starts it if there is none that is new enough.
func (r *reads) join(ctx context.Context, key string, maxAge time.Duration, fn func(context.Context) (any, error)) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	made := r.made[key]
	if made != nil && (made.ended.IsZero() || made.owed || made.err == nil && now.Sub(made.began) <= maxAge) {
		made.wanted++
		made.owed = false
		return made
	}
	if r.made == nil {
		r.made = make(map[string]*reading)
	}
	if len(r.made) >= mostReadings {
		maps.DeleteFunc(r.made, func(_ string, made *reading) bool { return !made.ended.IsZero() })
	}
	run, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestRead)
	made = &reading{key: key, began: now, done: make(chan struct{}), cancel: cancel, wanted: 1}
	r.made[key] = made
	go func() {
		defer cancel()
		value, err := fn(run)
		if err != nil && run.Err() == context.Canceled {
			err = errCancelled
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		made.value, made.err, made.ended = value, err, time.Now()
		close(made.done)
		kept := maxAge
		if made.owed {
			kept = max(kept, abandonment)
		}
		time.AfterFunc(kept, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.drop(made)
		})
	}()
	return made
}

// drop drops a reading, unless there is already a newer one of its key.
func (r *reads) drop(made *reading) {
	if r.made[made.key] == made {
		delete(r.made, made.key)
	}
}

// leave ends a request's wait, and reports whether the read has ended. If the request is the
// last, the read is cancelled: at once, or if it may come again, when it does not.
func (r *reads) leave(made *reading, again bool) (ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	made.wanted--
	made.seen = time.Now()
	if !made.ended.IsZero() {
		return true
	}
	if made.wanted > 0 {
		return false
	}
	if !again {
		r.end(made)
		return false
	}
	made.owed = true
	time.AfterFunc(abandonment, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if made.ended.IsZero() && made.wanted == 0 && time.Since(made.seen) >= abandonment {
			r.end(made)
		}
	})
	return false
}

// end cancels a reading that runs. Nobody joins it any more.
func (r *reads) end(made *reading) {
	made.cancel()
	r.drop(made)
}

// cancel cancels the reading of the key.
func (r *reads) cancel(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if made := r.made[key]; made != nil {
		r.end(made)
	}
}

// forget makes everything be read anew, after a change.
func (r *reads) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, made := range r.made {
		if !made.ended.IsZero() && key != "clock" {
			delete(r.made, key)
		}
	}
}
