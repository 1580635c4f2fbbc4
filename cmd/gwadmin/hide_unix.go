//go:build unix

package main

import (
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// urlHandover is the variable with which the command passes connection strings to itself, after
// its process id and a colon.
const urlHandover = "GWADMIN_DATABASE_URL_HANDOVER"

// The flags with connection strings.
const (
	urlFlagName    = "database-url"
	targetFlagName = "target"
)

// hideURL removes --database-url and --target, which may have passwords, from the process
// list, which every user of the machine can read. It runs the command again without the
// flags, under the same process id.
func hideURL() {
	args, hidden := withoutURLs(os.Args[1:])
	self, err := os.Executable()
	if len(hidden) == 0 || err != nil || os.Setenv(urlHandover, strconv.Itoa(os.Getpid())+":"+hidden.Encode()) != nil {
		return
	}
	_ = syscall.Exec(self, append(os.Args[:1:1], args...), os.Environ())
}

// handedOver returns the last --database-url and each --target that hideURL has hidden, and
// unsets the variable. Values for another process are ignored.
func handedOver() (databaseURL string, targets []string) {
	pid, text, _ := strings.Cut(os.Getenv(urlHandover), ":")
	_ = os.Unsetenv(urlHandover)
	hidden, err := url.ParseQuery(text)
	if pid != strconv.Itoa(os.Getpid()) || err != nil {
		return "", nil
	}
	if urls := hidden[urlFlagName]; len(urls) > 0 {
		databaseURL = urls[len(urls)-1]
	}
	return databaseURL, hidden[targetFlagName]
}

// withoutURLs removes the flags from the arguments and returns their values by name. If a
// value is empty it removes nothing, and the flag refuses it later.
func withoutURLs(args []string) (rest []string, hidden url.Values) {
	hidden = url.Values{}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(strings.TrimPrefix(args[i], "--"), "=")
		at := i
		isFlag := strings.HasPrefix(args[i], "--") && (name == urlFlagName || name == targetFlagName)
		if isFlag && !joined && i+1 < len(args) {
			at++
			value = args[at]
		} else if !joined {
			isFlag = false
		}
		if !isFlag || !isValueOf(name, args, at, joined) {
			rest = append(rest, args[i])
			continue
		}
		if value == "" {
			return args, nil
		}
		hidden.Add(name, value)
		i = at
	}
	return rest, hidden
}

// isValueOf reports whether the argument at that index is a value of the flag, rather than of
// another flag or an operand. It asks the verbs' own parser.
func isValueOf(name string, args []string, at int, joined bool) bool {
	const mark = "\x00"
	marked := slices.Clone(args)
	marked[at] = mark
	if joined {
		marked[at] = "--" + name + "=" + mark
	}
	root := rootCommand(&app{})
	var seen seenValues
	root.PersistentFlags().Lookup(name).Value = &seen
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
