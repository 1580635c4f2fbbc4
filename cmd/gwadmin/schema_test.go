package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/schema"
)

// TestSchemaSQL needs no database.
func TestSchemaSQL(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"graphile_worker", weird} {
		want, err := schema.SQL(name)
		if err != nil {
			t.Fatal(err)
		}
		check(t, name, result{Stdout: want}, gwadmin(t, nil, "", "schema", "--schema", name))
		inJSON := gwadmin(t, nil, "", "schema", "--schema", name, "-o", "json")
		check(t, name+" in JSON", map[string]string{"sql": want}, parse[map[string]string](t, inJSON))

		file := filepath.Join(t.TempDir(), "schema.sql")
		for _, content := range []string{want, strings.ReplaceAll(want, "\n", "\r\n")} {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			check(t, name+" is current", result{Stderr: file + " is current\n"},
				gwadmin(t, nil, "", "schema", "--schema", name, "--check", file))
		}
	}
}

func TestSchemaSQLCheck(t *testing.T) {
	t.Parallel()
	ddl, err := schema.SQL("")
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Replace(ddl, "  revision integer default 0 not null,\n", "", 1)
	if old == ddl {
		t.Fatal("the copy is not old")
	}
	var paper strings.Builder
	for _, tc := range []struct {
		reason string
		code   int
		stdin  string
		args   []string
	}{
		{"current", exitOK, ddl, []string{"--check", "-"}},
		{"", exitOK, ddl, []string{"--check", "-", "-o", "json"}},
		{"a column is missing", exitDrifted, old, []string{"--check", "-"}},
		{"", exitDrifted, old, []string{"--check", "-", "-o", "ndjson"}},
		{"of another schema", exitDrifted, ddl, []string{"--check", "-", "--schema", "jobs"}},
		{"empty", exitDrifted, "", []string{"--check", "-"}},
		{"wrong usage", exitUsage, "", []string{"--check", ""}},
		{"", exitUsage, "", []string{"--check"}},
		{"", exitUsage, "", []string{"schema.sql"}},
		{"", exitUsage, "", []string{"--schema", "pg_jobs"}},
	} {
		got := gwadmin(t, nil, tc.stdin, append([]string{"schema"}, tc.args...)...)
		checkCode(t, tc.code, got)
		if json.Valid([]byte(got.Stdout)) {
			check(t, tc.reason, tc.code == exitOK, parse[checkedCopy](t, got).Current)
		}
		if tc.reason != "" {
			paper.WriteString("## " + tc.reason + "\n\n")
		}
		paper.WriteString("$ gwadmin schema " + quoted(tc.args) + "\n" + got.transcript())
	}
	golden(t, "schema.txt", paper.String())

	got := gwadmin(t, nil, "", "schema", "--check", "missing.sql")
	checkCode(t, exitError, got)
	if got.Stdout != "" || !strings.HasPrefix(got.Stderr, "gwadmin: read the copy: open missing.sql: ") {
		t.Errorf("a missing file: %s", got.transcript())
	}
}
