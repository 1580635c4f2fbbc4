package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/jsontext"
)

// read runs fn, which reads standard input. Ctrl-C does not wait for it.
func (a *app) read(fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-a.interrupted:
		return errInterrupted
	}
}

// readIDs reads job ids from arguments. "-" reads them from standard input, one a line.
func (a *app) readIDs(args []string) ([]int64, error) {
	var ids []int64
	for _, arg := range args {
		if arg == "-" {
			piped, err := a.readLines()
			if err != nil {
				return nil, err
			}
			ids = append(ids, piped...)
			continue
		}
		id, err := parseID(arg)
		if err != nil {
			return nil, usage(err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// readLines reads job ids from standard input.
func (a *app) readLines() ([]int64, error) {
	var ids []int64
	err := a.read(func() error {
		lines := bufio.NewScanner(a.stdin)
		for n := 1; lines.Scan(); n++ {
			line := strings.TrimSpace(lines.Text())
			if line == "" {
				continue
			}
			id, err := parseID(line)
			if err != nil {
				return usage(fmt.Errorf("standard input, line %d: %w", n, err))
			}
			ids = append(ids, id)
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

func parseID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s is no job id: it is outside 64 bits", text)
	case err != nil:
		return 0, fmt.Errorf("%q is no job id: it is not a whole number", text)
	case id < 1:
		return 0, fmt.Errorf("%d is no job id: they start at 1", id)
	}
	return id, nil
}

const runAtUsage = `when: RFC 3339 or a day, "now", "+90s", "+5m", "+2h", "+3d" from now, or "infinity"`

// runAtFlag is the value of --run-at. Times from now are by the database's clock.
func runAtFlag(value **admin.RunAt) pflag.Value {
	return optional[admin.RunAt]{"time", value, func(text string) (admin.RunAt, error) {
		if text == "now" {
			return *admin.In(0), nil
		}
		if relative, ok := strings.CutPrefix(text, "+"); ok {
			d, err := parseDuration(relative)
			if err != nil && !errors.Is(err, errDays) {
				err = errors.New("write +90s, +5m, +2h or +3d")
			}
			if err != nil {
				return admin.RunAt{}, fmt.Errorf("%q is no time from now: %w", text, err)
			}
			return *admin.In(d), nil
		}
		at, err := parseTime(text)
		if err != nil {
			err = fmt.Errorf("%q is no time: write it as %s, as now, +5m or infinity", text, exampleTime())
		}
		return at, err
	}}
}

// parseTime reads RFC 3339, a time as tables print it, a day, which begins in UTC, or
// infinity.
func parseTime(text string) (at admin.RunAt, err error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return *admin.At(day), nil
	}
	text = strings.Replace(text, " ", "T", 1)
	if shortZone.MatchString(text) {
		text += ":00"
	}
	err = at.UnmarshalText([]byte(text))
	return at, err
}

// shortZone is the end of a time on a terminal.
var shortZone = regexp.MustCompile(`T.*[+-]\d\d$`)

// exampleTime shows how to write a time.
func exampleTime() string { return time.Now().UTC().Format(time.RFC3339) }

// errDays is the error of parseDuration for too many days.
var errDays = errors.New("it is more than 65535 days")

// parseDuration reads a Go duration, or whole days such as "3d".
func parseDuration(value string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(value, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		switch {
		case err == nil:
			return time.Duration(n) * 24 * time.Hour, nil
		case errors.Is(err, strconv.ErrRange):
			return 0, errDays
		}
	}
	d, err := time.ParseDuration(value)
	if err == nil && d < 0 {
		err = errors.New("it is negative")
	}
	return d, err
}

// idsFlag is a list of job ids, separated by commas.
type idsFlag []int64

func (f *idsFlag) Type() string   { return "ids" }
func (f *idsFlag) String() string { return "" }

func (f *idsFlag) Set(value string) error {
	for text := range strings.SplitSeq(value, ",") {
		id, err := parseID(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		*f = append(*f, id)
	}
	return nil
}

// An optional is a flag whose value is nil if it is not given.
type optional[T any] struct {
	kind  string
	value **T
	parse func(string) (T, error)
}

func (f optional[T]) Type() string { return f.kind }

func (f optional[T]) String() string {
	if f.value == nil || *f.value == nil {
		return ""
	}
	return fmt.Sprint(**f.value)
}

func (f optional[T]) Set(text string) error {
	value, err := f.parse(text)
	if err == nil {
		*f.value = &value
	}
	return err
}

func optionalInt(value **int) pflag.Value {
	return optional[int]{"int", value, func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil {
			err = errors.New("it is not a whole number")
		}
		return n, err
	}}
}

func optionalText(value **string) pflag.Value {
	return optional[string]{"string", value, func(text string) (string, error) { return text, nil }}
}

// searchedText is a text to look for, and not the empty text, which is part of every text.
func searchedText(value **string) pflag.Value { return filled{optionalText(value), "any"} }

// A filled is a flag that refuses the empty text: it usually comes from an unset variable.
type filled struct {
	pflag.Value
	without string // what it means if it is left out
}

func (f filled) Set(text string) error {
	if text == "" {
		return errors.New("is empty: leave it out for " + f.without)
	}
	return f.Value.Set(text)
}

// connectionString is the value of --database-url. It refuses the empty string: from an
// unset variable it would lead to the database that the environment names.
type connectionString string

func (s *connectionString) Type() string   { return "string" }
func (s *connectionString) String() string { return string(*s) }

func (s *connectionString) Set(value string) error {
	if value == "" {
		return errors.New("it is empty: leave it out to use the environment's")
	}
	*s = connectionString(value)
	return nil
}

// targetFlag is the value of --target. Its String is empty, so that nothing shows a password.
type targetFlag []string

func (f *targetFlag) Type() string   { return "target" }
func (f *targetFlag) String() string { return "" }

func (f *targetFlag) Set(value string) error {
	*f = append(*f, value)
	return nil
}

// readPayload reads a payload from the argument, or from standard input if the argument is
// "-" or missing. It returns nil if there is no payload.
func (a *app) readPayload(args []string) (any, error) {
	var text []byte
	switch {
	case len(args) == 0 && !isPiped(a.stdin):
		return nil, nil
	case len(args) == 0 || args[0] == "-":
		hint := time.AfterFunc(time.Second, func() {
			a.say("reading the payload from standard input; an argument {} adds a job without it")
		})
		defer hint.Stop()
		err := a.read(func() (err error) {
			if text, err = io.ReadAll(a.stdin); err != nil {
				return fmt.Errorf("read the payload from standard input: %w", err)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(args) == 0 && len(bytes.TrimSpace(text)) == 0 {
			return nil, nil
		}
	default:
		text = []byte(args[0])
	}
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		problem := "the payload is not JSON"
		if jsontext.TooDeep(err) {
			problem = "the payload is nested more than 10 000 levels deep"
		}
		return nil, usage(errors.New(problem))
	}
	return json.RawMessage(text), nil
}

// isPiped reports whether the input is a pipe, a socket or a file, rather than a terminal
// or another device.
func isPiped(in io.Reader) bool {
	file, ok := in.(*os.File)
	if !ok {
		return in != nil
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&(os.ModeDevice|os.ModeCharDevice) == 0
}
