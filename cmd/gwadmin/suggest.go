package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gwadmin/gwadmin/internal/spelling"
)

// near returns at most three names that are spelled like the text, or begin with it.
func near(typed string, names []string) []string {
	found := spelling.Near(typed, names)
	for _, name := range slices.Sorted(slices.Values(names)) {
		if typed != "" && strings.HasPrefix(strings.ToLower(name), strings.ToLower(typed)) && !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	return found[:min(len(found), 3)]
}

// didYouMean is what to append to an error about an unknown name. It may be empty.
func didYouMean(typed string, names []string) string {
	found := near(typed, names)
	if len(found) == 0 {
		return ""
	}
	return ": did you mean " + strings.Join(found, " or ") + "?"
}

// verbOnly refuses an unknown verb.
func verbOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), didYouMean(args[0], names))
}

// takes accepts between least and most arguments; -1 is any number. Its error names them,
// from the verb's usage.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) >= least && (most < 0 || len(args) <= most):
			return nil
		case most == 0 && cmd.HasAvailableSubCommands():
			return verbOnly(cmd, args)
		case most == 0:
			return fmt.Errorf("%s takes no arguments, and got %q", verbOf(cmd), args[0])
		}
		_, names, _ := strings.Cut(cmd.Use, " ")
		return fmt.Errorf("%s takes %s, and got %s", verbOf(cmd), names, plural(len(args), "argument"))
	}
}

// flagError adds similar flags to the error of an unknown one, and words the errors of values
// that are no number, no truth value or no list.
func flagError(cmd *cobra.Command, err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		problem := ""
		switch {
		case errors.As(err, new(*csv.ParseError)):
			problem = `commas separate values: write one with a comma as '"a,b"', and one with a quote as '"a""b"'`
		case !errors.As(err, new(*strconv.NumError)):
			return err
		case invalid.GetFlag().Value.Type() == "bool":
			problem = "it must be true or false"
		default:
			problem = "it is no whole number of 64 bits"
		}
		return fmt.Errorf("invalid argument %q for \"--%s\" flag: %s", invalid.GetValue(), invalid.GetFlag().Name, problem)
	}
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names = append(names, "--"+flag.Name)
		}
	})
	return fmt.Errorf("%w%s", err, didYouMean("--"+unknown.GetSpecifiedName(), names))
}

// verbOf is a verb's path below the command, such as "jobs list".
func verbOf(cmd *cobra.Command) string { return strings.TrimPrefix(cmd.CommandPath(), "gwadmin ") }
