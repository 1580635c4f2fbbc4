package jsontext

import (
	"bytes"
	"strings"
	"testing"
)

func TestIndent(t *testing.T) {
	t.Parallel()
	nested := func(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
	for _, tc := range []struct{ text, want string }{
		{`{"a":[1,{}],"b":"["}`, "{\n>  \"a\": [\n>    1,\n>    {}\n>  ],\n>  \"b\": \"[\"\n>}"},
		{`1`, "1"},
		{nested(MostLevels + 1), nested(MostLevels + 1)},
		{nested(100_000), nested(100_000)},
		{`[` + strings.Repeat(`[1],`, 1000) + `1]`, "[\n" + strings.Repeat(">  [\n>    1\n>  ],\n", 1000) + ">  1\n>]"},
	} {
		var got bytes.Buffer
		if err := Indent(&got, ">", []byte(tc.text)); err != nil || got.String() != tc.want {
			t.Errorf("%.100s: %v, %.200s", tc.text, err, got.String())
		}
	}
	if got := new(bytes.Buffer); Indent(got, "", []byte("{]")) == nil || got.Len() > 0 {
		t.Errorf("what is no JSON: %q", got)
	}
	var most bytes.Buffer
	if err := Indent(&most, "", []byte(nested(MostLevels))); err != nil || strings.Count(most.String(), "\n") != 2*MostLevels-2 {
		t.Errorf("%d levels: %v, %.200s", MostLevels, err, most.String())
	}
}
