package ui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/shell"
)

// A snippet is what a page shows or does, as a command and as Go.
type snippet struct{ Command, Go string }

// command writes a command with the flags of the handler's target or schema.
func (h *Handler) command(verb string, flags []string, arguments ...string) string {
	if h.target != "" {
		flags = append(flags, "--target", h.target)
	} else {
		flags = append(flags, graphile.SchemaFlags(h.client.Schema())...)
	}
	return shell.Command(verb, flags, arguments...)
}

// expressible reports whether the command has flags for the filter: none takes an empty text.
func expressible(f admin.Filter) bool {
	return !slices.ContainsFunc([]*string{f.KeyPrefix, f.ErrorText, f.PayloadPath}, func(text *string) bool { return text != nil && *text == "" })
}

// filterFlags are the flags of the command that make the filter.
func filterFlags(f admin.Filter) (words []string) {
	flag := func(name, value string) { words = append(words, "--"+name, value) }
	list := func(name string, values []string) {
		for _, value := range values {
			flag(name, shell.Element(value))
		}
	}
	for ids := range slices.Chunk(f.IDs, 50) {
		texts := make([]string, len(ids))
		for i, id := range ids {
			texts[i] = strconv.FormatInt(id, 10)
		}
		flag("id", strings.Join(texts, ","))
	}
	for _, state := range f.States {
		flag("state", string(state))
	}
	list("task", f.TaskIdentifiers)
	list("queue", f.QueueNames)
	list("key", f.Keys)
	text := func(name string, value *string) {
		if value != nil {
			flag(name, *value)
		}
	}
	text("key-prefix", f.KeyPrefix)
	list("worker", f.WorkerIDs)
	list("flag", f.Flags)
	if f.OnHold != nil {
		words = append(words, "--on-hold="+strconv.FormatBool(*f.OnHold))
	}
	number := func(name string, value *int) {
		if value != nil {
			flag(name, strconv.Itoa(*value))
		}
	}
	number("priority-from", f.Priority.From)
	number("priority-to", f.Priority.To)
	number("attempts-from", f.Attempts.From)
	number("attempts-to", f.Attempts.To)
	text("error", f.ErrorText)
	if f.PayloadContains != nil {
		flag("payload-contains", string(f.PayloadContains))
	}
	text("payload-path", f.PayloadPath)
	times := func(name string, r admin.TimeRange) {
		if r.From != nil {
			flag(name+"-after", timeText(r.From))
		}
		if r.Before != nil {
			flag(name+"-before", timeText(r.Before))
		}
	}
	times("run", f.RunAt)
	times("created", f.CreatedAt)
	times("updated", f.UpdatedAt)
	times("locked", f.LockedAt)
	return words
}

// goFilter writes the filter as a Go literal.
func goFilter(f admin.Filter) string {
	var fields []string
	add := func(name, value string) { fields = append(fields, name+": "+value) }
	list := func(name string, values []string) {
		if values != nil {
			add(name, goStrings("string", values))
		}
	}
	if f.IDs != nil {
		add("IDs", goIDs(f.IDs))
	}
	if f.States != nil {
		names := make([]string, len(f.States))
		for i, state := range f.States {
			names[i] = "admin." + strings.ToUpper(string(state[:1])) + string(state[1:])
		}
		add("States", "[]admin.State{"+strings.Join(names, ", ")+"}")
	}
	list("TaskIdentifiers", f.TaskIdentifiers)
	list("QueueNames", f.QueueNames)
	list("Keys", f.Keys)
	text := func(name string, value *string) {
		if value != nil {
			add(name, "new("+strconv.Quote(*value)+")")
		}
	}
	text("KeyPrefix", f.KeyPrefix)
	list("WorkerIDs", f.WorkerIDs)
	list("Flags", f.Flags)
	if f.OnHold != nil {
		add("OnHold", fmt.Sprintf("new(%t)", *f.OnHold))
	}
	ints := func(name string, r admin.IntRange) {
		var bounds []string
		if r.From != nil {
			bounds = append(bounds, fmt.Sprintf("From: new(%d)", *r.From))
		}
		if r.To != nil {
			bounds = append(bounds, fmt.Sprintf("To: new(%d)", *r.To))
		}
		if bounds != nil {
			add(name, "admin.IntRange{"+strings.Join(bounds, ", ")+"}")
		}
	}
	ints("Priority", f.Priority)
	ints("Attempts", f.Attempts)
	times := func(name string, r admin.TimeRange) {
		var bounds []string
		if r.From != nil {
			bounds = append(bounds, "From: new("+goTime(*r.From)+")")
		}
		if r.Before != nil {
			bounds = append(bounds, "Before: new("+goTime(*r.Before)+")")
		}
		if bounds != nil {
			add(name, "admin.TimeRange{"+strings.Join(bounds, ", ")+"}")
		}
	}
	times("RunAt", f.RunAt)
	times("CreatedAt", f.CreatedAt)
	times("UpdatedAt", f.UpdatedAt)
	times("LockedAt", f.LockedAt)
	text("ErrorText", f.ErrorText)
	if f.PayloadContains != nil {
		add("PayloadContains", "json.RawMessage("+goText(string(f.PayloadContains))+")")
	}
	text("PayloadPath", f.PayloadPath)
	return "admin.Filter{" + strings.Join(fields, ", ") + "}"
}

func goStrings(typ string, values []string) string {
	quoted := make([]string, len(values))
	for i, value := range values {
		quoted[i] = strconv.Quote(value)
	}
	return "[]" + typ + "{" + strings.Join(quoted, ", ") + "}"
}

func goIDs(ids []int64) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.FormatInt(id, 10)
	}
	return "[]int64{" + strings.Join(texts, ", ") + "}"
}

// goText writes a string literal: a raw one if that is possible.
func goText(text string) string {
	if strconv.CanBackquote(text) {
		return "`" + text + "`"
	}
	return strconv.Quote(text)
}

func goTime(t time.Time) string {
	t = t.UTC()
	return fmt.Sprintf("time.Date(%d, %d, %d, %d, %d, %d, %d, time.UTC)", t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond())
}
