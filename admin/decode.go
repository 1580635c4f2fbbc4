package admin

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/jsonfields"
)

// A DecodeError says what in a job's payload is not as its task declares. Its text
// has names of fields, and no values; that of its cause may show one.
type DecodeError struct {
	JobID          int64
	TaskIdentifier string
	// Field is the path to the value, such as "items[2].price"; empty for the payload
	// itself. An entry of a map is [*], since its key is data.
	Field   string
	Type    reflect.Type // the Go type that the value should fit
	Problem string
	// Err is the cause: a *json.UnmarshalTypeError, a *json.SyntaxError, or what the
	// type's own UnmarshalJSON or UnmarshalText returned; nil: none of these.
	Err error
}

func (e *DecodeError) Error() string {
	where := "payload"
	if e.Field != "" {
		where = "payload field " + e.Field
	}
	return fmt.Sprintf("decode job %d of task %q: %s: %s", e.JobID, e.TaskIdentifier, where, e.Problem)
}

func (e *DecodeError) Unwrap() error { return e.Err }

// Decode reads the payload of a job of this task. It is strict where encoding/json
// is lenient, and so as exact as the JavaScript that reads the payload: it refuses
// fields that the Go type does not have, or has in another case, fields that are there
// twice, null for what cannot be nil, and arrays of another length. A field that is
// missing is left zero, so that the payloads of older declarations can be read. The
// error is a [*DecodeError].
//
// A nil job, one of another task, and one whose payload was not read, as in a list
// without payloads, are refused with an [*InvalidError].
func (t *TypedTask[T]) Decode(job *Job) (T, error) {
	var payload, none T
	if t.err != nil {
		return none, t.err
	}
	var f faults
	switch {
	case job == nil:
		f.add("job", "is nil")
	case job.TaskIdentifier != t.identifier:
		f.add("job", "%d is of task %q", job.ID, job.TaskIdentifier)
	case job.Payload == nil:
		f.add("job", "%d has no payload: list it with PayloadBytes, or get it with GetJob", job.ID)
	}
	if err := f.err(fmt.Sprintf("decode job of task %q", t.identifier)); err != nil {
		return none, err
	}
	err := strict(job.Payload, t.PayloadType())
	if err == nil {
		if cause := json.Unmarshal(job.Payload, &payload); cause != nil {
			err = unfit("", t.PayloadType(), "value").because(cause)
		}
	}
	if err != nil {
		err.JobID, err.TaskIdentifier = job.ID, job.TaskIdentifier
		return none, err
	}
	return payload, nil
}

// unfit says that a value of a JSON kind is not what a Go type takes.
func unfit(path string, t reflect.Type, kind string) *DecodeError {
	return &DecodeError{
		Field: path, Type: t, Problem: fmt.Sprintf("JSON %s does not fit Go type %s", kind, t),
		Err: &json.UnmarshalTypeError{Value: kind, Type: t, Field: path},
	}
}

// because takes over what encoding/json found, but for the values that it shows.
func (e *DecodeError) because(err error) *DecodeError {
	found, ok := err.(*json.UnmarshalTypeError)
	if !ok {
		e.Err = err
		return e
	}
	kind, _, _ := strings.Cut(found.Value, " ") // from the number itself
	path := e.Field
	if found.Field != "" {
		path = inside(path, found.Field)
	}
	return unfit(path, found.Type, kind)
}

// inside is the path of a field of what is at the path.
func inside(path, field string) string {
	field = graphile.Short(field) // the Go type may not have it
	if strings.ContainsFunc(field, func(r rune) bool { return !unicode.IsPrint(r) }) {
		field = strconv.Quote(field)
	}
	if path == "" {
		return field
	}
	return path + "." + field
}

// strict finds the first thing in a JSON text that does not fit a Go type.
func strict(text json.RawMessage, t reflect.Type) *DecodeError {
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		return &DecodeError{Type: t, Problem: "not one JSON value", Err: err}
	}
	d := strictDecoder{json.NewDecoder(bytes.NewReader(text)), text}
	return d.value("", t)
}

// A strictDecoder goes through a text that is known to be JSON.
type strictDecoder struct {
	*json.Decoder
	text []byte
}

// kind is what the next value is.
func (d *strictDecoder) kind() string {
	rest := bytes.TrimLeft(d.text[d.InputOffset():], " \t\r\n:,")
	switch rest[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}

// token reads a key, or where an object or array begins or ends: a valid text has it.
func (d *strictDecoder) token() json.Token {
	token, _ := d.Token()
	return token
}

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	timeType        = reflect.TypeFor[time.Time]()
)

