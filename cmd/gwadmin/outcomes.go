package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// A targetOutcome is what a verb has printed and said on a target, and how it ended.
type targetOutcome struct {
	Target   string    `json:"target"`
	Result   printable `json:"result,omitempty"`
	Error    string    `json:"error,omitempty"`
	ExitCode int       `json:"exit_code"`

	app  *app
	said []string
	err  error
}

// outcomes are those of all targets, in their order.
type outcomes []targetOutcome

// worst are the exit codes, the worst first.
var worst = []int{exitInterrupted, exitUnknown, exitError, exitConnect, exitUnsupported, exitRefused, exitDrifted, exitPending, exitSkipped}

// status is the worst exit code.
func (all outcomes) status() error {
	for _, code := range worst {
		if slices.ContainsFunc(all, func(o targetOutcome) bool { return o.ExitCode == code }) {
			return status(code)
		}
	}
	return nil
}

// failure is an error if there is no result of any target.
func (all outcomes) failure() error {
	if slices.ContainsFunc(all, func(o targetOutcome) bool { return o.Result != nil }) {
		return nil
	}
	code, _ := errors.AsType[*statusError](all.status())
	return &statusError{code.code, errors.New(strings.Join(all.notes(nil), "\n"))}
}

// notes are what was said of the targets, each line with the target's name.
func (all outcomes) notes(*app) (notes []string) {
	for _, o := range all {
		said := o.said
		if o.Error != "" {
			said = append(slices.Clone(said), o.Error)
		}
		for _, text := range said {
			notes = append(notes, o.Target+": "+strings.ReplaceAll(text, "\n", "\n"+o.Target+": "))
		}
	}
	if next := all.cursors(); next != "" {
		notes = append(notes, "there are more: go on with --cursor "+next)
	}
	return notes
}

func (all outcomes) lines() (lines []any) {
	for _, o := range all {
		if o.Result != nil {
			for _, line := range o.Result.lines() {
				lines = append(lines, targetLine{o.Target, line})
			}
		}
		if o.Error != "" {
			lines = append(lines, targetOutcome{Target: o.Target, Error: o.Error, ExitCode: o.ExitCode})
		}
	}
	return lines
}

// A targetLine is an object with the target's name as its first field.
type targetLine struct {
	target string
	line   any
}

// MarshalJSON implements [json.Marshaler].
func (l targetLine) MarshalJSON() ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(l.line); err != nil {
		return nil, err
	}
	text := `{"target":"` + l.target + `"` // which needs no escapes
	if fields := line.Bytes()[1:]; fields[0] != '}' {
		text += ","
	}
	return append([]byte(text), line.Bytes()[1:]...), nil
}

// tables is one table with a column for the target, if each target has one and these are
// alike.
func (all outcomes) tables(a *app) []table.Writer {
	var merged *cells
	for _, o := range all {
		if o.Result == nil {
			continue
		}
		if o.prints() != "" {
			return nil
		}
		tables := o.Result.tables(o.app)
		if len(tables) != 1 {
			return nil
		}
		one, ok := tables[0].(*cells)
		if !ok || merged != nil && !slices.Equal(merged.header[1:], one.header) {
			return nil
		}
		if merged == nil {
			merged = one.headedBy(a, "target")
		}
		for _, row := range one.rows {
			merged.AppendRow(append(table.Row{fixed(o.Target)}, row...))
		}
	}
	if merged == nil {
		return nil
	}
	return []table.Writer{merged}
}

// prints is the text of a result that prints itself, and has no tables.
func (o targetOutcome) prints() string {
	var text strings.Builder
	one := *o.app
	one.stdout = &text
	o.Result.tables(&one)
	return text.String()
}

// headedBy returns an empty table with a column more in front.
func (c *cells) headedBy(a *app, name string) *cells {
	t := a.table("", append([]any{name}, c.header...)...)
	t.cut = c.cut
	next := func(columns []int) (moved []int) {
		for _, i := range columns {
			moved = append(moved, i+1)
		}
		return moved
	}
	t.ifEmpty, t.ifNarrow = next(c.ifEmpty), next(c.ifNarrow)
	for _, config := range c.configs {
		config.Number++
		t.configs = append(t.configs, config)
	}
	return t
}

// sections are the tables of each target under its name, for those that are not alike.
func (all outcomes) sections() (text string, hidden []string) {
	var parts []string
	for _, o := range all {
		if o.Result == nil {
			continue
		}
		text, narrow := o.prints(), []string(nil)
		if text == "" {
			text, narrow = o.app.text(o.Result)
		}
		if text != "" {
			parts = append(parts, "== "+o.Target+"\n"+text)
		}
		hidden = append(hidden, narrow...)
	}
	slices.Sort(hidden)
	return strings.Join(parts, "\n"), slices.Compact(hidden)
}
