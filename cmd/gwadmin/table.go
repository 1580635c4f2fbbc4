package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// A block is a cell whose text has several lines.
type block string

// A fixed is a cell whose text is never wrapped or cut.
type fixed string

// cells is a table that escapes control characters, and that wraps or cuts texts to fit the
// terminal.
type cells struct {
	table.Writer
	title   string
	header  []any
	rows    []table.Row
	configs []table.ColumnConfig
	width   int  // of the terminal; 0: do not fit
	cut     bool // cut texts instead of wrapping them
	// Numbers of columns, from 1. Those in ifEmpty are left out if no row has a value. Those
	// in ifNarrow are left out, the last one first, if there is no room.
	ifEmpty, ifNarrow []int
	hidden            []string // the names of the columns that there was no room for
}

// table makes an empty table.
func (a *app) table(title string, header ...any) *cells {
	t := &cells{Writer: table.NewWriter(), header: header}
	style := table.StyleDefault
	style.Format.Header = text.FormatDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight, style.Box.UnfinishedRow = "", "  ", "…"
	if width, tty := terminalWidth(a.stdout); tty {
		t.title = title
		if !a.wide {
			t.width = width
		}
		if os.Getenv("NO_COLOR") == "" {
			style.Title.Colors = text.Colors{text.Bold}
			style.Color.Header = text.Colors{text.FgHiBlue}
		}
	}
	if !a.noHeaders {
		t.AppendHeader(header)
	}
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	return t
}

func (c *cells) AppendRow(row table.Row, config ...table.RowConfig) {
	shown := make(table.Row, len(row))
	for i, cell := range row {
		switch cell := cell.(type) {
		case string:
			shown[i] = visible(cell)
		case block:
			shown[i] = visibleLines(string(cell))
		default:
			shown[i] = cell
		}
	}
	c.rows = append(c.rows, shown)
	c.Writer.AppendRow(shown, config...)
}

func (c *cells) AppendRows(rows []table.Row, config ...table.RowConfig) {
	for _, row := range rows {
		c.AppendRow(row, config...)
	}
}

// alignRight aligns columns, numbered from 1, to the right.
func (c *cells) alignRight(first, last int) {
	for i := first; i <= last; i++ {
		c.configs = append(c.configs, table.ColumnConfig{Number: i, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
}

func (c *cells) Render() string {
	c.fit()
	c.SetColumnConfigs(c.configs)
	if c.title != "" { // go-pretty would wrap it to the width of the table
		return c.Style().Title.Colors.Sprint(c.title) + "\n" + c.Writer.Render()
	}
	return c.Writer.Render()
}

const (
	gap          = 2  // between two columns
	shortText    = 14 // the least width of a text while a column can be left out instead
	shortestText = 6  // the least width of a text otherwise
)

// fit leaves out columns and narrows texts.
func (c *cells) fit() {
	configs := make([]table.ColumnConfig, len(c.header))
	for i := range configs {
		configs[i].Number = i + 1
	}
	for _, config := range c.configs {
		configs[config.Number-1] = config
	}
	c.configs = configs
	for _, i := range c.ifEmpty {
		configs[i-1].Hidden = !slices.ContainsFunc(c.rows, func(row table.Row) bool { return !isEmpty(row[i-1]) })
	}
	if c.width == 0 {
		return
	}
	widths, heads, texts := make([]int, len(configs)), make([]int, len(configs)), make([]bool, len(configs))
	for i, name := range c.header {
		heads[i] = text.LongestLineLen(fmt.Sprint(name))
		widths[i] = heads[i]
	}
	for _, row := range c.rows {
		for i, cell := range row {
			_, isText := cell.(string)
			texts[i] = texts[i] || isText
			widths[i] = max(widths[i], text.LongestLineLen(fmt.Sprint(cell)))
		}
	}
	// width is the width of a column if its texts are cut or wrapped at most.
	width := func(i, most int) int {
		if texts[i] {
			return max(heads[i], min(widths[i], most))
		}
		return widths[i]
	}
	total := func(most int) int {
		sum := -gap
		for i := range configs {
			if !configs[i].Hidden {
				sum += width(i, most) + gap
			}
		}
		return sum
	}
	for _, i := range slices.Backward(c.ifNarrow) {
		if !configs[i-1].Hidden && total(shortText) > c.width {
			configs[i-1].Hidden = true
			c.hidden = append(c.hidden, fmt.Sprint(c.header[i-1]))
		}
	}
	slices.Reverse(c.hidden)
	enforcer := wrapLines
	if c.cut {
		enforcer = func(cell string, width int) string { return text.Snip(cell, width, "…") }
	}
	most := c.width
	for most > shortestText && total(most) > c.width {
		most--
	}
	for i := range configs {
		if texts[i] {
			configs[i].WidthMax, configs[i].WidthMaxEnforcer = width(i, most), enforcer
		}
	}
	if total(most) > c.width {
		c.Style().Size.WidthMax = c.width
	}
}

// wrapLines wraps those lines of a text that are too long.
func wrapLines(cell string, width int) string {
	lines := strings.Split(cell, "\n")
	for i, line := range lines {
		if text.LongestLineLen(line) > width {
			lines[i] = text.WrapSoft(line, width)
		}
	}
	return strings.Join(lines, "\n")
}

// isEmpty reports whether a cell is empty or zero.
func isEmpty(cell any) bool {
	switch cell := cell.(type) {
	case nil:
		return true
	case int:
		return cell == 0
	case int64:
		return cell == 0
	}
	return fmt.Sprint(cell) == ""
}