// value checks the next value, which is at the path.
func (d *strictDecoder) value(path string, t reflect.Type) *DecodeError {
	kind := d.kind()
	for t.Kind() == reflect.Pointer && kind != "null" {
		t = t.Elem()
	}
	own := reflect.PointerTo(t).Implements(unmarshaler) || reflect.PointerTo(t).Implements(textUnmarshaler)
	bytes := t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
	nilable := slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice}, t.Kind())
	switch {
	case kind == "null" && (t == timeType || !own && !nilable): // it would be passed over
		return unfit(path, t, kind)
	case kind == "null" || own || bytes:
		return d.leaf(path, t, kind)
	case t.Kind() == reflect.Struct:
		return d.object(path, t, kind)
	case t.Kind() == reflect.Map:
		return d.entries(path, t, kind)
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
		return d.array(path, t, kind)
	}
	return d.leaf(path, t, kind)
}

// leaf has encoding/json read the next value, and the methods that it calls.
func (d *strictDecoder) leaf(path string, t reflect.Type, kind string) *DecodeError {
	if err := d.Decode(reflect.New(t).Interface()); err != nil {
		return unfit(path, t, kind).because(err)
	}
	return nil
}

// quoted is leaf for a field whose JSON is within a string.
func (d *strictDecoder) quoted(path string, t reflect.Type) *DecodeError {
	kind := d.kind()
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		return unfit(path, t, kind).because(err)
	}
	if text := string(value); text == `"null"` || text == "null" && t.Kind() != reflect.Pointer {
		return unfit(path, t, kind)
	}
	field := reflect.StructOf([]reflect.StructField{{Name: "V", Type: t, Tag: `json:",string"`}})
	object := slices.Concat([]byte(`{"V":`), value, []byte("}"))
	if err := json.Unmarshal(object, reflect.New(field).Interface()); err != nil {
		fault := unfit(path, t, kind)
		fault.Err = err
		return fault
	}
	return nil
}

func (d *strictDecoder) object(path string, t reflect.Type, kind string) *DecodeError {
	if kind != "object" {
		return unfit(path, t, kind)
	}
	fields := jsonfields.Of(t)
	seen := make([]bool, len(fields))
	for d.token(); d.More(); {
		key := d.token().(string)
		at := inside(path, key)
		i := slices.IndexFunc(fields, func(f jsonfields.Field) bool { return f.Name == key })
		var fault *DecodeError
		switch {
		case i < 0:
			fault = &DecodeError{Field: at, Type: t, Problem: fmt.Sprintf("Go type %s has no such field", t)}
		case seen[i]:
			fault = &DecodeError{Field: at, Type: fields[i].Type, Problem: "there twice"}
		case fields[i].Quoted:
			fault = d.quoted(at, fields[i].Type)
		default:
			fault = d.value(at, fields[i].Type)
		}
		if fault != nil {
			return fault
		}
		seen[i] = true
	}
	d.token()
	return nil
}

func (d *strictDecoder) entries(path string, t reflect.Type, kind string) *DecodeError {
	if kind != "object" {
		return unfit(path, t, kind)
	}
	path += "[*]"
	keys := reflect.MapOf(t.Key(), reflect.TypeFor[any]())
	for d.token(); d.More(); {
		entry, _ := json.Marshal(map[string]any{d.token().(string): nil})
		if err := json.Unmarshal(entry, reflect.New(keys).Interface()); err != nil {
			fault := unfit(path, t.Key(), "key")
			if _, shown := err.(*json.UnmarshalTypeError); !shown { // that has the key in it
				fault.Err = err
			}
			return fault
		}
		if fault := d.value(path, t.Elem()); fault != nil {
			return fault
		}
	}
	d.token()
	return nil
}

func (d *strictDecoder) array(path string, t reflect.Type, kind string) *DecodeError {
	if kind != "array" {
		return unfit(path, t, kind)
	}
	i := 0
	for d.token(); d.More(); i++ {
		if fault := d.value(fmt.Sprintf("%s[%d]", path, i), t.Elem()); fault != nil {
			return fault
		}
	}
	d.token()
	if t.Kind() == reflect.Array && i != t.Len() {
		return &DecodeError{Field: path, Type: t, Problem: fmt.Sprintf("JSON array of %d does not fit Go type %s", i, t)}
	}
	return nil
}
