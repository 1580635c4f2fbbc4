// Package jsontext has what encoding/json leaves to its users: indenting JSON texts for people,
// and telling one that it refuses as nested too deeply.
package jsontext

import (
	"bytes"
	"encoding/json"
)

// MostLevels is the most levels of a text that is indented. The blanks of a text of 10 000
// levels would be 10 000 times as long as the text.
const MostLevels = 100

// Indent writes a JSON text with line ends, a prefix and two blanks a level. A text with too
// many levels is written as it is. The error is that of [json.Indent], and nothing is written.
func Indent(to *bytes.Buffer, prefix string, text []byte) error {
	if levels(text) > MostLevels {
		to.Write(text)
		return nil
	}
	return json.Indent(to, text, prefix, "  ")
}

// levels is how deep a JSON text is nested, or more: brackets within texts count, too.
func levels(text []byte) (most int) {
	level := 0
	for _, c := range text {
		switch c {
		case '[', '{':
			level++
			most = max(most, level)
		case ']', '}':
			level--
		}
	}
	return most
}
