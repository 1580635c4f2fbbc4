package ui

import (
	"strings"
	"testing"
)

// A payload that is nested deeply is not indented: the blanks would be thousands of times as
// long.
func TestIndented(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	for payload, want := range map[string]string{`{"a":[1]}`: "{\n  \"a\": [\n    1\n  ]\n}", "no JSON": "no JSON", deep: deep} {
		if got := indented([]byte(payload)); got != want {
			t.Errorf("%.50s: %d bytes: %.200s", payload, len(got), got)
		}
	}
}
