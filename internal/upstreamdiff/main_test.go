package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/internal/upstream"
)

func report(t *testing.T, from, to string) string {
	t.Helper()
	var out strings.Builder
	if err := run(t.Context(), &out, from, to); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestReport compares two releases whose differences are known.
func TestReport(t *testing.T) {
	t.Parallel()
	upstream.Ensure(t)
	forth, back := report(t, "0.17.3", "0.18.0"), report(t, "0.18.0", "0.17.3")
	for _, tc := range []struct{ change, forth, back string }{
		{"another Node.js", "~ node\n  - >=14.0.0\n  + >=22.18.0\n", "~ node\n  - >=22.18.0\n  + >=14.0.0\n"},
		{"a package that is not needed any more", "\n- tslib: ", "\n+ tslib: "},
		{"a new file", "--- /dev/null\n+++ sql/000020.sql\n", "--- sql/000020.sql\n+++ /dev/null\n"},
		{"a new row", "\n+ revision 20: not breaking\n", "\n- revision 20: not breaking\n"},
		{"two other bodies", "\n## Functions: 2\n\n--- graphile_worker.add_job(", "\n## Functions: 2\n\n--- graphile_worker.add_job("},
		{"a line of a body", "\n+    -- Ensure all the tasks exist (insert only missing", "\n-    -- Ensure all the tasks exist (insert only missing"},
		{"a line of a statement", "\n+  select distinct on (job_queue_id,", "\n-  select distinct on (job_queue_id,"},
	} {
		if !strings.Contains(forth, tc.forth) {
			t.Errorf("%s: there is no %q in\n%s", tc.change, tc.forth, forth)
		}
		if !strings.Contains(back, tc.back) {
			t.Errorf("%s, the other way round: there is no %q in\n%s", tc.change, tc.back, back)
		}
	}
	if same := report(t, "0.18.0", "0.18.0"); strings.Contains(same, "## ") {
		t.Errorf("a release differs from itself:\n%s", same)
	}
}

func TestExact(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "0.18", "../0.18.0", "0.18.0 || echo", "--version", "^0.18.0"} {
		if got, err := exact(t.Context(), name); err == nil {
			t.Errorf("%q is taken for %q", name, got)
		}
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip(err)
	}
	if got, err := exact(t.Context(), "latest"); err != nil || !version.MatchString(got) {
		t.Errorf("latest is %q (%v), want a version", got, err)
	}
}
