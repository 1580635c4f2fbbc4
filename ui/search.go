package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/spelling"
)

// A search is a filter as text: terms such as state:permafailed task:send_email
// error:"timed out". Several terms of one list field mean any of them. Different fields
// must all match.

// searchFields are the fields of a search, in the order in which they are written.
var searchFields = []string{
	"id", "state", "task", "queue", "key", "worker", "flag", "hold", "priority", "attempts",
	"run", "created", "updated", "locked", "error", "payload", "path",
}

// parseSearch reads a search. Times relative to now, such as -1h, count from now.
func parseSearch(text string, now time.Time) (admin.Filter, error) {
	var filter admin.Filter
	terms, err := searchTerms(text)
	if err != nil {
		return filter, err
	}
	seen := make(map[string]bool)
	for _, term := range terms {
		if err := setTerm(&filter, term, seen[term.field], now); err != nil {
			return admin.Filter{}, err
		}
		seen[term.field] = true
	}
	return filter, nil
}

// A term is a field and its value.
type term struct {
	field, value string
	quoted       bool
	prefix       bool // a star follows the value
}

// searchTerms splits a search into its terms.
func searchTerms(text string) ([]term, error) {
	var terms []term
	for {
		text = strings.TrimLeftFunc(text, unicode.IsSpace) // as Fields does below
		if text == "" {
			return terms, nil
		}
		end := strings.IndexAny(text, ": \t\r\n\"")
		if end < 0 || text[end] != ':' {
			word := strings.Fields(text)[0]
			if _, err := strconv.ParseInt(word, 10, 64); err == nil {
				terms = append(terms, term{field: "id", value: word})
				text = text[strings.Index(text, word)+len(word):]
				continue
			}
			return nil, fmt.Errorf("%q has no field: write task:%s or error:%s, for example", word, quoteValue(word), quoteValue(word))
		}
		t := term{field: text[:end]}
		if !slices.Contains(searchFields, t.field) {
			if near := spelling.Near(t.field, searchFields); len(near) > 0 {
				return nil, fmt.Errorf("there is no field %q: did you mean %s?", t.field, near[0])
			}
			return nil, fmt.Errorf("there is no field %q: the fields are %s", t.field, strings.Join(searchFields, ", "))
		}
		text = text[end+1:]
		var err error
		if t.value, t.quoted, text, err = searchValue(t.field, text); err != nil {
			return nil, err
		}
		if t.field == "key" {
			if t.quoted {
				text, t.prefix = strings.CutPrefix(text, "*")
			} else {
				t.value, t.prefix = strings.CutSuffix(t.value, "*")
			}
		}
		terms = append(terms, t)
	}
}

// searchValue reads a value from the beginning of the text, and returns what follows it.
func searchValue(field, text string) (value string, quoted bool, rest string, err error) {
	switch {
	case strings.HasPrefix(text, `"`):
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", false, "", fmt.Errorf(`the value of %s has no closing quote: write %s:"…", and \" for a quote in it`, field, field)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return "", false, "", fmt.Errorf("the value of %s is not a quoted text: %w", field, err)
		}
		return value, true, text[len(quoted):], nil
	case field == "payload" && strings.HasPrefix(text, "{") || field == "payload" && strings.HasPrefix(text, "["):
		decoder := json.NewDecoder(strings.NewReader(text))
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return "", false, "", errors.New(`the value of payload is not JSON: write payload:{"order":7}, for example`)
		}
		end := int(decoder.InputOffset())
		return text[:end], true, text[end:], nil
	}
	end := strings.IndexAny(text, " \t\r\n")
	if end < 0 {
		end = len(text)
	}
	return text[:end], false, text[end:], nil
}

// setTerm sets a term's field in the filter. Again says that the field was set before.
func setTerm(filter *admin.Filter, t term, again bool, now time.Time) error {
	if t.value == "" && !t.quoted && !t.prefix {
		return fmt.Errorf(`%s has no value: write %s:"" for the empty text`, t.field, t.field)
	}
	list := func(values *[]string) error {
		*values = append(*values, t.value)
		return nil
	}
	switch t.field {
	case "id":
		for text := range strings.SplitSeq(t.value, ",") {
			id, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return fmt.Errorf("%q is not the id of a job", text)
			}
			filter.IDs = append(filter.IDs, id)
		}
		return nil
	case "state":
		for text := range strings.SplitSeq(t.value, ",") {
			if !slices.Contains(admin.States, admin.State(text)) {
				return fmt.Errorf("there is no state %q: the states are %s", text, join(admin.States))
			}
			filter.States = append(filter.States, admin.State(text))
		}
		return nil
	case "task":
		return list(&filter.TaskIdentifiers)
	case "queue":
		return list(&filter.QueueNames)
	case "worker":
		return list(&filter.WorkerIDs)
	case "flag":
		return list(&filter.Flags)
	case "key":
		if !t.prefix {
			return list(&filter.Keys)
		}
		if filter.KeyPrefix != nil {
			return errors.New("there are two beginnings of keys: give one")
		}
		filter.KeyPrefix = &t.value
		return nil
	}
	if again {
		return fmt.Errorf("%s is there twice: give it once", t.field)
	}
	switch t.field {
	case "hold":
		if t.value != "yes" && t.value != "no" {
			return fmt.Errorf("%q is neither yes nor no: write hold:yes for jobs on hold", t.value)
		}
		filter.OnHold = new(t.value == "yes")
	case "priority":
		return setInts(&filter.Priority, t)
	case "attempts":
		return setInts(&filter.Attempts, t)
	case "run":
		return setTimes(&filter.RunAt, t, now)
	case "created":
		return setTimes(&filter.CreatedAt, t, now)
	case "updated":
		return setTimes(&filter.UpdatedAt, t, now)
	case "locked":
		return setTimes(&filter.LockedAt, t, now)
	case "error":
		filter.ErrorText = &t.value
	case "payload":
		if !json.Valid([]byte(t.value)) {
			return errors.New(`the value of payload is not JSON: write payload:{"order":7}, for example`)
		}
		filter.PayloadContains = json.RawMessage(t.value)
	case "path":
		filter.PayloadPath = &t.value
	}
	return nil
}

