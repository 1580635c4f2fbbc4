package main

import (
	"context"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/gwadmin/gwadmin/admin"
	graces "github.com/gwadmin/gwadmin/internal/outcome"
)

// A bar shows progress if standard error is a terminal.
type bar struct {
	writer  progress.Writer
	tracker *progress.Tracker
}

// progress starts a bar unless the total is one batch. A total of 0 is unknown.
func (a *app) progress(total int, message string) *bar {
	if total > 0 && total <= idBatch {
		return &bar{}
	}
	return a.bar(total, message)
}

// bar starts a bar. A total of 0 is unknown.
func (a *app) bar(total int, message string) *bar {
	return a.startBar(&progress.Tracker{Message: message, Total: int64(total)})
}

// byteBar starts a bar that counts bytes. A total of 0 is unknown.
func (a *app) byteBar(total int64, message string) *bar {
	return a.startBar(&progress.Tracker{Message: message, Total: total, Units: progress.UnitsBytes})
}

func (a *app) startBar(tracker *progress.Tracker) *bar {
	width, tty := terminalWidth(a.stderr)
	if !tty {
		return &bar{}
	}
	b := &bar{writer: progress.NewWriter(), tracker: tracker}
	b.writer.SetOutputWriter(a.stderr)
	b.writer.SetTrackerLength(min(40, width/3))
	b.writer.SetAutoStop(false)
	b.writer.Style().Visibility.Percentage = tracker.Total > 0
	b.writer.SetUpdateFrequency(100 * time.Millisecond)
	if os.Getenv("NO_COLOR") == "" {
		b.writer.Style().Colors = progress.StyleColorsExample
	}
	b.writer.AppendTracker(b.tracker)
	go b.writer.Render()
	return b
}

// carryThrough returns a context for a batch, which is finished first if Ctrl-C comes
// before done is called, and has CommitGrace for that. It tells the user.
func (a *app) carryThrough(ctx context.Context) (batch context.Context, done func()) {
	batch, cancel := graces.Graced(ctx, admin.CommitGrace)
	stop := context.AfterFunc(ctx, func() { a.say("interrupted: ends after this batch; once more, and it ends at once") })
	return batch, func() {
		stop()
		cancel()
	}
}

func (b *bar) add(n int) {
	if b.tracker != nil {
		b.tracker.Increment(int64(n))
	}
}

func (b *bar) stop() {
	if b.writer == nil {
		return
	}
	b.writer.Stop()
	for b.writer.IsRenderInProgress() {
		time.Sleep(10 * time.Millisecond)
	}
}
