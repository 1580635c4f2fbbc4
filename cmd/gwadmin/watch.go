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
	flags.Var(f, "watch", "read and show it again after that time, at least 100ms, until Ctrl-C")
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

// args refuses arguments. A duration among them was meant for --watch.
func (f *watchFlag) args(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && *f != 0 {
		return fmt.Errorf("--watch takes its duration with an equals sign: --watch=%s", args[0])
	}
	return takes(0, 0)(cmd, args)
}

// watch prints what it reads again and again until Ctrl-C, which is no failure. An
// error of the first read ends it. After a later one, as of a database that fails over,
// it goes on trying.
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

// onScreen says whether a watch draws over what it has drawn.
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

// draw writes as many lines of the text as the terminal has over what is there. It does
// not clear the terminal first, which would flicker.
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

// terminalHeight returns the height of the terminal that w is.
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
