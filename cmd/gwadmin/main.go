// Command gwadmin administers a Graphile Worker job queue on PostgreSQL.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	hideURL()
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	signaled, stop := signal.NotifyContext(context.Background(), signals...)
	ctx, interrupt := context.WithCancel(context.Background())
	context.AfterFunc(signaled, func() {
		stop() // a second signal ends the process at once
		interrupt()
	})
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	os.Exit(code)
}
