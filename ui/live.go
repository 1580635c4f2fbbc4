package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// live tells browsers when the queue has changed. While at least one watches, it reads
// the pulse of the queue, for all of them. The zero value with a read function is ready.
type live struct {
	read func(ctx context.Context) (pulse, error)

	mu       sync.Mutex
	watchers map[chan string]bool
	stop     context.CancelFunc
	history  []pulse
}

const (
	pulseEvery   = 2 * time.Second
	mostWatchers = 500
	mostHistory  = 300 // of ten minutes
)

// watch returns a channel that says "changed" when the queue has changed and "gone" when
// the database cannot be read.
func (l *live) watch() (chan string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.watchers) >= mostWatchers {
		return nil, false
	}
	if l.watchers == nil {
		l.watchers = make(map[chan string]bool)
	}
	changed := make(chan string, 1)
	l.watchers[changed] = true
	if l.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		l.stop = stop
		go l.poll(ctx)
	}
	return changed, true
}

// unwatch ends a watch, and the polling with the last of them.
func (l *live) unwatch(changed chan string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watchers, changed)
	if len(l.watchers) == 0 && l.stop != nil {
		l.stop()
		l.stop = nil
	}
}

func (l *live) poll(ctx context.Context) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	var last pulse
	failed := false // pages may show the error
	for {
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		now, err := l.read(within)
		cancel()
		if ctx.Err() != nil {
			return
		}
		switch {
		case errors.Is(err, errUnread):
			l.tell("")
		case err != nil:
			l.tell("gone")
			failed = true
		case now.Changes != last.Changes || failed:
			l.tell("changed")
			last, failed = now, false
		default:
			l.tell("")
		}
		if err == nil {
			l.remember(now)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *live) tell(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for watcher := range l.watchers {
		select {
		case watcher <- what:
		default: // it has not read the last one yet
		}
	}
}

func (l *live) remember(p pulse) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.history); n > 0 && p.At.Sub(l.history[n-1].At) > time.Minute {
		l.history = nil // nobody watched meanwhile
	}
	l.history = append(l.history, p)
	if len(l.history) > mostHistory {
		l.history = append([]pulse(nil), l.history[len(l.history)-mostHistory:]...)
	}
}

// seen are the pulses of the time that somebody has been watching.
func (l *live) seen() []pulse {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]pulse(nil), l.history...)
}

// events is a stream of server-sent events.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) error {
	if h.open.Err() != nil {
		return errClosing
	}
	changed, ok := h.live.watch()
	if !ok {
		return &statusError{http.StatusServiceUnavailable, errors.New("too many pages are open")}
	}
	defer h.live.unwatch(changed)
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{}) // the server's is for pages
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx holds streams back otherwise
	_, _ = fmt.Fprint(w, "retry: 3000\n\n")
	if err := control.Flush(); err != nil {
		return nil // this server cannot stream: the page polls
	}
	end := time.NewTimer(10 * time.Minute) // the browser connects again, and is authorized again
	defer end.Stop()
	for {
		select {
		case <-r.Context().Done():
			return nil
		case <-end.C:
			return nil
		case <-h.open.Done():
			return nil
		case what := <-changed:
			text := ": still here\n\n"
			if what != "" {
				text = "event: " + what + "\ndata: 1\n\n"
			}
			if _, err := fmt.Fprint(w, text); err != nil {
				return nil
			}
			if err := control.Flush(); err != nil {
				return nil
			}
		}
	}
}
