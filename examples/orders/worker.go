package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A worker is a running process of the worker.
type worker struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when the process has ended
	err   error         // how, to be read once ended is closed
}

// buildWorker installs the worker's packages unless they are there, and compiles it.
func buildWorker(ctx context.Context, dir string, out io.Writer) error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("the worker needs %s, which is not on the PATH: install Node.js, or start without the worker by -worker=", program)
		}
	}
	lock, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return fmt.Errorf("find the worker: %w: run this in examples/orders, or name its directory with -worker", err)
	}
	// npm writes this file last.
	installed, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err != nil || installed.ModTime().Before(lock.ModTime()) {
		if err := npm(ctx, dir, out, "ci"); err != nil {
			return err
		}
	}
	return npm(ctx, dir, out, "run", "build")
}

func npm(ctx context.Context, dir string, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, "npm", args...)
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	call := "npm " + strings.Join(args, " ")
	fmt.Fprintf(out, "%s (in %s)\n", call, dir)
	if text, err := cmd.CombinedOutput(); err != nil {
		return cmp.Or(ctx.Err(), fmt.Errorf("%s: %w\n%s", call, err, text))
	}
	return nil
}

// startWorker starts the worker. It stops when its standard input ends, and so also when
// this process is killed.
func startWorker(dir, databaseURL string, out io.Writer) (*worker, error) {
	w := &worker{cmd: exec.Command("node", "dist/main.js", "--until-stdin-ends"), ended: make(chan struct{})}
	w.cmd.Dir = dir
	w.cmd.Env = append(os.Environ(), "DATABASE_URL="+databaseURL, "NO_LOG_SUCCESS=1")
	w.cmd.Stdout, w.cmd.Stderr = out, out
	var err error
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	go func() {
		w.err = w.cmd.Wait()
		close(w.ended)
	}()
	return w, nil
}

// stop has the worker finish the jobs that it runs, and waits until it has ended.
func (w *worker) stop() error {
	w.stdin.Close()
	select {
	case <-w.ended:
		return nil
	case <-time.After(grace):
		return errors.Join(fmt.Errorf("the worker did not end within %s", grace), w.cmd.Process.Kill())
	}
}
