package main

import (
	"strings"
	"testing"
)

// The README has the lines to try as they are printed.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme := read(t, "README.md")
	for line := range strings.Lines(try("http://127.0.0.1:8080")) {
		if line, is := strings.CutPrefix(line, "  "); is && !strings.Contains(readme, "\n"+line) {
			t.Errorf("README.md does not have: %s", line)
		}
	}
}
