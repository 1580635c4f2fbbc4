package ui

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
)

var searchNow = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func TestParseSearch(t *testing.T) {
	t.Parallel()
	hour := searchNow.Add(-time.Hour)
	day := time.Date(2026, 11, 19, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]admin.Filter{
		"":       {},
		"  \t":   {},
		"42 7":   {IDs: []int64{42, 7}},
		"id:1,2": {IDs: []int64{1, 2}},
		"state:permafailed task:send_email error:\"timed out\"": {
			States: []admin.State{admin.Permafailed}, TaskIdentifiers: []string{"send_email"}, ErrorText: new("timed out"),
		},
		"task:a task:b queue:q worker:w flag:f": {TaskIdentifiers: []string{"a", "b"}, QueueNames: []string{"q"}, WorkerIDs: []string{"w"}, Flags: []string{"f"}},
		`key:order-* key:x key:"y*"`:            {KeyPrefix: new("order-"), Keys: []string{"x", "y*"}},
		"priority:5 attempts:3..":               {Priority: admin.IntRange{From: new(5), To: new(5)}, Attempts: admin.IntRange{From: new(3)}},
		"priority:..-2":                         {Priority: admin.IntRange{To: new(-2)}},
		"run:-1h..now created:2026-11-19..":     {RunAt: admin.TimeRange{From: &hour, Before: &searchNow}, CreatedAt: admin.TimeRange{From: &day}},
		`payload:{"a": {"b": [1, "x y"]}} 5`:    {PayloadContains: json.RawMessage(`{"a": {"b": [1, "x y"]}}`), IDs: []int64{5}},
		`path:"$.a ? (@ > 1)" error:""`:         {PayloadPath: new("$.a ? (@ > 1)"), ErrorText: new("")},
		`queue:"a \"b\" c"`:                     {QueueNames: []string{`a "b" c`}},
	} {
		got, err := parseSearch(text, searchNow)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("parseSearch(%q): %v (-want +got):\n%s", text, err, diff)
		}
	}
}

func TestParseSearchErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"timeout":          `"timeout" has no field: write task:timeout or error:timeout, for example`,
		"stat:ready":       `there is no field "stat": did you mean state?`,
		"colour:red":       `there is no field "colour": the fields are id, state, task, queue, key, worker, flag, hold, priority, attempts, run, created, updated, locked, error, payload, path`,
		"state:done":       `there is no state "done": the states are ` + join(admin.States),
		"task:":            `task has no value: write task:"" for the empty text`,
		`error:"timed out`: `the value of error has no closing quote: write error:"…", and \" for a quote in it`,
		"priority:high":    `"high" is not a number: write priority:5, priority:3.. or priority:3..5`,
		"priority:..":      `priority has no bound: write priority:5, priority:3.. or priority:3..5`,
		"run:yesterday..":  `"yesterday" is no time: write 2026-11-20, 2026-11-20T08:00:00Z, now, or -1h, -3d or +1h from now`,
		"run:now":          `run needs a range: write run:-1h.., run:..now or run:2026-11-20T08:00:00Z..2026-11-21T08:00:00Z`,
		"run:now..-1h":     `the range of run ends before it begins`,
		"error:a error:b":  `error is there twice: give it once`,
		"payload:{":        `the value of payload is not JSON: write payload:{"order":7}, for example`,
		"id:x":             `"x" is not the id of a job`,
		"key:a* key:b*":    `there are two beginnings of keys: give one`,
	} {
		if _, err := parseSearch(text, searchNow); err == nil || err.Error() != want {
			t.Errorf("parseSearch(%q): %v, want %s", text, err, want)
		}
	}
}

// A search that is written from a filter is read as the same filter.
func TestFormatSearch(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	texts := []string{"a", "send_email", "with space", `quo"te`, `back\slash`, "star*", "ümläut", "new\nline", "a:b", "x..y", "", "tab\t", "\u202e"}
	some := func() (list []string) {
		for range random.IntN(3) {
			list = append(list, texts[random.IntN(len(texts))])
		}
		return list
	}
	maybe := func() *string {
		if random.IntN(2) == 0 {
			return nil
		}
		return &texts[random.IntN(len(texts))]
	}
	times := func() (r admin.TimeRange) {
		if random.IntN(2) == 0 {
			r.From = new(searchNow.Add(-time.Duration(random.Int64N(1e15))))
		}
		if random.IntN(2) == 0 {
			r.Before = new(searchNow.Add(time.Duration(random.Int64N(1e15))))
		}
		return r
	}
	set := make(map[string]bool)
	defer func() {
		for i := range reflect.TypeFor[admin.Filter]().NumField() {
			if name := reflect.TypeFor[admin.Filter]().Field(i).Name; !set[name] {
				t.Errorf("the field %s of a filter is not tested", name)
			}
		}
	}()
	for range 5000 {
		filter := admin.Filter{
			TaskIdentifiers: some(), QueueNames: some(), Keys: some(), WorkerIDs: some(), Flags: some(),
			RunAt: times(), CreatedAt: times(), UpdatedAt: times(), LockedAt: times(), ErrorText: maybe(), PayloadPath: maybe(),
		}
		if random.IntN(2) == 0 {
			filter.States = []admin.State{admin.States[random.IntN(len(admin.States))]}
			filter.Priority = admin.IntRange{From: new(-3), To: new(4)}
			filter.Attempts = admin.IntRange{To: new(4)}
			filter.OnHold = new(random.IntN(2) == 0)
			filter.IDs = []int64{1, 1 << 60}
			filter.KeyPrefix = &[]string{"pre:fix", "", "a b", `"`, "x*", "*", "\\"}[random.IntN(7)]
			filter.PayloadContains = json.RawMessage([]string{`{"a b": 1}`, `["x"]`, `"text"`, `7`}[random.IntN(4)])
		}
		for i := range reflect.TypeFor[admin.Filter]().NumField() {
			if !reflect.ValueOf(filter).Field(i).IsZero() {
				set[reflect.TypeFor[admin.Filter]().Field(i).Name] = true
			}
		}
		text := formatSearch(filter)
		got, err := parseSearch(text, time.Time{})
		if diff := cmp.Diff(filter, got); err != nil || diff != "" {
			t.Fatalf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
}

func FuzzParseSearch(f *testing.F) {
	for _, text := range []string{`state:ready error:"a b"`, "42", `payload:{"a":[1]} key:x*`, "run:-1h..now", "priority:1..5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := parseSearch(text, searchNow)
		if err != nil {
			return
		}
		again, err := parseSearch(formatSearch(filter), searchNow)
		if diff := cmp.Diff(filter, again); err != nil || diff != "" {
			t.Errorf("%q becomes %q: %v\n%s", text, formatSearch(filter), err, diff)
		}
	})
}
