package crontab

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/internal/upstream"
)

// lines are lines of every kind, right and wrong.
var lines = []string{
	"* * * * * run", "0 4 * * 1 send_weekly", "*/15 9-17 * * 1-5 poll:inbox/main", "0,30 */6 1,15 1-12/2 * run", "0 0 31 2 * never", "0 0 29 2 * leap",
	"59 23 31 12 7 sunday", "0 0 * * 0,7 sunday", "0 0 13 * 5 either", "*/7 * * * * seven", "*/90 * * * * hourly", "5-10,7,8-9 1 1 1 1 overlap",
	"60 * * * * run", "* 24 * * * run", "* * 0 * * run", "* * 32 * * run", "* * * 13 * run", "* * * 0 * run", "* * * * 8 run", "5-5 * * * * run", "9-3 * * * * run",
	"*/0 * * * * run", "*/ * * * * run", "1- * * * * run", ",1 * * * * run", "1,, * * * * run", "-1 * * * * run", "** * * * * run", "99999999999 * * * * run", "0-99999999999 * * * * run",
	"* * * * run", "* * * * *", "* * * * * ", "* * * * * 9run", "* * * * * run task", "a * * * * run", "@daily run", "mon * * * * run", "# comment", "", "   ", "\t#x",
	"  * * * * * run  ", "*\t*  * * *\trun", "* * * * * run\r", "\ufeff* * * * * run", "*\u00a0* * * * run", "* * * * * run\u2003?id=x",
	"* * * * * run ?id=nightly", "* * * * * run ?id=nightly&fill=1w2d3h4m5s&max=3&queue=q:1&jobKey=k&jobKeyMode=preserve_run_at&priority=-5",
	"* * * * * run ?", "* * * * * run ?id", "* * * * * run ?id=", "* * * * * run ?id=9", "* * * * * run ?id=a&id=b", "* * * * * run ?nope=1", "* * * * * run ?id=a%2Db", "* * * * * run ?id=a+b",
	"* * * * * run ?fill=", "* * * * * run ?fill=5", "* * * * * run ?fill=5x", "* * * * * run ?fill=0s", "* * * * * run ?max=0", "* * * * * run ?max=-1", "* * * * * run ?max=1.5",
	"* * * * * run ?queue=a b", "* * * * * run ?queue=%C3%A9", "* * * * * run ?jobKey=", "* * * * * run ?jobKey=a%20b+c%zz%e9", "* * * * * run ?jobKey=%0A", "* * * * * run ?jobKey=%F0%9F%91%A9=1",
	"* * * * * run ?jobKeyMode=replace", "* * * * * run ?jobKeyMode=unsafe_dedupe", "* * * * * run ?priority=", "* * * * * run ?priority=+1", "* * * * * run ?&&id=a&", "* * * * * run ?=1",
	"* * * * * run ?toString=1", "* * * * * run ?id=a {}", "* * * * * run {} ?id=a", "* * * * * run {}", "* * * * * run {a: 1}", "* * * * * run{}", "* * * * * run []", "* * * * * run {a: 1} x",
	`* * * * * run {"a": "b", 'c': 'd\'', e: [1, 2, ], f: {}, }`, `* * * * * run {a: +1, b: -.5, c: 5., d: 0x1F, e: 1e3, f: -0, g: 1E-7, h: 123456789012345678901234567890}`,
	`* * * * * run {a: Infinity, b: -Infinity, c: NaN, d: 1e999}`, `* * * * * run {a: true, b: false, c: null}`, `* * * * * run {a: 1, a: 2, b: 3}`, `* * * * * run {a: 01}`, `* * * * * run {a: 1.}`, `* * * * * run {a: .}`,
	`* * * * * run {a: 0x}`, `* * * * * run {a: 1e}`, `* * * * * run {a: --1}`, `* * * * * run {a: 1n}`, `* * * * * run {a: truex}`, `* * * * * run {a: undefined}`, `* * * * * run {a}`, `* * * * * run {a: }`, `* * * * * run {,}`,
	`* * * * * run {a: 1,, b: 2}`, `* * * * * run {a: [,]}`, `* * * * * run {a: [1 2]}`, `* * * * * run {a: "x}`, `* * * * * run {a: 'x\x41\u00e9\v\0\q\'\"'}`, `* * * * * run {a: '\01'}`, `* * * * * run {a: '\1'}`, `* * * * * run {a: '\xg1'}`, `* * * * * run {a: '\u12'}`,
	`* * * * * run {a: '\ud83d\ude00', b: '\ud83d', c: '😀'}`, `* * * * * run {$a_1é: 1, ünï: 2}`, `* * * * * run {1a: 1}`, `* * * * * run {a-b: 1}`, `* * * * * run {\u0061b: 1}`, `* * * * * run {\u0031b: 1}`, `* * * * * run {null: 1, true: 2}`,
	`* * * * * run {a: 1 /* b */, // c}`, `* * * * * run {/* x */ a: /* y */ 1 /* z */}`, `* * * * * run {a: 1 /* }`, `* * * * * run {a: {b: {c: [[[{}]]]}}}`, `* * * * * run {__proto__: {a: 1}, constructor: 2}`, "* * * * * run {\u00a0a\ufeff: 1}",
	"* * * * * run {a: 'tab\there'}", `* * * * * run {_cron: 1}`, "* * * * * run {}}", "* * * * * run {}{}", `* * * * * run {a: "😀"}`, "* * * * * run\n* * * * * run", "* * * * * run\n* * * * * run ?id=b", "* * * * * a\n\n# x\n* * * * * b", "* * * * * run\r\n1 * * * * walk",
}

