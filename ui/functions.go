package ui

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/admin"
)

// functions are the functions of the templates.
var functions = template.FuncMap{
	"age":       age,
	"ago":       ago,
	"when":      when,
	"runAt":     showRunAt,
	"number":    anyNumber,
	"plural":    plural,
	"deref":     deref,
	"search":    search,
	"named":     func(page, name string) string { return page + "?" + url.Values{"name": {name}}.Encode() },
	"reasons":   reasons,
	"states":    func() []admin.State { return admin.States },
	"firstLine": firstLine,
	"percent":   percent,
	"stale":     func(at *time.Time, now time.Time) bool { return at != nil && now.Sub(*at) > admin.StaleAfter },
	"took":      took,
	"dict":      dict,
	"cronTimes": cronTimes,
	"errorPart": errorPart, "errorSearch": errorSearch,
	"left": func(r *admin.ChangeResult) int64 { return r.Matched - r.Changed },
}

// A moment is a time for a template: relative, with the exact one at hand.
type moment struct {
	Machine, Exact, Relative string
}

func momentOf(at, now time.Time) moment {
	relative := age(now.Sub(at))
	if at.After(now) {
		relative = "in " + relative
	} else {
		relative += " ago"
	}
	at = at.UTC()
	return moment{at.Format(time.RFC3339Nano), at.Format("2006-01-02 15:04:05.999 UTC"), relative}
}

// ago is a moment of a time or of a pointer to one, which may be nil.
func ago(at any, now time.Time) *moment {
	switch at := at.(type) {
	case time.Time:
		return new(momentOf(at, now))
	case *time.Time:
		if at != nil {
			return new(momentOf(*at, now))
		}
	}
	return nil
}

func when(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") }

// showRunAt is a moment of a time to run at, which may be infinite.
func showRunAt(at admin.RunAt, now time.Time) moment {
	switch at.Infinity {
	case pgtype.Infinity:
		return moment{"", "infinity", "never"}
	case pgtype.NegativeInfinity:
		return moment{"", "-infinity", "always"}
	}
	return momentOf(at.Time, now)
}

// number writes a number with spaces between thousands that do not break.
func number[N int | int64](n N) string {
	digits := fmt.Sprint(n)
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, parts...), "\u202f")
}

func plural(n any, thing string) (string, error) {
	switch n := n.(type) {
	case int:
		return counted(int64(n), thing), nil
	case int64:
		return counted(n, thing), nil
	}
	return "", fmt.Errorf("plural of a %T", n)
}

func counted(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return number(n) + " " + thing + "s"
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// search is the address of the jobs for which the pairs of fields and values hold. Templates
// may give it pointers to strings.
func search(pairs ...string) string {
	var terms []string
	for i := 0; i+1 < len(pairs); i += 2 {
		terms = append(terms, pairs[i]+":"+quoteValue(pairs[i+1]))
	}
	return "jobs?" + url.Values{"q": {strings.Join(terms, " ")}}.Encode()
}

func firstLine(text string) string {
	line, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	const most = 160
	if runes := []rune(line); len(runes) > most {
		line, more = string(runes[:most]), true
	}
	if more {
		line += "…"
	}
	return line
}

// percent is a part of a whole, at least one if there is any.
func percent(part, whole int64) int64 {
	if part <= 0 || whole <= 0 {
		return 0
	}
	return max(1, 100*part/whole)
}

func took(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return age(d)
}

func dict(pairs ...any) (map[string]any, error) {
	values := make(map[string]any)
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("a name of dict is a %T", pairs[i])
		}
		values[name] = pairs[i+1]
	}
	return values, nil
}

func writeJSON(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(value)
}

// anyNumber writes a number of any type that the pages have.
func anyNumber(n any) (string, error) {
	switch n := n.(type) {
	case int:
		return number(n), nil
	case int64:
		return number(n), nil
	}
	return "", fmt.Errorf("number of a %T", n)
}
