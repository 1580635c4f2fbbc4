package upstream

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"slices"
	"sync"
	"testing"
)

//go:embed driver.mjs
var driverSource string

// Driver is a node process that runs one release of graphile-worker on one
// schema.
//
// [Process.Call] calls a method of graphile-worker's WorkerUtils: addJob, addJobs
// (since 0.17), completeJobs, permanentlyFailJobs, rescheduleJobs, forceUnlockWorkers,
// cleanup or migrate. The arguments are JavaScript's, in order; a run_at is a string in
// any form that PostgreSQL reads. What comes back has the columns' names: ids are
// strings, and infinite times are "infinity".
type Driver struct {
	*Process

	mu      sync.Mutex
	workers map[int64]*Worker
	lastID  int64 // of a worker
	logs    []Log
}

// Log is a line that graphile-worker logged as a warning or an error.
type Log struct {
	Level   string `json:"level"` // "warning" or "error"
	Message string `json:"message"`
}

// Start runs a driver until the end of the test, or of the test process. Whatever
// it still does then is cut off. It does not touch the database by itself, but
// [Process.Call] and a [Worker] install or migrate the schema if it is older
// than the release, as graphile-worker always does. An empty schema name is
// [DefaultSchema]. Start calls [Ensure], and so may skip the test.
func Start(tb testing.TB, version, url, schema string) *Driver {
	tb.Helper()
	Ensure(tb)
	d := &Driver{workers: make(map[int64]*Worker)}
	var err error
	d.Process, err = StartProcess(tb.Context(), version, url, driverSource, d.receive, version, cmp.Or(schema, DefaultSchema))
	if err == nil {
		err = d.Call(tb.Context(), "ready", nil, nil)
	}
	if err != nil {
		tb.Fatalf("start graphile-worker %s: %v", version, err)
	}
	tb.Cleanup(func() {
		select {
		case <-d.ended:
			if d.err != nil {
				tb.Error(d.err)
			}
		default:
			d.Close()
		}
		if tb.Failed() {
			tb.Logf("graphile-worker %s logged %v\nand printed %s", version, d.Logs(), &d.stderr)
		}
	})
	return d
}

// receive handles an event.
func (d *Driver) receive(line json.RawMessage) {
	var m struct {
		Event  string `json:"event"`
		Worker int64  `json:"worker"`
		Job    Job    `json:"job"`
		Log    Log    `json:"log"`
		Error  *Error `json:"error"`
	}
	if err := json.Unmarshal(line, &m); err != nil {
		m.Event, m.Log = "log", Log{"error", err.Error()}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.Event == "log" {
		d.logs = append(d.logs, m.Log)
		return
	}
	w := d.workers[m.Worker]
	if w == nil {
		return
	}
	switch m.Event {
	case "started":
		w.started.add(m.Job)
	case "finished":
		w.finished.add(m.Job)
	case "stopped":
		if m.Error != nil {
			w.err = m.Error
		}
		close(w.done)
		delete(d.workers, m.Worker)
	}
}

// Logs returns what graphile-worker has logged so far as warnings and errors.
func (d *Driver) Logs() []Log {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.logs)
}
