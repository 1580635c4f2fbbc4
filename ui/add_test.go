package ui

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
)

// The form for a job like another has its payload, but its address has not. What is redacted is
// not copied.
func TestDuplicate(t *testing.T) {
	t.Parallel()
	open := newSite(t, Options{})
	hidden := newSite(t, Options{Redact: func(_ string, _ Field, _ string) string { return `{"hidden": true}` }})
	address, payload := regexp.MustCompile(`href="(add\?[^"]*)"`), regexp.MustCompile(`(?s)<textarea name="payload"[^>]*>(.*?)</textarea>`)
	for _, s := range []*site{open, hidden} {
		s.addJobs(t, admin.JobSpec{TaskIdentifier: "charge", Payload: map[string]string{"card": "4111"}})
		link := address.FindStringSubmatch(s.page(t, "/jobs/1"))
		if link == nil || strings.Contains(link[1], "4111") || strings.Contains(link[1], "hidden") {
			t.Fatalf("the form's address is %q", link)
		}
		form := s.page(t, "/"+html.UnescapeString(link[1]))
		contains(t, form, `value="charge"`)
		got := html.UnescapeString(payload.FindStringSubmatch(form)[1])
		want := "{\n  \"card\": \"4111\"\n}"
		if s == hidden {
			want = ""
			contains(t, form, "is redacted on this page, and is not copied", "required data-json")
		}
		if got != want {
			t.Errorf("the payload is %q, want %q", got, want)
		}
	}
}
