//go:build unix

package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// urlHandover is the variable with which the command tells itself where connection strings
// are: its process id, a colon, and the file descriptor of a pipe. The variable has none of
// them, because ps can show the environment, too.
const urlHandover = "GWADMIN_DATABASE_URL_HANDOVER"

// The flags with connection strings.
const (
	urlFlagName    = "database-url"
	targetFlagName = "target"
)

// hideURL removes --database-url and --target, which may have passwords, from the process
// list, which every user of the machine can read. It runs the command again without the
// flags, under the same process id. Strings that no pipe holds, of 16 KB or more, stay.
func hideURL() {
	args, hidden := withoutURLs(os.Args[1:])
	self, err := os.Executable()
	if len(hidden) == 0 || err != nil {
		return
	}
	from, err := handOver(hidden)
	if err != nil || os.Setenv(urlHandover, fmt.Sprintf("%d:%d", os.Getpid(), from)) != nil {
		return
	}
	_ = syscall.Exec(self, append(os.Args[:1:1], args...), os.Environ())
}

// handOver writes strings into a pipe, and returns the side to read them from, which the next
// program inherits.
func handOver(hidden url.Values) (from int, err error) {
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		return 0, err
	}
	defer syscall.Close(pipe[1])
	text := hidden.Encode()
	if err := syscall.SetNonblock(pipe[1], true); err != nil {
		return 0, err
	}
	if n, err := syscall.Write(pipe[1], []byte(text)); err != nil || n < len(text) {
		syscall.Close(pipe[0])
		return 0, fmt.Errorf("the pipe takes %d of %d bytes: %w", n, len(text), err)
	}
	return pipe[0], nil
}

// handedOver returns the last --database-url and each --target that hideURL has hidden, and
// unsets the variable. A variable for another process is ignored.
func handedOver() (databaseURL string, targets []string) {
	pid, from, _ := strings.Cut(os.Getenv(urlHandover), ":")
	_ = os.Unsetenv(urlHandover)
	fd, err := strconv.Atoi(from)
	if pid != strconv.Itoa(os.Getpid()) || err != nil || fd <= 2 {
		return "", nil
	}
	pipe := os.NewFile(uintptr(fd), "connection strings")
	defer pipe.Close()
	text, err := io.ReadAll(pipe)
	hidden, parseErr := url.ParseQuery(string(text))
	if err != nil || parseErr != nil || len(hidden) == 0 {
		return unreadable, nil // and not the database that the environment names
	}
	if urls := hidden[urlFlagName]; len(urls) > 0 {
		databaseURL = urls[len(urls)-1]
	}
	return databaseURL, hidden[targetFlagName]
}

// unreadable is a connection string that names no database.
const unreadable = "postgres://:unreadable"

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
