package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	referenceBegin = "<!-- The command reference: written by go test ./cmd/gwadmin -run Readme -update -->\n"
	referenceEnd   = "<!-- The end of the command reference -->\n"
)

// TestReadmeReference keeps the README's command reference what the help says.
func TestReadmeReference(t *testing.T) {
	const file = "../../README.md"
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(readme), referenceBegin)
	got, after, ended := strings.Cut(rest, referenceEnd)
	if !found || !ended {
		t.Fatalf("%s has no command reference", file)
	}
	var want strings.Builder
	writeReference(&want, rootCommand(&app{}))
	if *update {
		text := before + referenceBegin + want.String() + referenceEnd + after
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want.String(), got); diff != "" {
		t.Errorf("the command reference is stale, run with -update (-want +got):\n%s", diff)
	}
}

// writeReference writes a line for each verb and one for each of its flags.
func writeReference(w io.Writer, cmd *cobra.Command) {
	if cmd.HasParent() && !cmd.HasSubCommands() {
		fmt.Fprintf(w, "#### `%s`\n\n%s.\n\n", cmd.UseLine(), cmd.Short)
		flags := 0
		cmd.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
			if flag.Name != "help" {
				fmt.Fprintf(w, "- `--%s`: %s\n", flag.Name, flag.Usage)
				flags++
			}
		})
		if flags > 0 {
			fmt.Fprintln(w)
		}
	}
	for _, sub := range cmd.Commands() {
		writeReference(w, sub)
	}
}
