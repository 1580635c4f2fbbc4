package typescript

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gwadmin/gwadmin/internal/jsonfields"
)

// A typer says what its JSON is.
type typer interface{ TypeScript() string }

var (
	typerType       = reflect.TypeFor[typer]()
	marshalers      = []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()}
	zeroerType      = reflect.TypeFor[interface{ IsZero() bool }]()
	ofStandardTypes = map[reflect.Type]expression{
		reflect.TypeFor[time.Time]():       {text: "string", note: "RFC 3339"},
		reflect.TypeFor[time.Duration]():   {text: "number", note: "nanoseconds"},
		reflect.TypeFor[json.RawMessage](): {text: "unknown"},
		reflect.TypeFor[json.Number]():     {text: "number"},
		reflect.TypeFor[big.Int]():         {text: "number", note: inexact("big.Int")},
	}
)

func inexact(kind string) string { return kind + ": exact up to 2^53 only" }

// own tells whether encoding/json leaves the type, or a pointer to it, to its own methods.
func own(t reflect.Type) bool {
	return slices.ContainsFunc(marshalers, reflect.PointerTo(t).Implements)
}

// ordinary tells whether encoding/json writes a type's fields.
func (w *writer) ordinary(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !own(t) && !w.described(t)
}

// described tells whether somebody says what a type's JSON is. The method of an embedded
// field is not about the struct, unless that is written by such a method, too.
func (w *writer) described(t reflect.Type) bool {
	if _, ok := w.types[t]; ok {
		return true
	}
	if t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer || !reflect.PointerTo(t).Implements(typerType) {
		return false
	}
	if t.Kind() == reflect.Struct && !own(t) {
		for i := range t.NumField() {
			field := t.Field(i)
			if field.Anonymous && (field.Type.Implements(typerType) || reflect.PointerTo(field.Type).Implements(typerType)) {
				return false
			}
		}
	}
	return true
}

// description is what somebody says a type's JSON is.
func (w *writer) description(t reflect.Type, at place) (e expression) {
	text, ok := w.types[t]
	if !ok {
		defer func() {
			if recover() != nil { // it is that of an embedded pointer, which is nil
				e = w.problem(at, "TypeScript of Go type %s panics where that is zero", t)
			}
		}()
		text = reflect.New(t).Interface().(typer).TypeScript()
	}
	if strings.TrimSpace(text) == "" {
		return w.problem(at, "TypeScript of Go type %s is empty", t)
	}
	nilable := t.Kind() == reflect.Slice || t.Kind() == reflect.Map
	return expression{text: text, union: !identifier.MatchString(text), null: !ok && nilable && !own(t)}
}

// expression writes a type. What is not addressable has no methods of its pointer.
func (w *writer) expression(t reflect.Type, addressable bool, at place) expression {
	if t.Kind() == reflect.Pointer && !w.described(t) {
		return w.pointer(t, at)
	}
	if t.Kind() != reflect.Interface && !addressable {
		for _, m := range marshalers {
			if reflect.PointerTo(t).Implements(m) && !t.Implements(m) {
				return w.problem(at, "%s of Go type %s is not called here: declare it on the value, or use a pointer", m.Method(0).Name, t)
			}
		}
	}
	if w.described(t) {
		return w.description(t, at)
	}
	if e, ok := ofStandardTypes[t]; ok {
		return e
	}
	switch {
	case t.Kind() == reflect.Interface:
		return expression{text: "unknown"}
	case reflect.PointerTo(t).Implements(marshalers[0]):
		return w.problem(at, "Go type %s has a MarshalJSON: give it a method TypeScript() string, or name it in Options.Types", t)
	case own(t):
		return expression{text: "string"}
	case w.recursive[t], t.Kind() == reflect.Struct && t.Name() != "" && len(jsonfields.Of(t)) > 0:
		return w.reference(t, addressable, at)
	}
	return w.composite(t, addressable, at)
}

func (w *writer) pointer(t reflect.Type, at place) expression {
	if w.open[t] {
		return w.problem(at, "Go type %s refers to itself by pointers: make it a struct", t)
	}
	w.open[t] = t.Name() != ""
	defer delete(w.open, t)
	e := w.expression(t.Elem(), true, at)
	e.null = true
	return e
}

