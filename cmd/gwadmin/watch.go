package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// leastInterval is the shortest time between two reads of a watch.
const leastInterval = 100 * time.Millisecond

// watchFlag is the value of --watch; zero is not given.
type watchFlag time.Duration

func (f *watchFlag) flag(flags *pflag.FlagSet) {
	flags.Var(f, "watch", "repeat after that time, at least 100ms, until Ctrl-C")
	flags.Lookup("watch").NoOptDefVal = "2s"
}

func (f *watchFlag) Type() string { return "duration" }

func (f *watchFlag) String() string {
	if *f == 0 {
		return ""
	}
	return time.Duration(*f).String()
}

func (f *watchFlag) Set(value string) error {
	every, err := parseDuration(value)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no duration: write --watch=2s, or --watch alone", value)
	case every < leastInterval:
		return fmt.Errorf("%s is less than %s", every, leastInterval)
	}
	*f = watchFlag(every)
	return nil
}

// args refuses arguments, and explains how to give --watch a duration.
func (f *watchFlag) args(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && *f != 0 {
		return fmt.Errorf("--watch takes its duration with an equals sign: --watch=%s", args[0])
	}
	return takes(0, 0)(cmd, args)
}

// watch repeats reading and printing until Ctrl-C, which is no error. An error of the first
// read ends it. After a later one, as in a failover, it tries again.
func (a *app) watch(ctx context.Context, every time.Duration, read func() (printable, error)) error {
	var shown printable
	var head string
	for {
		data, err := read()
		switch {
		case shown != nil && ctx.Err() != nil:
			return nil
		case shown == nil && err != nil:
			return err
		case err == nil:
			shown, head = data, fmt.Sprintf("%s, every %s", a.moment(new(time.Now())), every)
			if notes := a.notes(data); len(notes) > 0 {
				head += ": " + visible(strings.Join(notes, "; "))
			}
			err = a.snapshot(shown, head)
		case a.onScreen():
			err = a.snapshot(shown, fmt.Sprintf("%s\nsince then: %s", head, describe(err)))
		default:
			a.say("goes on after: %s", describe(err))
			err = nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// onScreen reports whether a watch draws in place.
func (a *app) onScreen() bool {
	_, tty := terminalWidth(a.stdout)
	return tty && a.format == formatTable
}

// snapshot prints one round of a watch.
func (a *app) snapshot(data printable, head string) error {
	if a.format != formatTable {
		return a.print(data)
	}
	text, _ := a.text(data)
	if a.onScreen() {
		return a.draw(head + "\n\n" + text)
	}
	_, err := fmt.Fprintf(a.stdout, "%s\n%s\n", head, text)
	return err
}

// draw writes the text from the top of the terminal, as many lines as that has. Clearing the
// terminal first would flicker.
func (a *app) draw(text string) error {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if height := terminalHeight(a.stdout); len(lines) > height-1 {
		hidden := len(lines) - height + 2
		lines = append(lines[:height-2], fmt.Sprintf("… %s below", plural(hidden, "more line")))
	}
	const home, clearLine, clearBelow = "\x1b[H", "\x1b[K", "\x1b[J"
	_, err := io.WriteString(a.stdout, home+strings.Join(lines, clearLine+"\n")+clearLine+"\n"+clearBelow)
	return err
}

// terminalHeight returns the height of w, a terminal.
func terminalHeight(w io.Writer) int {
	if out, ok := w.(*sink); ok {
		w = out.Writer
	}
	if file, ok := w.(*os.File); ok {
		if _, height, err := term.GetSize(int(file.Fd())); err == nil && height > 4 {
			return height
		}
	}
	return 24
}
