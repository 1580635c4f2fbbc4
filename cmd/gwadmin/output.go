package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/term"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/jsontext"
)

// A format is the value of --output.
type format string

const (
	formatTable  format = "table"
	formatJSON   format = "json"
	formatNDJSON format = "ndjson"
)

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "format" }

func (f *format) names() []string {
	return []string{string(formatTable), string(formatJSON), string(formatNDJSON)}
}

func (f *format) Set(value string) error {
	if !slices.Contains(f.names(), value) {
		return fmt.Errorf("must be %s, %s or %s", formatTable, formatJSON, formatNDJSON)
	}
	*f = format(value)
	return nil
}

// printable is what a verb prints. With --output json it is encoded as it is.
type printable interface {
	// lines are the values of --output ndjson.
	lines() []any
	// tables are those of --output table. Empty ones are not printed.
	tables(a *app) []table.Writer
}

// print writes data in the format of --output.
func (a *app) print(data printable) error {
	if a.outcome != nil {
		a.outcome.Result = data
		return nil
	}
	return tooDeep(a.printIn(a.format, data))
}

// tooDeep says what to do about a payload that encoding/json does not write.
func tooDeep(err error) error {
	if jsontext.TooDeep(err) {
		return errors.New("a payload is nested more than 10 000 levels deep: jobs export writes it, and so does -o table")
	}
	return err
}

func (a *app) printIn(format format, data printable) error {
	switch format {
	case formatJSON:
		if data, ok := data.(interface{ writeJSON(io.Writer) error }); ok {
			return data.writeJSON(a.stdout)
		}
		var text bytes.Buffer
		if err := encodeIndented(&text, "", data); err != nil {
			return err
		}
		_, err := a.stdout.Write(append(text.Bytes(), '\n'))
		return err
	case formatNDJSON:
		return a.printLines(data.lines())
	}
	text, hidden := a.text(data)
	_, err := io.WriteString(a.stdout, text)
	if len(hidden) > 0 {
		a.say("no room for %s: --wide shows them", strings.Join(hidden, ", "))
	}
	return err
}

// text is the tables of data, and the names of the columns that there was no room for.
func (a *app) text(data printable) (text string, hidden []string) {
	shown := data.tables(a)
	if all, ok := data.(outcomes); ok && shown == nil {
		return all.sections()
	}
	var tables []string
	for _, t := range shown {
		if t.Length() == 0 {
			continue
		}
		tables = append(tables, t.Render()+"\n")
		if t, ok := t.(*cells); ok {
			hidden = append(hidden, t.hidden...)
		}
	}
	return strings.Join(tables, "\n"), hidden
}

func (a *app) printLines(lines []any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	for _, line := range lines {
		if err := encoder.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// terminalWidth returns the width of w, if it is a terminal.
func terminalWidth(w io.Writer) (int, bool) {
	if out, ok := w.(*sink); ok {
		w = out.Writer
	}
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width < 40 {
		width = 80
	}
	return width, true
}

// say writes a message to standard error.
func (a *app) say(format string, args ...any) {
	text := visibleLines(strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
	if a.outcome != nil {
		a.outcome.said = append(a.outcome.said, text)
		return
	}
	fmt.Fprintln(a.stderr, text)
}

// moment formats a time with its zone: in local time on a terminal, in UTC elsewhere. Nil
// is empty.
func (a *app) moment(t *time.Time) fixed { return a.formatTime(t, "2006-01-02 15:04:05") }

// shortMoment is like moment, but in a table that must fit a terminal it leaves out the
// seconds and, if it is this year, the year.
func (a *app) shortMoment(t *time.Time) fixed {
	switch _, tty := terminalWidth(a.stdout); {
	case t == nil || !tty || a.wide:
		return a.moment(t)
	case t.Local().Year() == time.Now().Year():
		return a.formatTime(t, "01-02 15:04")
	}
	return a.formatTime(t, "2006-01-02 15:04")
}

func (a *app) formatTime(t *time.Time, layout string) fixed {
	if t == nil {
		return ""
	}
	zone := time.UTC
	if _, tty := terminalWidth(a.stdout); tty {
		zone = time.Local
	}
	return fixed(strings.TrimSuffix(t.In(zone).Format(layout+"Z07:00"), ":00"))
}

// runAt formats the time from which a job may run, by moment or shortMoment.
func runAt(at admin.RunAt, moment func(*time.Time) fixed) fixed {
	if at.Infinity != pgtype.Finite {
		return fixed(at.String())
	}
	return moment(&at.Time)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