// composite writes what a type consists of.
func (w *writer) composite(t reflect.Type, addressable bool, at place) expression {
	if w.open[t] {
		w.recursive[t] = true
		return w.reference(t, addressable, at)
	}
	if t.Name() != "" {
		w.open[t] = true
		defer delete(w.open, t)
	}
	switch t.Kind() {
	case reflect.Bool:
		return expression{text: "boolean"}
	case reflect.Int64, reflect.Uint64:
		return expression{text: "number", note: inexact(t.Kind().String())}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uintptr,
		reflect.Float32, reflect.Float64:
		return expression{text: "number"}
	case reflect.String:
		return expression{text: "string"}
	case reflect.Struct:
		return w.object(t, addressable, at)
	case reflect.Map:
		return w.record(t, at)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 && !own(t.Elem()) {
			return expression{text: "string", null: true, note: "base64"}
		}
		e := w.expression(t.Elem(), true, at.element())
		return expression{text: e.element() + "[]", null: true, note: e.note}
	case reflect.Array:
		return w.tuple(t, addressable, at)
	}
	return w.problem(at, "Go type %s cannot be JSON", t)
}

// mostInTuple is how many elements an array has at most that is written as a tuple.
const mostInTuple = 8

func (w *writer) tuple(t reflect.Type, addressable bool, at place) expression {
	e := w.expression(t.Elem(), addressable, at.element())
	if t.Len() > mostInTuple {
		return expression{text: e.element() + "[]", note: e.note}
	}
	elements := slices.Repeat([]string{e.String()}, t.Len())
	return expression{text: "[" + strings.Join(elements, ", ") + "]", note: e.note}
}

func (w *writer) record(t reflect.Type, at place) expression {
	at.path += "[*]"
	e := w.expression(t.Elem(), false, at)
	index, optional := "[key: string]", ""
	switch kind := t.Key().Kind(); {
	case kind == reflect.String && w.described(t.Key()) && !own(t.Key()):
		index, optional = fmt.Sprintf("[key in %s]", w.description(t.Key(), at)), "?"
	case kind == reflect.String, t.Key().Implements(marshalers[1]):
	case kind >= reflect.Int && kind <= reflect.Uintptr:
		index = "[key: number]"
	default:
		return w.problem(at, "Go type %s cannot be the key of JSON", t.Key())
	}
	return expression{text: fmt.Sprintf("{ %s%s: %s }", index, optional, e), null: true, note: e.note}
}

// object writes the fields of a struct.
func (w *writer) object(t reflect.Type, addressable bool, at place) expression {
	fields := jsonfields.Of(t)
	if len(fields) == 0 {
		return expression{text: "{ [key: string]: never }"}
	}
	var object strings.Builder
	for _, f := range fields {
		e := w.field(f, addressable || f.Embedded, at.field(f.Name))
		if e.note != "" {
			fmt.Fprintf(&object, "\n/** %s */", e.note)
		}
		optional := ""
		if f.Embedded || f.OmitZero || f.OmitEmpty && canBeEmpty(f.Type) {
			optional = "?"
		}
		fmt.Fprintf(&object, "\n%s%s: %s;", key(f.Name), optional, e)
	}
	return expression{text: "{" + strings.ReplaceAll(object.String(), "\n", "\n  ") + "\n}"}
}

// field writes a field's type, with null only where that is not left out.
func (w *writer) field(f jsonfields.Field, addressable bool, at place) expression {
	t := f.Type
	omitted := f.OmitEmpty || f.OmitZero
	pointer := t.Kind() == reflect.Pointer && !w.described(t)
	if pointer {
		t, addressable = t.Elem(), true
	}
	var e expression
	if f.Quoted && !own(t) {
		e = expression{text: "string", note: t.Kind().String() + " in a string"}
	} else {
		e = w.expression(t, addressable, at)
	}
	switch {
	case pointer:
		e.null = e.null || !omitted
	case f.OmitEmpty || f.OmitZero && !reflect.PointerTo(t).Implements(zeroerType):
		e.null = false
	}
	return e
}

// canBeEmpty tells whether omitempty ever leaves a field of the type out.
func canBeEmpty(t reflect.Type) bool {
	return t.Kind() != reflect.Struct && (t.Kind() != reflect.Array || t.Len() == 0)
}

var identifier = regexp.MustCompile(`^[A-Za-z_$][\w$]*$`)

// key writes a field's name.
func key(name string) string {
	if identifier.MatchString(name) {
		return name
	}
	return quote(name)
}
