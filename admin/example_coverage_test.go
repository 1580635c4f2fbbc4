package admin_test

import (
	"context"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
)

// TestEveryCallHasAnExample requires an example with a checked output for every exported
// function of the package and for every exported method of Client.
func TestEveryCallHasAnExample(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	pkg, err := doc.NewFromFiles(fset, files, "github.com/gwadmin/gwadmin/admin")
	if err != nil {
		t.Fatal(err)
	}
	calls := pkg.Funcs
	for _, typ := range pkg.Types {
		calls = append(calls, typ.Funcs...)
		if typ.Name == "Client" {
			calls = append(calls, typ.Methods...)
		}
	}
	for _, call := range calls {
		if !slices.ContainsFunc(call.Examples, func(e *doc.Example) bool { return e.Output != "" }) {
			t.Errorf("%s has no example with an output", call.Name)
		}
	}
	if len(calls) < 30 {
		t.Errorf("found only %d exported calls", len(calls))
	}
}

// The table of docs/library.md has every call.
func TestEveryCallIsInTheTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/library.md")
	if err != nil {
		t.Fatal(err)
	}
	for method := range reflect.TypeFor[*admin.Client]().Methods() {
		if method.Type.NumIn() > 1 && method.Type.In(1) == reflect.TypeFor[context.Context]() && !strings.Contains(string(text), "`"+method.Name+"`") {
			t.Errorf("%s is not in docs/library.md", method.Name)
		}
	}
}
