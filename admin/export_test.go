package admin

import "time"

// SetPatience sets how long a batch waits for a lock.
func (a *Adder) SetPatience(patience time.Duration) { a.patience = patience }

// Queued is the number of jobs that wait for the next commits.
func (a *Adder) Queued() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.queue)
	for _, others := range a.behind {
		n += len(others)
	}
	return n
}
