package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// consent is what every verb that changes something needs.
type consent struct {
	dryRun bool
	yes    bool
}

func (c *consent) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "only show what would be changed, and what would be left alone and why")
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask for confirmation; needed where there is no terminal")
}

// need refuses if consent is not given and there is no terminal to ask on.
func (c *consent) need(a *app) error {
	if c.dryRun || c.yes || isTerminal(a.stdin) {
		return nil
	}
	return refused("there is no terminal to confirm on: pass --yes, or --dry-run for a look")
}

// ask asks a person, unless consent is given already.
func (c *consent) ask(a *app, question string) error {
	if c.yes {
		return nil
	}
	return a.confirm(question)
}

// withConsent makes a call. Unless consent is given it first makes a dry run, shows its
// result and asks. If the dry run changes nothing it does not ask, and returns that result.
func withConsent[T any](a *app, c *consent, call func(dryRun bool) (T, error), show func(preview T) (changes bool)) (T, error) {
	if c.dryRun || c.yes {
		return call(c.dryRun)
	}
	preview, err := call(true)
	if err != nil || !show(preview) {
		return preview, err
	}
	if err := c.ask(a, "Go on?"); err != nil {
		var none T
		return none, err
	}
	return call(false)
}

// confirm asks a person, and refuses if there is no terminal.
func (a *app) confirm(question string) error {
	if !isTerminal(a.stdin) {
		return refused("there is no terminal to confirm on: pass --yes")
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", visibleLines(question))
	var answer string
	err := a.read(func() error {
		answer, _ = bufio.NewReader(a.stdin).ReadString('\n')
		return nil
	})
	if !strings.HasSuffix(answer, "\n") {
		fmt.Fprintln(a.stderr)
	}
	if err != nil {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return refused("not confirmed")
	}
	return nil
}

func isTerminal(in io.Reader) bool {
	file, ok := in.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
