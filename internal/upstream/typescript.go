package upstream

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Compilers are the releases of TypeScript at hand, oldest first: the one that
// graphile-worker is written in, and the newest.
var Compilers = []string{"5.9.3", "7.0.2"}

// Compile has a release of TypeScript check files, by their names, with
// graphile-worker's types in reach as "graphile-worker", and returns the lines that
// the compiler prints: none where nothing is wrong. It calls [Ensure], and so may skip
// the test.
func Compile(tb testing.TB, compiler, version string, files map[string]string) []string {
	tb.Helper()
	Ensure(tb)
	packages, err := packages(tb.Context(), Versions[0])
	if err != nil {
		tb.Fatal(err)
	}
	modules := filepath.Join(packages, "node_modules")
	dir := tb.TempDir()
	config, err := json.Marshal(map[string]any{
		"include": []string{"*.ts"},
		"compilerOptions": map[string]any{
			"strict": true, "noEmit": true, "module": "nodenext", "target": "es2023",
			"types": []string{"node"}, "typeRoots": []string{filepath.Join(modules, "@types")},
			"paths": map[string][]string{"graphile-worker": {filepath.Join(modules, packageName(version), "dist", "index.d.ts")}},
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	written := map[string]string{"tsconfig.json": string(config), "package.json": `{"type": "module"}`}
	for name, text := range files {
		written[name] = text
	}
	for name, text := range written {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	tsc := exec.CommandContext(tb.Context(), "node", filepath.Join(modules, "typescript-"+compiler, "bin", "tsc"), "--pretty", "false")
	tsc.Dir = dir
	printed, err := tsc.CombinedOutput()
	if err == nil && len(printed) == 0 {
		return nil
	}
	if _, exited := errors.AsType[*exec.ExitError](err); !exited || !strings.Contains(string(printed), "error TS") {
		tb.Fatalf("run tsc: %v\n%s", err, printed)
	}
	return strings.Split(strings.TrimSpace(string(printed)), "\n")
}
