package admin

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/jsontext"
)

// faults collects the faults of the input of a call.
type faults struct {
	index *int // the index of the current job of a batch
	found []Fault
}

// add adds a fault. Texts among the arguments are cut: somebody may have given a megabyte.
func (f *faults) add(field, problem string, args ...any) {
	for i, arg := range args {
		if text := reflect.ValueOf(arg); text.Kind() == reflect.String {
			args[i] = graphile.Short(text.String())
		}
	}
	f.found = append(f.found, Fault{Index: f.index, Field: field, Problem: fmt.Sprintf(problem, args...)})
}

// err returns an [*InvalidError] with the faults, or nil if there are none.
func (f *faults) err(call string) error {
	if len(f.found) == 0 {
		return nil
	}
	return &InvalidError{Call: call, Faults: f.found}
}

// text refuses a text that PostgreSQL cannot store or that has more characters than most.
func (f *faults) text(field, value string, most int) {
	switch {
	case !utf8.ValidString(value):
		f.add(field, "is not UTF-8")
	case strings.ContainsRune(value, 0):
		f.add(field, "has a NUL character")
	case utf8.RuneCountInString(value) > most:
		f.add(field, "has %d characters, more than %d", utf8.RuneCountInString(value), most)
	}
}

const anyLength = math.MaxInt

func (f *faults) smallint(field string, value *int, least int) {
	if value != nil && (*value < least || *value > math.MaxInt16) {
		f.add(field, "%d is outside %d to %d", *value, least, math.MaxInt16)
	}
}

func (f *faults) runAt(r *RunAt) {
	if problem := r.fault(); problem != "" {
		f.add("run_at", "%s", problem)
	}
}

func (f *faults) keyMode(mode JobKeyMode) {
	switch mode {
	case "", Replace, PreserveRunAt, UnsafeDedupe:
	default:
		f.add("job_key_mode", "%q is unknown: use %s, %s or %s", mode, Replace, PreserveRunAt, UnsafeDedupe)
	}
}

// payload returns the JSON text of a payload. It returns nil for nil, does not change a
// [json.RawMessage], and marshals any other value.
func (f *faults) payload(value any) *string {
	var text []byte
	switch value := value.(type) {
	case nil:
		return nil
	case refusal:
		f.add(value.Field, "%s", value.Problem)
		return nil
	case []byte:
		f.add("payload", "is a []byte, which JSON would turn into base64: make it a json.RawMessage")
		return nil
	case json.RawMessage:
		if value == nil {
			return nil
		}
		if !json.Valid(value) {
			problem := "is not JSON"
			if jsontext.TooDeep(json.Unmarshal(value, new(json.RawMessage))) {
				problem = "is nested more than 10000 levels deep"
			}
			f.add("payload", "%s", problem)
			return nil
		}
		text = value
	default:
		var err error
		if text, err = json.Marshal(value); err != nil {
			f.add("payload", "cannot be marshalled to JSON: it is a %T", value)
			return nil
		}
	}
	if !utf8.Valid(text) {
		f.add("payload", "is not UTF-8")
		return nil
	}
	return new(string(text))
}
