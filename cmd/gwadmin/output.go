package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/gwadmin/gwadmin/admin"
)

// A format is how data is printed. It is the value of --output.
type format string

const (
	formatTable  format = "table"
	formatJSON   format = "json"
	formatNDJSON format = "ndjson"
)

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "format" }

func (f *format) Set(value string) error {
	switch format(value) {
	case formatTable, formatJSON, formatNDJSON:
		*f = format(value)
		return nil
	}
	return fmt.Errorf("must be %s, %s or %s", formatTable, formatJSON, formatNDJSON)
}

// printable is what a verb prints: as it is with --output json.
type printable interface {
	// lines are the values of --output ndjson.
	lines() []any
	// tables are for people; empty ones are not printed.
	tables(a *app) []table.Writer
}

// print writes data in the format asked for.
func (a *app) print(data printable) error {
	switch a.format {
	case formatJSON:
		encoder := json.NewEncoder(a.stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(data)
	case formatNDJSON:
		return a.printLines(data.lines())
	}
	text := a.text(data)
	if text == "" {
		return nil
	}
	_, err := io.WriteString(a.stdout, text)
	return err
}

// text is data as tables, with a line between them.
func (a *app) text(data printable) string {
	var tables []string
	for _, t := range data.tables(a) {
		if t.Length() > 0 {
			tables = append(tables, t.Render()+"\n")
		}
	}
	return strings.Join(tables, "\n")
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

// table makes an empty table: framed and cut to the terminal's width on one, and
// plain columns elsewhere.
func (a *app) table(title string, header ...any) table.Writer {
	t := cells{table.NewWriter()}
	t.AppendHeader(header)
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	width, tty := terminalWidth(a.stdout)
	if tty {
		t.SetTitle("%s", title)
		style.Size.WidthMax = width
		if os.Getenv("NO_COLOR") == "" {
			style.Title.Colors = text.Colors{text.Bold}
			style.Color.Header = text.Colors{text.FgHiBlue}
		}
	} else {
		style.Options = table.OptionsNoBordersAndSeparators
		style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	}
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	return t
}

// terminalWidth returns the width of the terminal that w is, if it is one.
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

// say writes talk for people, to standard error.
func (a *app) say(format string, args ...any) {
	fmt.Fprintln(a.stderr, visibleLines(strings.TrimRight(fmt.Sprintf(format, args...), "\n")))
}

func when(at admin.RunAt) string {
	if at.Time.IsZero() {
		return at.String()
	}
	return moment(&at.Time)
}

func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
