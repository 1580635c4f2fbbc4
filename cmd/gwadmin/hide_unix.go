//go:build unix

package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// urlHandover is the variable with which the command passes a connection string to itself,
// after its process id and a colon.
const urlHandover = "GWADMIN_DATABASE_URL_HANDOVER"

// hideURL removes --database-url, which may have a password, from the process list, which
// every user of the machine can read. It runs the command again without the flag, under
// the same process id.
func hideURL() {
	args, url := withoutURL(os.Args[1:])
	self, err := os.Executable()
	if url == "" || err != nil || os.Setenv(urlHandover, strconv.Itoa(os.Getpid())+":"+url) != nil {
		return
	}
	_ = syscall.Exec(self, append(os.Args[:1:1], args...), os.Environ())
}

// handedOver returns the connection string that hideURL has hidden, and unsets the
// variable. A string for another process is ignored.
func handedOver() string {
	pid, url, _ := strings.Cut(os.Getenv(urlHandover), ":")
	_ = os.Unsetenv(urlHandover)
	if pid != strconv.Itoa(os.Getpid()) {
		return ""
	}
	return url
}

// withoutURL removes --database-url from the arguments and returns its last value. If a
// value is empty it removes nothing, and the flag refuses it later.
func withoutURL(args []string) (rest []string, url string) {
	const flag = "--database-url"
	for i := 0; i < len(args); i++ {
		value, joined := strings.CutPrefix(args[i], flag+"=")
		at := i
		if args[i] == flag && i+1 < len(args) {
			at++
			value = args[at]
		} else if !joined {
			rest = append(rest, args[i])
			continue
		}
		if !isURLFlag(args, at, joined) {
			rest = append(rest, args[i])
			continue
		}
		if value == "" {
			return args, ""
		}
		url, i = value, at
	}
	return rest, url
}

// isURLFlag reports whether the argument at that index is a value of --database-url, rather
// than of another flag or an operand. It asks the verbs' own parser.
func isURLFlag(args []string, at int, joined bool) bool {
	const mark = "\x00"
	marked := slices.Clone(args)
	marked[at] = mark
	if joined {
		marked[at] = "--database-url=" + mark
	}
	root := rootCommand(&app{})
	var seen seenValues
	root.PersistentFlags().Lookup("database-url").Value = &seen
	root.InitDefaultVersionFlag()
	cmd, rest, _ := root.Find(marked)
	cmd.InitDefaultHelpFlag()
	_ = cmd.ParseFlags(rest) // which stops at the first error
	return slices.Contains(seen, mark)
}

// seenValues are all values that a flag was set to.
type seenValues []string

func (s *seenValues) Type() string   { return "string" }
func (s *seenValues) String() string { return "" }

func (s *seenValues) Set(value string) error {
	*s = append(*s, value)
	return nil
}
