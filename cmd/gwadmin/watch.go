package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// leastInterval is how soon a watch may look again.
const leastInterval = 100 * time.Millisecond

// watchFlag is the value of --watch; zero is not given.
type watchFlag time.Duration

func (f *watchFlag) flag(flags *pflag.FlagSet) {
	flags.Var(f, "watch", "show it again after so long, at least 100ms, until Ctrl-C")
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

// watch prints what it reads, and its title, again and again until Ctrl-C, which is
// no failure. An error at the first time ends it; later ones, as of a database that
// fails over, are told, and it goes on trying.
func (a *app) watch(ctx context.Context, every time.Duration, read func() (data printable, title string, err error)) error {
	var shown printable
	var said string
	for {
		data, title, err := read()
		switch {
		case shown != nil && ctx.Err() != nil:
			return nil
		case shown == nil && err != nil:
			return err
		case err == nil:
			shown, said = data, fmt.Sprintf("%s, every %s: %s", time.Now().UTC().Format(time.DateTime), every, title)
			err = a.snapshot(shown, said)
		case a.onScreen():
			err = a.snapshot(shown, fmt.Sprintf("%s\nsince then: %s", said, describe(err)))
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
func (a *app) snapshot(data printable, title string) error {
	switch {
	case a.format != formatTable:
		return a.print(data)
	case a.onScreen():
		return a.draw(title + "\n\n" + a.text(data))
	}
	_, err := fmt.Fprintf(a.stdout, "%s\n%s\n", title, a.text(data))
	return err
}

// draw puts as many lines of the text onto the terminal as it has, over what is there,
// at one stroke: cleared first, it would flicker.
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
