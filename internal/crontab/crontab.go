// Package crontab reads Graphile Worker's crontab format: the five time fields in UTC, a
// task, options such as ?id=nightly&fill=2h, and a payload in JSON5. A test compares it with
// Graphile Worker's own parser.
package crontab

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// An Item is a line of a crontab.
type Item struct {
	Line        int    // from 1
	Schedule    string // the time fields
	Task        string
	Identifier  string          // the option id, or else the task
	Payload     json.RawMessage // an object; nil: none
	Backfill    time.Duration   // the option fill
	MaxAttempts *int
	QueueName   *string
	JobKey      *string
	JobKeyMode  *string
	Priority    *int

	minutes, hours, dates, months, weekdays []int
}

const (
	space = "[\\s\\x0b\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]" // as in JavaScript
	field = "([0-9*/,-]+)" + space + "+"
	line  = `[^\n\r\x{2028}\x{2029}]`
)

var (
	ends    = regexp.MustCompile("^" + space + "+|" + space + "+$")
	parts   = regexp.MustCompile("^" + strings.Repeat(field, 5) + "(" + line + "*)$")
	command = regexp.MustCompile(`^([_a-zA-Z][_a-zA-Z0-9:/-]*)(?:` + space + `+\?([^` + space[1:len(space)-1] + `]+))?(?:` + space + `+(\{` + line + `*\}))?$`)

	number   = regexp.MustCompile(`^[0-9]+$`)
	span     = regexp.MustCompile(`^([0-9]+)-([0-9]+)$`)
	wildcard = regexp.MustCompile(`^\*(?:/([0-9]+))?$`)
	period   = regexp.MustCompile(`([0-9]+)([smhdw])`)
)

// The values that the options take.
var options = map[string]*regexp.Regexp{
	"id":         regexp.MustCompile(`^[_a-zA-Z][-_a-zA-Z0-9]*$`),
	"fill":       regexp.MustCompile(`^(?:[0-9]+[smhdw])+$`),
	"max":        number,
	"queue":      regexp.MustCompile(`^[-a-zA-Z0-9_:]+$`),
	"jobKey":     regexp.MustCompile("^" + line + "*$"),
	"jobKeyMode": regexp.MustCompile(`^(?:replace|preserve_run_at)$`),
	"priority":   regexp.MustCompile(`^-?[0-9]+$`),
}

var optionNames = []string{"id", "fill", "max", "queue", "jobKey", "jobKeyMode", "priority"}

// Parse reads a crontab. Two items may not have the same identifier.
func Parse(text string) ([]Item, error) {
	var items []Item
	lines := map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		line = ends.ReplaceAllString(line, "")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		item, err := ParseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		item.Line = i + 1
		if other := lines[item.Identifier]; other > 0 {
			return nil, fmt.Errorf("line %d: the identifier %s is that of line %d: give one of them another by ?id=", item.Line, item.Identifier, other)
		}
		lines[item.Identifier] = item.Line
		items = append(items, *item)
	}
	return items, nil
}

// IsLine reports whether a text begins with time fields.
func IsLine(text string) bool { return parts.MatchString(text) }

// ParseLine reads one line.
func ParseLine(line string) (*Item, error) {
	fields := parts.FindStringSubmatch(line)
	if fields == nil {
		return nil, errors.New("it does not have five time fields and a task")
	}
	item := &Item{Schedule: strings.Join(fields[1:6], " ")}
	for i, part := range []struct {
		name        string
		to          *[]int
		first, last int
	}{
		{"minutes", &item.minutes, 0, 59}, {"hours", &item.hours, 0, 23}, {"days of the month", &item.dates, 1, 31},
		{"months", &item.months, 1, 12}, {"days of the week", &item.weekdays, 0, 6},
	} {
		values, err := parseField(fields[i+1], part.first, part.last, i == 4)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		*part.to = values
	}
	rest := command.FindStringSubmatch(fields[6])
	if rest == nil {
		return nil, errors.New("after the time fields it does not have a task, ?options and {payload}")
	}
	item.Task, item.Identifier = rest[1], rest[1]
	if err := item.setOptions(rest[2]); err != nil {
		return nil, err
	}
	if rest[3] != "" {
		payload, err := fromJSON5(rest[3])
		if err != nil {
			return nil, fmt.Errorf("the payload is not JSON5: %w", err)
		}
		item.Payload = payload
	}
	return item, nil
}

