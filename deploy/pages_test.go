package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that a page names exists, in the package that it is said to be in.
func TestNamedTests(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+|Fuzz\w+)\(`)
	err := filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		text, err := os.ReadFile(file)
		for _, match := range function.FindAllStringSubmatch(string(text), -1) {
			tests[match[1]] = true
			tests[filepath.Base(filepath.Dir(file))+"."+match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:\\w+\\.)?(?:Test|Fuzz)[A-Z]\\w+)`")
	for _, page := range []string{"../docs/deploying.md", "../docs/reliability.md"} {
		found := named.FindAllStringSubmatch(read(t, page), -1)
		for _, match := range found {
			if !tests[match[1]] {
				t.Errorf("%s names %s, which does not exist", page, match[1])
			}
		}
		if len(found) == 0 {
			t.Errorf("%s names no tests", page)
		}
	}
}