// setInts reads 5, 3.., ..5 or 3..5.
func setInts(r *admin.IntRange, t term) error {
	bound := func(text string) (*int, error) {
		if text == "" {
			return nil, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number: write %s:5, %s:3.. or %s:3..5", text, t.field, t.field, t.field)
		}
		return &n, nil
	}
	from, to, isRange := strings.Cut(t.value, "..")
	if !isRange {
		to = from
	}
	var err error
	if r.From, err = bound(from); err != nil {
		return err
	}
	if r.To, err = bound(to); err != nil {
		return err
	}
	if r.From == nil && r.To == nil {
		return fmt.Errorf("%s has no bound: write %s:5, %s:3.. or %s:3..5", t.field, t.field, t.field, t.field)
	}
	return nil
}

// setTimes reads two times with two dots between them, of which one may be missing.
func setTimes(r *admin.TimeRange, t term, now time.Time) error {
	from, before, isRange := strings.Cut(t.value, "..")
	if !isRange || from == "" && before == "" {
		return fmt.Errorf("%s needs a range: write %s:-1h.., %s:..now or %s:2026-11-20T08:00:00Z..2026-11-21T08:00:00Z", t.field, t.field, t.field, t.field)
	}
	var err error
	if r.From, err = searchTime(from, now); err != nil {
		return err
	}
	if r.Before, err = searchTime(before, now); err != nil {
		return err
	}
	if r.From != nil && r.Before != nil && !r.From.Before(*r.Before) {
		return fmt.Errorf("the range of %s ends before it begins", t.field)
	}
	return nil
}

func searchTime(text string, now time.Time) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	if text == "now" {
		return &now, nil
	}
	if text[0] == '-' || text[0] == '+' {
		if d, err := parseDuration(text[1:]); err == nil {
			if text[0] == '-' {
				d = -d
			}
			return new(now.Add(d)), nil
		}
	} else if at, err := time.Parse(time.RFC3339, text); err == nil {
		return &at, nil
	} else if day, err := time.Parse(time.DateOnly, text); err == nil {
		return &day, nil
	}
	return nil, fmt.Errorf("%q is no time: write 2026-11-20, 2026-11-20T08:00:00Z, now, or -1h, -3d or +1h from now", text)
}

// parseDuration reads a Go duration, or a number of days.
func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return 0, fmt.Errorf("%q is no number of days", text)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = fmt.Errorf("%q is negative", text)
	}
	return d, err
}

// formatSearch writes a filter as a search that [parseSearch] reads as the same filter.
func formatSearch(filter admin.Filter) string {
	var terms []string
	add := func(field, value string) { terms = append(terms, field+":"+value) }
	list := func(field string, values []string) {
		for _, value := range values {
			add(field, quoteValue(value))
		}
	}
	for _, id := range filter.IDs {
		add("id", strconv.FormatInt(id, 10))
	}
	for _, state := range filter.States {
		add("state", string(state))
	}
	list("task", filter.TaskIdentifiers)
	list("queue", filter.QueueNames)
	for _, key := range filter.Keys {
		if strings.HasSuffix(key, "*") {
			add("key", strconv.Quote(key))
		} else {
			add("key", quoteValue(key))
		}
	}
	if prefix := filter.KeyPrefix; prefix != nil {
		if strings.HasSuffix(*prefix, "*") || *prefix != "" && quoteValue(*prefix) != *prefix {
			add("key", strconv.Quote(*prefix)+"*")
		} else {
			add("key", *prefix+"*")
		}
	}
	list("worker", filter.WorkerIDs)
	list("flag", filter.Flags)
	if filter.OnHold != nil {
		add("hold", map[bool]string{true: "yes", false: "no"}[*filter.OnHold])
	}
	ints := func(field string, r admin.IntRange) {
		switch from, to := intText(r.From), intText(r.To); {
		case r.From == nil && r.To == nil:
		case from == to:
			add(field, from)
		default:
			add(field, from+".."+to)
		}
	}
	ints("priority", filter.Priority)
	ints("attempts", filter.Attempts)
	times := func(field string, r admin.TimeRange) {
		if r.From != nil || r.Before != nil {
			add(field, timeText(r.From)+".."+timeText(r.Before))
		}
	}
	times("run", filter.RunAt)
	times("created", filter.CreatedAt)
	times("updated", filter.UpdatedAt)
	times("locked", filter.LockedAt)
	if filter.ErrorText != nil {
		add("error", quoteValue(*filter.ErrorText))
	}
	if filter.PayloadContains != nil {
		if text := string(filter.PayloadContains); strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
			add("payload", text)
		} else {
			add("payload", quoteValue(text))
		}
	}
	if filter.PayloadPath != nil {
		add("path", quoteValue(*filter.PayloadPath))
	}
	return strings.Join(terms, " ")
}

func intText(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

func timeText(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}

// quoteValue quotes a value that would not be read as it is.
func quoteValue(value string) string {
	if value == "" || strings.ContainsAny(value, " \t\r\n\"\\") || strings.ContainsFunc(value, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(value)
	}
	return value
}

func join[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return strings.Join(texts, ", ")
}
