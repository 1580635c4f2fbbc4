package ui

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// unzip returns the text of an answer that is compressed.
func unzip(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	zip, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What has a text is compressed for who accepts it, but not where another site asks, whose
// part of the page its length could compare with the rest.
func TestCompressed(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	for _, tc := range []struct {
		path   string
		header []string
		want   bool
	}{
		{"/jobs", []string{"Accept-Encoding", "br, gzip"}, true},
		{"/jobs", []string{"Accept-Encoding", "deflate, GZIP;q=0.5"}, true},
		{"/jobs", []string{"Accept-Encoding", "gzip", "Sec-Fetch-Site", "same-origin"}, true},
		{"/jobs", []string{"Accept-Encoding", "gzip", "Sec-Fetch-Site", "none"}, true},
		{"/static/style.css", []string{"Accept-Encoding", "gzip"}, true},
		{"/nowhere", []string{"Accept-Encoding", "gzip"}, true},
		{"/jobs", nil, false},
		{"/jobs", []string{"Accept-Encoding", "gzip;q=0"}, false},
		{"/jobs", []string{"Accept-Encoding", "gzip;q=0.0, identity"}, false},
		{"/jobs", []string{"Accept-Encoding", "br"}, false},
		{"/jobs", []string{"Accept-Encoding", "gzip", "Sec-Fetch-Site", "cross-site"}, false},
		{"/jobs", []string{"Accept-Encoding", "gzip", "Sec-Fetch-Site", "same-site"}, false},
		{"/static/style.css", []string{"Accept-Encoding", "gzip", "Range", "bytes=0-9"}, false},
	} {
		plain := serve(s.Handler, "GET", tc.path, nil).Body.String()
		w := serve(s.Handler, "GET", tc.path, nil, tc.header...)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != tc.want {
			t.Errorf("%s with %v: compressed %t", tc.path, tc.header, got)
		}
		if !strings.Contains(w.Header().Get("Vary"), "Accept-Encoding") {
			t.Errorf("%s: Vary %q", tc.path, w.Header().Get("Vary"))
		}
		if tc.want {
			if got := unzip(t, w); len(got) != len(plain) || w.Header().Get("Content-Length") != "" {
				t.Errorf("%s: %d bytes unpacked, %d are served as they are", tc.path, len(got), len(plain))
			}
		}
	}
	head := serve(s.Handler, "HEAD", "/jobs", nil, "Accept-Encoding", "gzip")
	redirected := serve(s.Handler, "POST", "/add", map[string][]string{"task": {"a"}}, "Accept-Encoding", "gzip")
	for name, w := range map[string]*httptest.ResponseRecorder{"HEAD": head, "redirect": redirected} {
		if w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s is compressed", name)
		}
	}
	if redirected.Code != http.StatusSeeOther {
		t.Errorf("the redirect: %d", redirected.Code)
	}
}
