package spelling

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNear(t *testing.T) {
	t.Parallel()
	names := []string{"send_email", "send-mail", "SendSMS", "jobs", "list", "rm"}
	for name, want := range map[string][]string{
		"send_emial": {"send_email", "send-mail"}, // two letters swapped, or one more
		"sendEmail":  {"send_email", "send-mail"},
		"send sms":   {"SendSMS"},
		"jbos":       {"jobs"},
		"lst":        {"list"},
		"lits":       {"list"},
		"l":          nil,
		"mr":         nil, // half of it is wrong
		"":           nil,
		"frobnicate": nil,
	} {
		if diff := cmp.Diff(want, Near(name, names)); diff != "" {
			t.Errorf("%q: -want +got\n%s", name, diff)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "adc", 1}, {"abc", "ab", 1}, {"abc", "xabc", 1},
		{"abcd", "acbd", 1}, {"abcd", "badc", 2}, {"ca", "abc", 3}, {"kitten", "sitting", 3},
	} {
		if got := distance([]rune(tc.a), []rune(tc.b), 9); got != tc.want {
			t.Errorf("from %q to %q: %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if got := distance([]rune(tc.b), []rune(tc.a), 9); got != tc.want {
			t.Errorf("from %q to %q: %d, want %d", tc.b, tc.a, got, tc.want)
		}
	}
}
