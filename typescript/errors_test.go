package typescript_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/typescript"
)

type (
	own     struct{}
	ownText struct{}
	stamped struct {
		time.Time
		Order int
	}
	embedded struct{ *Money }
	silent   string
	pointer  *pointer
	wrong    struct {
		Chan    chan int             `json:"chan"`
		List    []struct{ F func() } `json:"list"`
		Complex map[string]complex128
		Keys    map[float64]int
		Own     own
		Stamped *stamped
		Again   *wrong
	}
)

func (own) MarshalJSON() ([]byte, error)      { return nil, nil }
func (*ownText) MarshalText() ([]byte, error) { return nil, nil }
func (silent) TypeScript() string             { return " " }

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		tasks  []admin.DeclaredTask
		want   []string
	}{
		{"all that JSON cannot be, with the way there", []admin.DeclaredTask{admin.NewTask[wrong]("b", nil), admin.NewTask[func()]("a", nil)}, []string{
			`task "a": payload: Go type func() cannot be JSON`,
			`task "b": payload field chan: Go type chan int cannot be JSON`,
			`task "b": payload field list[].F: Go type func() cannot be JSON`,
			`task "b": payload field Complex[*]: Go type complex128 cannot be JSON`,
			`task "b": payload field Keys[*]: Go type float64 cannot be the key of JSON`,
			`task "b": payload field Own: Go type typescript_test.own has a MarshalJSON: give it a method TypeScript() string, or name it in Options.Types`,
			`task "b": payload field Stamped: Go type typescript_test.stamped has a MarshalJSON: give it a method TypeScript() string, or name it in Options.Types`,
		}},
		{"methods that encoding/json does not call", []admin.DeclaredTask{
			admin.NewTask[ByPointer]("a", nil), admin.NewTask[struct{ X ownText }]("b", nil), admin.NewTask[map[string]ByPointer]("c", nil),
			admin.NewTask[[2]big.Int]("d", nil), admin.NewTask[*struct{ X ownText }]("called", nil), admin.NewTask[[]big.Int]("called, too", nil),
		}, []string{
			`task "a": payload: MarshalJSON of Go type typescript_test.ByPointer is not called here: declare it on the value, or use a pointer`,
			`task "b": payload field X: MarshalText of Go type typescript_test.ownText is not called here: declare it on the value, or use a pointer`,
			`task "c": payload[*]: MarshalJSON of Go type typescript_test.ByPointer is not called here: declare it on the value, or use a pointer`,
			`task "d": payload[]: MarshalJSON of Go type big.Int is not called here: declare it on the value, or use a pointer`,
		}},
		{"the same struct, by value and by pointer", []admin.DeclaredTask{admin.NewTask[struct {
			Called *Page[ownText]
			Not    Pair[ownText, int]
			Slice  []Pair[ownText, int]
		}]("a", nil)}, []string{
			`task "a": payload field Not.A: MarshalText of Go type typescript_test.ownText is not called here: declare it on the value, or use a pointer`,
		}},
		{"nil", []admin.DeclaredTask{admin.NewTask[int]("a", nil), nil}, []string{"task 1 is nil"}},
		{"descriptions", []admin.DeclaredTask{admin.NewTask[silent]("a", nil), admin.NewTask[embedded]("b", nil), admin.NewTask[pointer]("c", nil)}, []string{
			`task "a": payload: TypeScript of Go type typescript_test.silent is empty`,
			`task "b": payload: TypeScript of Go type typescript_test.embedded panics where that is zero`,
			`task "c": payload: Go type typescript_test.pointer refers to itself by pointers: make it a struct`,
		}},
		{"declarations", []admin.DeclaredTask{
			admin.NewTask[int]("", nil), admin.NewTask[int]("b", nil), admin.NewTask[string]("b", nil), admin.NewTask[int]("c", &admin.TaskOptions{MaxAttempts: new(0)}),
		}, []string{
			`task "": invalid input: task_identifier is empty: no worker runs such a job`,
			`task "b" is declared twice`,
			`task "c": invalid input: max_attempts 0 is outside 1 to 32767`,
		}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			var written bytes.Buffer
			err := typescript.Write(&written, tc.tasks, nil)
			if diff := cmp.Diff(tc.want, strings.Split(fmt.Sprint(err), "\n")); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if written.Len() > 0 {
				t.Errorf("written:\n%s", &written)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	type receipt struct{ Order int }
	tasks := []admin.DeclaredTask{admin.NewTask[receipt]("send_receipt", nil), admin.NewTask[int]("count", nil)}
	name := filepath.Join(t.TempDir(), "payloads.d.ts")
	check := func(tasks []admin.DeclaredTask, want string) {
		t.Helper()
		err := typescript.Check(name, tasks, nil)
		if got := strings.ReplaceAll(fmt.Sprint(err), name, "FILE"); got != want || (err != nil) != errors.Is(err, typescript.ErrStale) {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	check(tasks, "generated TypeScript is stale: open FILE: no such file or directory")
	if err := typescript.Check(name, tasks, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not say that there is no file", err)
	}
	write := func() {
		t.Helper()
		if err := typescript.WriteFile(name, tasks, nil); err != nil {
			t.Fatal(err)
		}
	}
	write()
	check(tasks, "<nil>")
	check([]admin.DeclaredTask{tasks[1], tasks[0]}, "<nil>") // in any order
	check(tasks[:1], `generated TypeScript is stale: FILE:6 is "      count: number;", and should be "      send_receipt: {"`)

	fresh, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(strings.ReplaceAll(string(fresh), "\n", "\r\n"))
	check(tasks, "<nil>")
	put(string(fresh) + "export {};\n")
	check(tasks, `generated TypeScript is stale: FILE:15 is "export {};", and should be ""`)
	put("")
	check(tasks, `generated TypeScript is stale: FILE:1 is "", and should be "// Code generated by gwadmin from the tasks that Go declares. DO NOT EDIT."`)
	write()
	check(tasks, "<nil>")

	// What is fresh is not written again, and what cannot be written leaves the file.
	if err := os.Chmod(name, 0o444); err != nil {
		t.Fatal(err)
	}
	write()
	if err := typescript.WriteFile(name, []admin.DeclaredTask{admin.NewTask[chan int]("x", nil)}, nil); err == nil || errors.Is(err, typescript.ErrStale) {
		t.Errorf("a channel: %v", err)
	}
	check(tasks, "<nil>")
	if err := typescript.WriteFile(filepath.Join(name, "below"), tasks, nil); err == nil {
		t.Error("written below a file")
	}
}

func TestUnion(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		`"a" | "b\"\n<"`: typescript.Union("a", "b\"\n<"), `"eur"`: typescript.Union(EUR), "never": typescript.Union[string](),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Options win over methods, and are about pointers, too.
func TestOptions(t *testing.T) {
	t.Parallel()
	type payload struct {
		Currency Currency
		Money    *Money
		Own      *own `json:",omitempty"`
		Any      any
	}
	var got bytes.Buffer
	err := typescript.Write(&got, []admin.DeclaredTask{admin.NewTask[payload]("a", nil)}, &typescript.Options{Types: map[reflect.Type]string{
		reflect.TypeFor[Currency](): "string", reflect.TypeFor[*Money](): "number", reflect.TypeFor[own](): "A | B", reflect.TypeFor[any](): "object",
	}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `// Code generated by gwadmin from the tasks that Go declares. DO NOT EDIT.

declare global {
  namespace GraphileWorker {
    interface Tasks {
      a: {
        Currency: string;
        Money: number;
        Own?: A | B;
        Any: object;
      };
    }
  }
}

export {};
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// A test that does this, and t.Fatal with the error, tells in CI that somebody changed a declaration and
// not the committed file.
func ExampleCheck() {
	err := typescript.Check("testdata/not_there.d.ts", All, nil)
	fmt.Println(err)
	// Output:
	// generated TypeScript is stale: open testdata/not_there.d.ts: no such file or directory
}
