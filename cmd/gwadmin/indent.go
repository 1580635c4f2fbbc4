package main

import (
	"bytes"
	"encoding/json"

	"github.com/gwadmin/gwadmin/internal/jsontext"
)

// encodeIndented writes a value as JSON with line ends and two blanks a level, and a value of
// too many levels in one line.
func encodeIndented(to *bytes.Buffer, prefix string, value any) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	return jsontext.Indent(to, prefix, bytes.TrimSpace(line.Bytes()))
}
