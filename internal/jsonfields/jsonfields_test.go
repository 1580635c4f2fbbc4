package jsonfields

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type (
	Plain struct {
		A      int
		B      string `json:"b"`
		hidden int
		C      bool `json:"-"`
		E      int  `json:",omitempty"`
		F      int  `json:"f,omitzero,string"`
		G      *int `json:"g,string"`
		I      int  `json:"näme $%-/.~"`
		K      int  `json:" "`
	}

	Base   struct{ ID, Name int }
	tagged struct {
		ID int `json:"ID"`
	}
	lower  struct{ Low int }
	Number int
	number int
	Reader interface{ Read() }
	Deep   struct{ Base }
	Loop   struct {
		*Loop
		X int
	}
	Self struct {
		Self1
		X int
	}
	Self1 struct {
		*Self
		Y int
	}
	Left           struct{ Shared }
	Right          struct{ Shared }
	Shared         struct{ Common, Own int }
	Generic[T any] struct{ Value T }
)

var _ = Plain{hidden: 0}

// odd is a struct that linters refuse.
var odd = reflect.StructOf([]reflect.StructField{
	{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"twice"`},
	{Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"twice"`},
	{Name: "C", Type: reflect.TypeFor[int](), Tag: `json:"-,"`},
	{Name: "D", Type: reflect.TypeFor[int](), Tag: `json:"in\"valid"`},
	{Name: "E", Type: reflect.TypeFor[int](), Tag: `json:"'quoted'"`},
	{Name: "F", Type: reflect.TypeFor[[]int](), Tag: `json:"f,string"`},
	{Name: "G", Type: reflect.TypeFor[**int](), Tag: `json:"g,string"`},
	{Name: "H", Type: reflect.TypeFor[string](), Tag: `json:"h,unknown,,string"`},
	{Name: "I", Type: reflect.TypeFor[uintptr](), Tag: `json:",string"`},
	{Name: "J", Type: reflect.TypeFor[complex64](), Tag: `json:"-"`},
	{Name: "K", Type: reflect.TypeFor[int](), Tag: `json:"strings,stringent"`},
	{Name: "L", Type: reflect.TypeFor[int](), Tag: `xml:"l"`},
})

// Each value has every field set, so that encoding/json writes all that it knows of.
func TestOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		value  any
		reason string
	}{
		{Plain{A: 1, B: "b", E: 1, F: 1, G: new(1), I: 1, K: 1}, "tags"},
		{struct{ Base }{Base{1, 2}}, "embedded"},
		{struct{ *Base }{&Base{1, 2}}, "embedded pointer"},
		{struct {
			Base `json:"base"`
		}{Base{1, 2}}, "embedded with a name is a field"},
		{struct {
			Base
			ID string
		}{Base{1, 2}, "x"}, "the outer one wins"},
		{struct {
			Base
			tagged
		}{Base{1, 2}, tagged{3}}, "of one level the tagged one wins"},
		{struct {
			Base
			Other struct{ ID int } `json:"other"`
			Deep
		}{}, "the level above wins"},
		{struct {
			Base
			Plain2 struct{ ID int }
			Generic[int]
			Again struct{ Generic[string] }
		}{}, "generic"},
		{struct {
			Left
			Right
		}{Left{Shared{1, 2}}, Right{Shared{3, 4}}}, "one struct by two ways hides itself"},
		{struct {
			Left
			Right
			Common int
		}{Common: 1}, "but not what is above"},
		{struct {
			Left
			Deep
			Base2 struct{ Base }
		}{}, "levels"},
		{reflect.Zero(odd).Interface(), "odd tags"},
		{struct {
			A int `json:"B"`
			B int
		}{1, 2}, "a tagged one hides an untagged one"},
		{struct{ lower }{lower{1}}, "an unexported struct has exported fields"},
		{struct{ *lower }{&lower{1}}, "by a pointer, too"},
		{struct {
			Number
			number
		}{1, 2}, "embedded numbers"},
		{struct{ *Number }{new(Number(1))}, "embedded pointer to a number"},
		{struct{ Reader }{}, "embedded interface"},
		{Loop{Loop: &Loop{X: 1}, X: 2}, "embeds itself"},
		{Self{Self1: Self1{Self: &Self{X: 1}, Y: 2}, X: 3}, "embeds itself at some distance"},
		{Generic[Base]{Base{1, 2}}, "generic struct"},
		{struct{}{}, "nothing"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			want := keys(t, tc.value)
			got := []string{}
			for _, f := range Of(reflect.TypeOf(tc.value)) {
				got = append(got, f.Name)
				if of := reflect.TypeOf(tc.value).FieldByIndex(f.Index); of.Type != f.Type {
					t.Errorf("%s is at %v, where there is a %v", f.Name, f.Index, of.Type)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-encoding/json +Of\n%s", diff)
			}
		})
	}
}

// keys are those of the object that encoding/json writes, in its order.
func keys(t *testing.T, value any) []string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		var skipped json.RawMessage
		if err := decoder.Decode(&skipped); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

func TestOptions(t *testing.T) {
	t.Parallel()
	type flags struct{ OmitEmpty, OmitZero, Quoted, Embedded bool }
	got := map[string]flags{}
	for _, f := range append(Of(odd), Of(reflect.TypeFor[struct {
		Plain
		*lower
		Deep
		Z string `json:",omitzero,omitempty"`
		N string `json:"omitempty"`
	}]())...) {
		if set := (flags{f.OmitEmpty, f.OmitZero, f.Quoted, f.Embedded}); set != (flags{}) {
			got[f.Name] = set
		}
	}
	want := map[string]flags{
		"E": {OmitEmpty: true}, "f": {OmitZero: true, Quoted: true}, "g": {Quoted: true},
		"h": {Quoted: true}, "I": {Quoted: true}, "Low": {Embedded: true}, "Z": {OmitEmpty: true, OmitZero: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