// parseField returns the sorted values of a time field. Seven is a Sunday, too.
func parseField(text string, first, last int, week bool) (values []int, err error) {
	add := func(n int) error {
		if week && n == last+1 {
			n = first
		}
		if n < first || n > last {
			return fmt.Errorf("%d is outside %d to %d", n, first, last)
		}
		values = append(values, n)
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		if number.MatchString(part) {
			if err := add(atoi(part)); err != nil {
				return nil, err
			}
		} else if found := span.FindStringSubmatch(part); found != nil {
			from, to := atoi(found[1]), atoi(found[2])
			if to <= from {
				return nil, fmt.Errorf("the range %s does not go up", part)
			}
			for n := from; n <= to; n++ {
				if err := add(n); err != nil {
					return nil, err
				}
			}
		} else if found := wildcard.FindStringSubmatch(part); found != nil {
			step := 1
			if found[1] != "" {
				step = atoi(found[1])
			}
			if step < 1 {
				return nil, fmt.Errorf("%s has a step of zero", part)
			}
			for n := first; n <= last; n += step {
				values = append(values, n)
			}
		} else {
			return nil, fmt.Errorf("%q is no number, range or wildcard", part)
		}
	}
	slices.Sort(values)
	return slices.Compact(values), nil
}

// atoi returns a number without a sign, or one that is too large for anything.
func atoi(digits string) int {
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return 1 << 30
	}
	return int(n)
}

// setOptions reads the options, which are written as in the query of a URL.
func (item *Item) setOptions(query string) error {
	given := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if _, twice := given[name]; twice {
			return fmt.Errorf("the option %s is given twice", name)
		}
		given[name] = value
		allowed, known := options[name]
		switch {
		case !known:
			return fmt.Errorf("%q is no option: use one of %s", name, strings.Join(optionNames, ", "))
		case !allowed.MatchString(value):
			return fmt.Errorf("the option %s cannot be %q", name, value)
		}
	}
	text := func(name string) *string {
		if value, ok := given[name]; ok {
			return &value
		}
		return nil
	}
	whole := func(name string) *int {
		value, ok := given[name]
		if !ok {
			return nil
		}
		digits, negative := strings.CutPrefix(value, "-")
		n := atoi(digits)
		if negative {
			n = -n
		}
		return &n
	}
	if id := text("id"); id != nil {
		item.Identifier = *id
	}
	for _, part := range period.FindAllStringSubmatch(given["fill"], -1) {
		unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[part[2]]
		item.Backfill += time.Duration(atoi(part[1])) * unit
	}
	item.MaxAttempts, item.Priority = whole("max"), whole("priority")
	item.QueueName, item.JobKey, item.JobKeyMode = text("queue"), text("jobKey"), text("jobKeyMode")
	if item.JobKeyMode == nil && item.JobKey != nil && *item.JobKey != "" {
		item.JobKeyMode = new("replace")
	}
	return nil
}

// unescape decodes a part of a query, and leaves wrong escapes as they are.
func unescape(text string) string {
	text = strings.ReplaceAll(text, "+", " ")
	var decoded []byte
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if b, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				decoded = append(decoded, byte(b))
				i += 2
				continue
			}
		}
		decoded = append(decoded, text[i])
	}
	return strings.ToValidUTF8(string(decoded), string(utf8.RuneError))
}

// Matches reports whether the item runs in the minute of t.
func (item *Item) Matches(t time.Time) bool {
	t = t.UTC()
	return slices.Contains(item.hours, t.Hour()) && slices.Contains(item.minutes, t.Minute()) && item.onDay(t)
}

// onDay reports whether the item runs on the day of t. If the line names both days of the
// month and days of the week, one of them is enough.
func (item *Item) onDay(t time.Time) bool {
	date, weekday := slices.Contains(item.dates, t.Day()), slices.Contains(item.weekdays, int(t.Weekday()))
	if !slices.Contains(item.months, int(t.Month())) {
		return false
	}
	if len(item.dates) < 31 && len(item.weekdays) < 7 {
		return date || weekday
	}
	return date && weekday
}

// Next returns the first minute after t in which the item runs. It is zero if there is none,
// as for the 30th of February.
func (item *Item) Next(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Minute).Add(time.Minute)
	end := t.AddDate(9, 0, 0) // the 29th of February comes after at most eight years
	for t.Before(end) {
		switch {
		case !item.onDay(t):
			t = time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, time.UTC)
		case !slices.Contains(item.hours, t.Hour()):
			t = t.Truncate(time.Hour).Add(time.Hour)
		case !slices.Contains(item.minutes, t.Minute()):
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

// JobPayload is the payload of the job for the minute of t, as a worker adds it.
func (item *Item) JobPayload(t time.Time) (json.RawMessage, error) {
	payload := map[string]json.RawMessage{}
	if item.Payload != nil {
		if err := json.Unmarshal(item.Payload, &payload); err != nil {
			return nil, err
		}
	}
	cron, err := json.Marshal(map[string]any{"ts": t.UTC().Format("2006-01-02T15:04:05.000Z"), "backfilled": false})
	if err != nil {
		return nil, err
	}
	payload["_cron"] = cron
	return json.Marshal(payload)
}
