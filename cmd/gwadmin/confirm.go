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

// consent is what every verb that changes something asks for.
type consent struct {
	dryRun bool
	yes    bool
}

func (c *consent) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "only show what would be changed, and what would be left alone and why")
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask for confirmation; needed where there is no terminal")
}

// need makes sure, before anything is done, that consent is given or can be asked for.
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

// confirm asks a person, and refuses where there is none.
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
