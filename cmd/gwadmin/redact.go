package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const redacted = "[redacted]"

// redact replaces fields of a payload. A field is a path with dots, in which a star is any
// name. It is looked for in all elements of an array. A payload that is nested too deeply to
// look for it is replaced as a whole.
//
// It adds the fields that the payload has to found.
func redact(payload json.RawMessage, fields []string, found map[string]bool) (json.RawMessage, error) {
	if payload == nil || len(fields) == 0 {
		return payload, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber() // numbers stay as they are
	var value any
	if err := decoder.Decode(&value); err != nil {
		for _, field := range fields {
			found[field] = true // perhaps
		}
		return json.RawMessage(`"` + redacted + `"`), nil
	}
	for _, field := range fields {
		if redactField(value, strings.Split(field, ".")) {
			found[field] = true
		}
	}
	var to bytes.Buffer
	encoder := json.NewEncoder(&to)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSpace(to.Bytes()), err
}

// redactField reports whether the value has the field.
func redactField(value any, path []string) (found bool) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			found = redactField(element, path) || found
		}
	case map[string]any:
		for name, member := range value {
			switch {
			case path[0] != "*" && path[0] != name:
			case len(path) == 1:
				value[name] = redacted
				found = true
			default:
				found = redactField(member, path[1:]) || found
			}
		}
	}
	return found
}

func checkRedact(fields []string) error {
	for _, field := range fields {
		for part := range strings.SplitSeq(field, ".") {
			if part == "" {
				return usage(fmt.Errorf("--redact has %q: write fields as to or customer.email", field))
			}
		}
	}
	return nil
}

// rekeyed replaces the beginning of a job's key: of the texts OLD=NEW the first whose OLD it
// begins with.
func rekeyed(key string, rules []string) string {
	for _, rule := range rules {
		before, after, _ := strings.Cut(rule, "=")
		if rest, ok := strings.CutPrefix(key, before); ok {
			return after + rest
		}
	}
	return key
}

func checkRekey(rules []string) error {
	for _, rule := range rules {
		if !strings.Contains(rule, "=") {
			return usage(errors.New("--rekey takes OLD=NEW: what keys begin with, and what replaces it"))
		}
	}
	return nil
}
