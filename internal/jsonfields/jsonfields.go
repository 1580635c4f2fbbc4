// Package jsonfields tells which fields of a struct encoding/json writes and reads,
// and how. It follows that package's rules for tags and for embedded structs, which
// it does not export.
package jsonfields

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// A Field is a member of a struct's JSON object.
type Field struct {
	Name      string       // its key in the object
	Type      reflect.Type // the Go field's
	Index     []int        // where it is, as [reflect.Value.FieldByIndex] takes it
	OmitEmpty bool
	OmitZero  bool
	Quoted    bool // the option "string" holds for the field
	Embedded  bool // it is behind an embedded pointer: left out when that is nil

	tagged bool // the name is from a tag
}

var known sync.Map // of reflect.Type to []Field

// Of returns the fields of a struct type, in the order in which they are written. The
// caller must not change them.
func Of(t reflect.Type) []Field {
	fields, found := known.Load(t)
	if !found {
		fields, _ = known.LoadOrStore(t, find(t))
	}
	return fields.([]Field)
}

func find(t reflect.Type) []Field {
	var fields []Field
	decided := map[string]bool{} // names that a level above has, or has twice
	seen := map[reflect.Type]bool{}
	for level := []*structure{{typ: t}}; len(level) > 0; {
		found := map[string][]Field{}
		var next []*structure
		for _, s := range level {
			if !seen[s.typ] {
				seen[s.typ] = true
				next = s.scan(found, next)
			}
		}
		for name, candidates := range found {
			if decided[name] {
				continue
			}
			decided[name] = true
			if slices.ContainsFunc(candidates, func(f Field) bool { return f.tagged }) {
				candidates = slices.DeleteFunc(candidates, func(f Field) bool { return !f.tagged })
			}
			if len(candidates) == 1 {
				fields = append(fields, candidates[0])
			}
		}
		level = next
	}
	slices.SortFunc(fields, func(a, b Field) int { return slices.Compare(a.Index, b.Index) })
	return fields
}

// A structure is the struct itself, or one that is embedded in it at some level.
type structure struct {
	typ      reflect.Type
	index    []int
	embedded bool // by a pointer, at this level or above
	twice    bool // its level has it twice, so that its fields hide each other
}

// scan adds the structure's own fields to those found, and what it embeds to the next level.
func (s *structure) scan(found map[string][]Field, next []*structure) []*structure {
	for i := range s.typ.NumField() {
		field := s.typ.Field(i)
		tag := field.Tag.Get("json")
		target := field.Type
		if target.Kind() == reflect.Pointer && target.Name() == "" {
			target = target.Elem()
		}
		exported := field.IsExported() || field.Anonymous && target.Kind() == reflect.Struct
		if !exported || tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if !validName(name) {
			name = ""
		}
		has := func(option string) bool { return slices.Contains(strings.Split(options, ","), option) }
		index := append(slices.Clone(s.index), i)
		if name == "" && field.Anonymous && target.Kind() == reflect.Struct {
			again := slices.IndexFunc(next, func(n *structure) bool { return n.typ == target })
			if again >= 0 {
				next[again].twice = true
			} else {
				next = append(next, &structure{typ: target, index: index, embedded: s.embedded || target != field.Type})
			}
			continue
		}
		f := Field{
			Name:      name,
			Type:      field.Type,
			Index:     index,
			OmitEmpty: has("omitempty"),
			OmitZero:  has("omitzero"),
			Quoted:    has("string") && quotable(target.Kind()),
			Embedded:  s.embedded,
			tagged:    name != "",
		}
		if name == "" {
			f.Name = field.Name
		}
		found[f.Name] = append(found[f.Name], f)
		if s.twice {
			found[f.Name] = append(found[f.Name], f)
		}
	}
	return next
}

func quotable(kind reflect.Kind) bool {
	return kind == reflect.String || kind >= reflect.Bool && kind <= reflect.Float64
}

// validName tells whether a tag's name is used.
func validName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r)
	}) < 0
}
