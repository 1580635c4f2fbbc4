// Package typescript writes the TypeScript that Graphile Workers compile against, from
// the tasks that Go declares: a file that tells graphile-worker's Task<"identifier">,
// addJob and quickAddJob what each task's payload is.
//
//	declare global {
//	  namespace GraphileWorker {
//	    interface Tasks {
//	      send_receipt: {
//	        order: number;
//	      };
//	    }
//	  }
//	}
//
// A program of your own calls [WriteFile]. Commit the file, and call [Check] in a test or
// in CI. The file's name ends in .d.ts, and tsconfig.json includes it.
//
// # How Go types are written
//
// The types are those of what encoding/json writes: its tags and its rules for embedded
// structs hold. In particular:
//
//   - A field with omitempty or omitzero is optional where the option can leave it out,
//     and so are the fields of an embedded pointer to a struct. A field without is
//     there, and null where its pointer, map or slice may be nil.
//   - Integers and floats are numbers. JavaScript reads integers beyond 2^53 inexactly,
//     which a comment says of int64 and uint64 fields: the tag's option "string" keeps
//     every digit, and makes them strings.
//   - [time.Time] is a string in RFC 3339, [time.Duration] its nanoseconds, []byte a
//     string in base64, a type with MarshalText a string, [json.Number] and [big.Int]
//     numbers; [json.RawMessage] and interfaces are unknown.
//   - Maps are objects whose keys are strings, or numbers for integers. Arrays of up to
//     eight elements are tuples.
//   - Below the payload itself a struct with a name becomes an exported interface of that
//     name, with the package's name in front where two packages have it.
//
// A type with its own MarshalJSON needs a method that returns what it writes, or an entry
// in [Options]:
//
//	func (Money) TypeScript() string { return "{ amount: string; currency: string }" }
//
// The method also narrows any other type but a struct that embeds such a type:
//
//	func (Currency) TypeScript() string { return typescript.Union(EUR, USD) } // "eur" | "usd"
//
// A type that JSON cannot represent, such as a channel, is an error. A MarshalJSON or
// MarshalText with a pointer receiver is an error where encoding/json does not call it: in
// a payload that is not a pointer, and in the values of maps.
package typescript

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/gwadmin/gwadmin/admin"
)

// Options say what the Go types alone do not. Nil is none.
type Options struct {
	// Types are what is written for types that cannot have a method TypeScript, such
	// as those of other modules. They win over everything else.
	Types map[reflect.Type]string
}

// ErrStale says that a file is not what [WriteFile] would write.
var ErrStale = errors.New("generated TypeScript is stale")

// Write writes the TypeScript of the tasks. It is the same whatever their order. The
// error has everything that cannot be written, and then nothing is.
func Write(w io.Writer, tasks []admin.DeclaredTask, options *Options) error {
	text, err := generate(tasks, options)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// WriteFile writes the TypeScript of the tasks to the named file, unless that is as it
// should be. It makes no directory.
func WriteFile(name string, tasks []admin.DeclaredTask, options *Options) error {
	err := Check(name, tasks, options)
	if err == nil || !errors.Is(err, ErrStale) {
		return err
	}
	text, err := generate(tasks, options)
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}

// Check makes sure that the named file is what [WriteFile] would write, and says where
// it first differs. The error matches [ErrStale], also where there is no such file. The
// ends of lines may be those of Windows.
func Check(name string, tasks []admin.DeclaredTask, options *Options) error {
	want, err := generate(tasks, options)
	if err != nil {
		return err
	}
	got, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrStale, err)
	}
	if err != nil {
		return err
	}
	got = bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))
	if bytes.Equal(got, want) {
		return nil
	}
	wantLines, gotLines := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	n := 0
	for n < len(wantLines) && n < len(gotLines) && wantLines[n] == gotLines[n] {
		n++
	}
	return fmt.Errorf("%w: %s:%d is %s, and should be %s", ErrStale, name, n+1, line(gotLines, n), line(wantLines, n))
}

func line(lines []string, n int) string {
	if n >= len(lines) {
		return "beyond the end"
	}
	return fmt.Sprintf("%q", lines[n])
}

// Union returns the TypeScript for one of these texts, such as "eur" | "usd".
func Union[S ~string](values ...S) string {
	if len(values) == 0 {
		return "never"
	}
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = quote(string(value))
	}
	return strings.Join(texts, " | ")
}

// quote returns a string literal.
func quote(text string) string {
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string can always be
	return strings.TrimSuffix(quoted.String(), "\n")
}
