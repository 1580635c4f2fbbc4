//go:build unix

package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// urlHandover is how the command hands a connection string to itself, behind its
// process id, which stays the same.
const urlHandover = "GWADMIN_DATABASE_URL_HANDOVER"

// hideURL takes a connection string that may hold a password out of the process
// list, where every user of the machine could read it: the command runs itself
// again without the flag, under the same process id.
func hideURL() {
	args, url := withoutURL(os.Args[1:])
	self, err := os.Executable()
	if url == "" || err != nil || os.Setenv(urlHandover, strconv.Itoa(os.Getpid())+":"+url) != nil {
		return
	}
	_ = syscall.Exec(self, append(os.Args[:1:1], args...), os.Environ())
}

// handedOver returns what hideURL has hidden, once: neither what another process
// was handed counts, nor do children inherit it.
func handedOver() string {
	pid, url, _ := strings.Cut(os.Getenv(urlHandover), ":")
	_ = os.Unsetenv(urlHandover)
	if pid != strconv.Itoa(os.Getpid()) {
		return ""
	}
	return url
}

// withoutURL takes --database-url out of the arguments, and returns its last value:
// none where one is empty, for the flag to refuse.
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

// isURLFlag says whether the argument at that place holds the flag's value, and not
// another flag's or an operand. The verbs' own parser tells.
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
	_ = cmd.ParseFlags(rest) // up to what is wrong
	return slices.Contains(seen, mark)
}

// seenValues are all that a flag was set to.
type seenValues []string

func (s *seenValues) Type() string   { return "string" }
func (s *seenValues) String() string { return "" }

func (s *seenValues) Set(value string) error {
	*s = append(*s, value)
	return nil
}
