package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// need skips a test for which a program is missing. With CI set it fails.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// built is the worker, with its packages.
var built = sync.OnceValue(func() error { return buildWorker(context.Background(), "worker", os.Stderr) })

func needWorker(t *testing.T) {
	t.Helper()
	need(t, "node", "npm")
	if err := built(); err != nil {
		t.Fatal(err)
	}
}

// A worker that reads what Go does not write does not compile, nor one without a task
// that Go declares.
func TestWorkerTypes(t *testing.T) {
	t.Parallel()
	needWorker(t)
	modules, err := filepath.Abs("worker/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file, old, new string
		want                 string
	}{
		{"as it is", "main.ts", "", "", ""},
		{"another field", "charge_order.ts", "amount.cents", "amount.total",
			"src/charge_order.ts(8,50): error TS2339: Property 'total' does not exist on type 'Amount'."},
		{"a task less", "main.ts", "  send_receipt: sendReceipt,\n", "",
			"src/main.ts(8,7): error TS2741: Property 'send_receipt' is missing in type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(dir+"/src", os.DirFS("worker/src")); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"package.json", "tsconfig.json"} {
				write(t, dir+"/"+name, read(t, "worker/"+name))
			}
			if err := os.Symlink(modules, dir+"/node_modules"); err != nil {
				t.Fatal(err)
			}
			file := dir + "/src/" + c.file
			write(t, file, strings.Replace(read(t, file), c.old, c.new, 1))
			tsc := exec.Command("node", "node_modules/typescript/bin/tsc", "--noEmit", "--pretty", "false")
			tsc.Dir = dir
			out, err := tsc.CombinedOutput()
			if (err == nil) != (c.want == "") || !strings.HasPrefix(string(out), c.want) {
				t.Errorf("want %q, got: %v\n%s", c.want, err, out)
			}
		})
	}
}
