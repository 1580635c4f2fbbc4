package upstream

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"
)

//go:embed driver.mjs
var driverSource string

// Driver is a node process that runs one release of graphile-worker on one
// schema. It is safe for use from many goroutines.
type Driver struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer  // what node printed, to be read once ended is closed
	ended  chan struct{} // closed when the process is gone
	err    error         // why, to be read once ended is closed

	writing sync.Mutex // held while a request is written

	mu      sync.Mutex
	closing bool
	lastID  int64
	calls   map[int64]chan message
	workers map[int64]*Worker
	logs    []Log
}

// Error is an error that graphile-worker threw.
type Error struct {
	Message string `json:"message"`
	Code    string `json:"code"` // the SQLSTATE, if PostgreSQL raised it
}

func (e *Error) Error() string {
	if e.Code == "" {
		return e.Message
	}
	return e.Message + " (" + e.Code + ")"
}

// Log is a line that graphile-worker logged as a warning or an error.
type Log struct {
	Level   string `json:"level"` // "warning" or "error"
	Message string `json:"message"`
}

type request struct {
	ID     int64  `json:"id"`
	Method string `json:"method"`
	Args   []any  `json:"args"`
}

// A message from the driver answers the request ID, or is an event.
type message struct {
	ID     int64           `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *Error          `json:"error"`

	Event  string `json:"event"`
	Worker int64  `json:"worker"`
	Job    Job    `json:"job"`
	Log    Log    `json:"log"`
}

// Start runs a driver until the end of the test, or of the test process, with
// whatever it still does cut off. It does not touch the database by itself, but
// a [Driver.Call] and a [Worker] install or migrate the schema when it is older
// than the release, as graphile-worker always does. An empty schema name is
// [DefaultSchema]. Start calls [Ensure], and so may skip the test.
func Start(tb testing.TB, version, url, schema string) *Driver {
	tb.Helper()
	Ensure(tb)
	d := &Driver{
		ended:   make(chan struct{}),
		calls:   make(map[int64]chan message),
		workers: make(map[int64]*Worker),
	}
	if err := d.start(tb.Context(), version, url, cmp.Or(schema, DefaultSchema)); err != nil {
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

func (d *Driver) start(ctx context.Context, version, url, schema string) error {
	// The test's context ends before its cleanup, which is to find the process
	// still there.
	cmd, err := Node(context.WithoutCancel(ctx), version, url, driverSource, version, schema)
	if err != nil {
		return err
	}
	cmd.Stderr = &d.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	d.cmd, d.stdin = cmd, stdin
	go d.read(stdout)
	if err := d.Call(ctx, "ready", nil, nil); err != nil {
		d.Close()
		return err
	}
	return nil
}

// read hands on what the driver says until it says no more.
func (d *Driver) read(stdout io.Reader) {
	decoder := json.NewDecoder(stdout)
	var err error
	for err == nil {
		var m message
		if err = decoder.Decode(&m); err == nil {
			d.receive(m)
		}
	}
	if !errors.Is(err, io.EOF) {
		d.cmd.Process.Kill() // it speaks what we do not understand
	}
	waitErr := d.cmd.Wait()

	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closing {
		d.err = fmt.Errorf("driver ended: %w", errors.Join(err, waitErr))
		if d.stderr.Len() > 0 {
			d.err = fmt.Errorf("%w\n%s", d.err, &d.stderr)
		}
	}
	close(d.ended)
}

func (d *Driver) receive(m message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.Event == "" {
		if call := d.calls[m.ID]; call != nil {
			call <- m
			delete(d.calls, m.ID)
		}
		return
	}
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

// Call calls a method of graphile-worker's WorkerUtils and decodes what it
// returns into result, unless that is nil. The methods are addJob, addJobs
// (since 0.17), completeJobs, permanentlyFailJobs, rescheduleJobs,
// forceUnlockWorkers, cleanup and migrate.
//
// The arguments are JavaScript's, in order, and are sent as JSON; a run_at is a
// string in any form PostgreSQL reads. What comes back has the columns' names:
// ids are strings, and infinite times are "infinity". What graphile-worker
// throws is an [*Error]. When ctx ends first, the call still runs its course.
func (d *Driver) Call(ctx context.Context, method string, args []any, result any) error {
	if args == nil {
		args = []any{}
	}
	answer := make(chan message, 1)
	d.mu.Lock()
	d.lastID++
	id := d.lastID
	d.calls[id] = answer
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.calls, id)
		d.mu.Unlock()
	}()

	line, err := json.Marshal(request{id, method, args})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	d.writing.Lock()
	_, err = d.stdin.Write(append(line, '\n'))
	d.writing.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, cmp.Or(d.exit(), err))
	}

	select {
	case m := <-answer:
		switch {
		case m.Error != nil:
			return fmt.Errorf("%s: %w", method, m.Error)
		case result == nil || m.Result == nil:
			return nil
		}
		if err := json.Unmarshal(m.Result, result); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, context.Cause(ctx))
	case <-d.ended:
		return fmt.Errorf("%s: %w", method, d.exit())
	}
}

// exit waits for the end of a process that is about to go, and says why it went.
func (d *Driver) exit() error {
	<-d.ended
	return cmp.Or(d.err, errClosed)
}

var errClosed = errors.New("driver is closed")

// Logs returns what graphile-worker has logged so far as warnings and errors.
func (d *Driver) Logs() []Log {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.logs)
}

// Close ends the process at once, as a crash would: jobs that its workers run
// stay locked. Closing twice is no error.
func (d *Driver) Close() {
	d.mu.Lock()
	d.closing = true
	d.mu.Unlock()
	d.stdin.Close()
	select {
	case <-d.ended:
	case <-time.After(5 * time.Second):
		d.cmd.Process.Kill()
		<-d.ended
	}
}
