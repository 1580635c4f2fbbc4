package observe

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A tempo is a pace whose parts are read one after another.
type tempo struct {
	Pace
	turn chan struct{} // has one element, which a reading takes
}

func newTempo(pace Pace) *tempo {
	t := &tempo{Pace: pace, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	return t
}

// A reader is a part of a snapshot without its type.
type reader interface {
	refresh(ctx context.Context)
	running() (done <-chan struct{}, first, recent bool)
}

// A part is a part of the snapshots. It is read by one goroutine at a time.
type part[T any] struct {
	*tempo
	read func(ctx context.Context, before T) (T, time.Time, error)

	mu      sync.Mutex
	value   T
	state   Part
	readAt  time.Time     // when value was read, by the clock of this process
	retryAt time.Time     // when it is to be read again; zero: never tried
	done    chan struct{} // closed at the end of the reading that is under way; nil: there is none
}

// refresh begins a reading if the part is old enough and none is under way.
func (p *part[T]) refresh(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done != nil || ctx.Err() != nil || time.Now().Before(p.retryAt) {
		return
	}
	p.done = make(chan struct{})
	go p.run(ctx, p.value)
}

// running returns the end of the reading that is under way, or nil, whether none has ended
// before it, and whether the part was read within twice its interval.
func (p *part[T]) running() (done <-chan struct{}, first, recent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done, p.retryAt.IsZero(), time.Since(p.readAt) < 2*p.Interval
}

// last returns what was read last.
func (p *part[T]) last() (T, Part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := p.state
	state.IntervalSeconds = p.Interval.Seconds()
	if state.AsOf != nil {
		state.AgeSeconds = time.Since(p.readAt).Seconds()
	}
	return p.value, state
}

// retryAfter is the shortest time after which a failed reading is made again.
const retryAfter = 15 * time.Second

func (p *part[T]) run(ctx context.Context, before T) {
	var value T
	var asOf time.Time
	var err error
	start := time.Now()
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-p.turn:
		start = time.Now()
		value, asOf, err = p.try(ctx, before)
		p.turn <- struct{}{}
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	took := time.Since(start)
	p.state.TookSeconds = took.Seconds()
	p.state.Err, p.state.Error = err, ""
	// A tenth earlier, since whoever asks at the same interval is sometimes a bit early.
	p.retryAt = start.Add(p.Interval - p.Interval/10)
	if err == nil {
		p.value, p.readAt = value, start
		p.state.AsOf = &asOf
	} else {
		p.state.Error = err.Error()
		// What fails quickly is tried again soon; what a timeout ended is not.
		p.retryAt = start.Add(min(p.Interval, max(retryAfter, 10*took)))
	}
	close(p.done)
	p.done = nil
}

// try reads the part, within twice the timeout of its statements.
func (p *part[T]) try(ctx context.Context, before T) (T, time.Time, error) {
	within := 2 * p.Timeout
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not read within %s", within))
	defer cancel()
	value, asOf, err := p.read(ctx, before)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return value, asOf, err
}
