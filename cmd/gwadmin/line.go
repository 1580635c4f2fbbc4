package main

import (
	"bufio"
	"bytes"
	"encoding/json"
)

// A lineWriter writes jobs as lines of JSON. It writes payloads as they are, but for their
// line ends, which become spaces. encoding/json would copy a long payload several times, and
// refuses one that is nested more than 10 000 levels deep, which PostgreSQL stores.
type lineWriter struct {
	*bufio.Writer
	line    bytes.Buffer
	encoder *json.Encoder
}

func newLineWriter(to *bufio.Writer) *lineWriter {
	w := &lineWriter{Writer: to}
	w.encoder = json.NewEncoder(&w.line)
	w.encoder.SetEscapeHTML(false)
	return w
}

// job writes a job, which has the payload.
func (w *lineWriter) job(job any, payload *json.RawMessage) error {
	text := *payload
	if text != nil {
		*payload = json.RawMessage("0")
		defer func() { *payload = text }()
	}
	w.line.Reset()
	if err := w.encoder.Encode(job); err != nil {
		return err
	}
	// No text in the line has this: its quotes are escaped there.
	const field = `"payload":`
	before, after, found := bytes.Cut(w.line.Bytes(), []byte(field+"0"))
	w.Write(before)
	if found {
		w.WriteString(field)
		for text != nil {
			end := bytes.IndexAny(text, "\r\n") // which are between two values
			if end < 0 {
				w.Write(text)
				break
			}
			w.Write(text[:end])
			w.WriteByte(' ')
			text = text[end+1:]
		}
	}
	_, err := w.Write(after)
	return err
}
