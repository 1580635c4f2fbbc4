package crontab

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/internal/upstream"
)

// FuzzParse reads a text as upstream's parser does, and the items that it accepts run when
// they say.
func FuzzParse(f *testing.F) {
	for _, text := range lines {
		f.Add(text, int64(1_700_000_000))
	}
	f.Add("0 0 29 2 * run", int64(4_107_542_400)) // 2100 is no leap year
	version := upstream.Versions[len(upstream.Versions)-1]
	d := upstream.Start(f, version, "postgres://127.0.0.1:1/none", "") // which it does not connect to
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		text = strings.ToValidUTF8(text, "?")
		items, err := Parse(text)
		var want []struct{ Error string }
		if err := d.Call(t.Context(), "parseCrontabs", []any{[]string{text}, []digest{}}, &want); err != nil {
			t.Fatal(err)
		}
		if (err != nil) != (want[0].Error != "") {
			t.Fatalf("%q: got %v, upstream says %q", text, err, want[0].Error)
		}
		after := time.Unix(seconds%(1<<33), 0)
		for _, item := range items {
			next := item.Next(after)
			if !next.IsZero() && (!next.After(after) || !item.Matches(next)) {
				t.Errorf("%q runs at %s after %s", text, next, after)
			}
			for i, minute := 0, after.Truncate(time.Minute).Add(time.Minute); i < 100; i, minute = i+1, minute.Add(time.Minute) {
				if item.Matches(minute) {
					if !next.Equal(minute) {
						t.Errorf("%q runs at %s after %s, and next says %s", text, minute, after, next)
					}
					break
				}
			}
			payload, err := item.JobPayload(after)
			var value struct {
				Cron struct{ TS time.Time } `json:"_cron"`
			}
			if err == nil {
				err = json.Unmarshal(payload, &value)
			}
			if err != nil || !value.Cron.TS.Equal(after) {
				t.Errorf("%q has the payload %s: %v", text, payload, err)
			}
		}
	})
}
