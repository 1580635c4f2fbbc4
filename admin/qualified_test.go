package admin_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every query calls PostgreSQL's functions by their schema. Else somebody who may create
// functions in a schema of the search_path could have the caller run his: PostgreSQL
// prefers a function that fits the types of the arguments better, in whatever schema.
func TestQueriesQualifyFunctions(t *testing.T) {
	t.Parallel()
	// Words of the grammar, and templates of sqlc.
	words := strings.Fields("narg coalesce cast grouping array extract operator least greatest values in as any all exists filter over")
	comment, text := regexp.MustCompile(`--.*|\{\{- /\*[^}]*\*/ -\}\}`), regexp.MustCompile(`'[^']*'`)
	call := regexp.MustCompile(`([\w.]+)\(`)
	files, err := filepath.Glob("../queries/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		sql, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range call.FindAllStringSubmatch(text.ReplaceAllString(comment.ReplaceAllString(string(sql), ""), "''"), -1) {
			name := found[1]
			if !strings.HasPrefix(name, "pg_catalog.") && !strings.HasPrefix(name, "graphile_worker.") && name != "sqlc.narg" && !slices.Contains(words, name) {
				t.Errorf("%s: %s() is not qualified: write pg_catalog.%s()", filepath.Base(file), name, name)
			}
		}
	}
}
