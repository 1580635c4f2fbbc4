package upstream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// Process is a program, mostly node with a JavaScript module. It reads requests, one a
// line: {"id", "method", "args"}. It answers each with a line {"id", "result"} or
// {"id", "error": {"message", "code"}}, and ends when its input does. A Process may be
// used from many goroutines at once.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer  // what node printed, to be read once ended is closed
	ended  chan struct{} // closed when the process has ended
	err    error         // why, to be read once ended is closed
	event  func(json.RawMessage)

	writing sync.Mutex // held while a request is written

	mu      sync.Mutex
	closing bool
	lastID  int64
	calls   map[int64]chan answer
}

type answer struct {
	ID     int64           `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *Error          `json:"error"`
}

// Error is an error that a call threw.
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

// StartProcess runs a module's source, with the packages in reach: as "pg", and as
// "graphile-worker-" and the version. Its pools connect to the database behind url.
// The context bounds the start only. Lines that answer no request go to event, one
// after another. Without node or npm the error is [ErrUnavailable].
func StartProcess(ctx context.Context, version, url, source string, event func(json.RawMessage), args ...string) (*Process, error) {
	args = append([]string{"--input-type=module", "--eval", source, "--"}, args...)
	cmd, err := command(context.WithoutCancel(ctx), version, url, args...)
	if err != nil {
		return nil, err
	}
	return StartCommand(cmd, event)
}

// StartCommand runs a program. Lines that answer no request go to event.
func StartCommand(cmd *exec.Cmd, event func(json.RawMessage)) (*Process, error) {
	p := &Process{cmd: cmd, ended: make(chan struct{}), event: event, calls: make(map[int64]chan answer)}
	cmd.Stderr = &p.stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(stdout)
	return p, nil
}

// read receives what the process writes, until it ends.
func (p *Process) read(stdout io.Reader) {
	decoder := json.NewDecoder(stdout)
	var err error
	for err == nil {
		var line json.RawMessage
		var a answer
		if err = decoder.Decode(&line); err == nil {
			err = json.Unmarshal(line, &a)
		}
		switch {
		case err != nil:
		case a.ID == 0:
			p.event(line)
		default:
			p.mu.Lock()
			if call := p.calls[a.ID]; call != nil {
				call <- a
				delete(p.calls, a.ID)
			}
			p.mu.Unlock()
		}
	}
	if !errors.Is(err, io.EOF) {
		p.cmd.Process.Kill() // its output is no JSON
	}
	waitErr := p.cmd.Wait()

	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closing {
		p.err = fmt.Errorf("%s ended: %w", filepath.Base(p.cmd.Path), errors.Join(err, waitErr))
		if p.stderr.Len() > 0 {
			p.err = fmt.Errorf("%w\n%s", p.err, &p.stderr)
		}
	}
	close(p.ended)
}

// Call calls a method and decodes what it returns into result, unless that is nil. The
// arguments are sent as JSON. What the method throws is an [*Error]. When ctx ends
// first, the call goes on in node.
func (p *Process) Call(ctx context.Context, method string, args []any, result any) error {
	err := p.call(ctx, method, args, result)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

func (p *Process) call(ctx context.Context, method string, args []any, result any) error {
	if args == nil {
		args = []any{}
	}
	reply := make(chan answer, 1)
	p.mu.Lock()
	p.lastID++
	id := p.lastID
	p.calls[id] = reply
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.calls, id)
		p.mu.Unlock()
	}()

	line, err := json.Marshal(map[string]any{"id": id, "method": method, "args": args})
	if err != nil {
		return err
	}
	p.writing.Lock()
	_, err = p.stdin.Write(append(line, '\n'))
	p.writing.Unlock()
	if err != nil {
		return cmp.Or(p.exit(), err)
	}
	select {
	case a := <-reply:
		switch {
		case a.Error != nil:
			return a.Error
		case result == nil || a.Result == nil:
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.ended:
		return p.exit()
	}
}

// exit waits for the end of a process that is about to end, and returns why it did.
func (p *Process) exit() error {
	<-p.ended
	return cmp.Or(p.err, errClosed)
}

var errClosed = errors.New("process is closed")

// PID returns the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Close ends the process. Closing twice is no error.
func (p *Process) Close() {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
}