// An item is what both parsers return.
type item struct {
	Task       string `json:"task"`
	Identifier string `json:"identifier"`
	Payload    string `json:"payload"`
	Options    struct {
		BackfillPeriod float64 `json:"backfillPeriod"`
		MaxAttempts    *int    `json:"maxAttempts"`
		QueueName      *string `json:"queueName"`
		Priority       *int    `json:"priority"`
		JobKey         *string `json:"jobKey"`
		JobKeyMode     *string `json:"jobKeyMode"`
	} `json:"options"`
	Matches []bool `json:"matches"`
}

// A digest is a minute.
type digest struct {
	Min   int `json:"min"`
	Hour  int `json:"hour"`
	Date  int `json:"date"`
	Month int `json:"month"`
	DOW   int `json:"dow"`
}

// Parse accepts and refuses what Graphile Worker's parser does, and returns the same items,
// which match the same minutes.
func TestParseAsUpstream(t *testing.T) {
	t.Parallel()
	texts := append([]string{}, lines...)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const alphabet = `*0123456789,-/ ?&=idfilmaxqueJobKyprst%{}[]:'"\+.xeE_$#` + "\t"
	for range 1500 { // lines with a few characters changed
		text := []byte(lines[random.IntN(len(lines))])
		for range 1 + random.IntN(3) {
			if len(text) > 0 {
				text[random.IntN(len(text))] = alphabet[random.IntN(len(alphabet))]
			}
		}
		texts = append(texts, strings.ToValidUTF8(string(text), "?"))
	}
	var minutes []time.Time
	var digests []digest
	for range 200 {
		minute := time.Date(2024+random.IntN(5), time.January, 1+random.IntN(366), random.IntN(24), random.IntN(60), 0, 0, time.UTC)
		minutes = append(minutes, minute)
		digests = append(digests, digest{minute.Minute(), minute.Hour(), minute.Day(), int(minute.Month()), int(minute.Weekday())})
	}
	type parsed struct {
		Items []item
		Error string
	}
	for _, version := range upstream.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			d := upstream.Start(t, version, "postgres://127.0.0.1:1/none", "") // which it does not connect to
			var want []parsed
			if err := d.Call(t.Context(), "parseCrontabs", []any{texts, digests}, &want); err != nil {
				t.Fatal(err)
			}
			accepted := 0
			for i, text := range texts {
				items, err := Parse(text)
				if version == "0.16.6" && err == nil && slices.ContainsFunc(items, func(item Item) bool { return strings.Contains(item.Task, "/") }) {
					continue // slashes are allowed since 0.17
				}
				if (err != nil) != (want[i].Error != "") {
					t.Errorf("%q: got %v, upstream says %q", text, err, want[i].Error)
					continue
				}
				got := []item(nil)
				for _, parsed := range items {
					accepted++
					one := item{Task: parsed.Task, Identifier: parsed.Identifier, Payload: string(parsed.Payload)}
					if parsed.Payload == nil {
						one.Payload = "null"
					}
					one.Options.BackfillPeriod = float64(parsed.Backfill.Milliseconds())
					one.Options.MaxAttempts, one.Options.Priority = parsed.MaxAttempts, parsed.Priority
					one.Options.QueueName, one.Options.JobKey, one.Options.JobKeyMode = parsed.QueueName, parsed.JobKey, parsed.JobKeyMode
					for _, minute := range minutes {
						one.Matches = append(one.Matches, parsed.Matches(minute))
					}
					got = append(got, one)
				}
				for _, parsed := range want[i].Items {
					if key := parsed.Options.JobKey; key != nil { // how many characters stand for wrong UTF-8
						*key = regexp.MustCompile("\ufffd+").ReplaceAllString(*key, "\ufffd")
					}
				}
				if len(want[i].Items) == 0 {
					want[i].Items = nil
				}
				if diff := cmp.Diff(want[i].Items, got, sameJSON); err == nil && diff != "" {
					t.Errorf("%q: -want +got\n%s", text, diff)
				}
			}
			if accepted < 100 {
				t.Errorf("only %d items were accepted", accepted)
			}
		})
	}
}

// sameJSON compares payloads as values.
var sameJSON = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Payload" }, cmp.Transformer("JSON", func(text string) any {
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return fmt.Sprint("not JSON: ", text)
	}
	return value
}))

// Next is the first minute that matches.
func TestNext(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ line, after, want string }{
		{"* * * * * run", "2024-02-28T23:59:59Z", "2024-02-29T00:00:00Z"},
		{"* * * * * run", "2024-02-28T23:59:00Z", "2024-02-29T00:00:00Z"},
		{"0 4 * * 1 run", "2024-02-28T12:00:00Z", "2024-03-04T04:00:00Z"},
		{"*/15 9-17 * * 1-5 run", "2024-03-01T17:45:00Z", "2024-03-04T09:00:00Z"},
		{"0 0 29 2 * run", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"0 0 29 2 * run", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"0 0 13 * 5 run", "2024-09-07T00:00:00Z", "2024-09-13T00:00:00Z"},
		{"0 0 13 * 5 run", "2024-09-13T00:00:00+02:00", "2024-09-13T00:00:00Z"},
		{"0 0 31 2 * run", "2024-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		item, err := ParseLine(tc.line)
		if err != nil {
			t.Fatal(err)
		}
		after, err := time.Parse(time.RFC3339, tc.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := item.Next(after).Format(time.RFC3339); got != tc.want {
			t.Errorf("%s after %s: got %s, want %s", tc.line, tc.after, got, tc.want)
		}
	}
}
