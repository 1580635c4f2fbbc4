package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzRedact redacts a field of a payload: its values are gone, and all others are as they
// were, to the last digit.
func FuzzRedact(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"to":"ada","n":1}`, "to"}, {`{"customer":{"email":"x","id":12345678901234567890}}`, "customer.email"}, {`[{"a":1},{"a":[2]}]`, "a"},
		{`{"a":{"b":1,"c":{"b":2}},"b":{"b":3}}`, "*.b"}, {`{"a":1,"a":2}`, "a"}, {`{"":{"":0.10}}`, "*.*"}, {`{"a.b":1,"a":{"b":"<&>\u2028"}}`, "a.b"},
		{`"text"`, "*"}, {`null`, "a"}, {`{"\ud800":1e400}`, "\ufffd"}, {`{"a":[[[{"b":{}}]]]}`, "a.b"}, {`{"a":{"a":{"a":"x"}}}`, "*"},
	} {
		f.Add([]byte(seed[0]), seed[1], "invoice-=paid-", "invoice-4711")
	}
	f.Add([]byte("{}"), "a", "=", "")
	f.Add([]byte("{}"), "a..b", "no rule", "")
	f.Fuzz(func(t *testing.T, payload []byte, field, rule, key string) {
		if checkRekey([]string{rule}) == nil {
			before, after, _ := strings.Cut(rule, "=")
			want := key
			if strings.HasPrefix(key, before) {
				want = after + key[len(before):]
			}
			if got := rekeyed(key, []string{rule, "=x"}); got != want && strings.HasPrefix(key, before) {
				t.Errorf("--rekey %q makes %q of %q", rule, got, key)
			}
		}
		if checkRedact([]string{field}) != nil || !json.Valid(payload) || !utf8.Valid(payload) {
			return
		}
		got, err := redact(payload, []string{field}, map[string]bool{})
		if err != nil {
			if deep := strings.Contains(err.Error(), "exceeded max depth"); !deep {
				t.Fatal(err)
			}
			return
		}
		want := replaced(t, valueOf(t, payload), strings.Split(field, "."))
		if after := valueOf(t, got); !reflect.DeepEqual(want, after) {
			t.Errorf("--redact %q makes %s of %s", field, got, payload)
		}
		if again, err := redact(got, []string{field}, map[string]bool{}); err != nil || !reflect.DeepEqual(valueOf(t, again), want) {
			t.Errorf("--redact %q again makes %s of %s: %v", field, again, got, err)
		}
	})
}

func valueOf(t *testing.T, payload []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return value
}

// replaced is a value without the field, and does not change the value that it is given.
func replaced(t *testing.T, value any, path []string) any {
	t.Helper()
	switch value := value.(type) {
	case []any:
		elements := make([]any, len(value))
		for i := range value {
			elements[i] = replaced(t, value[i], path)
		}
		return elements
	case map[string]any:
		members := map[string]any{}
		for name, member := range value {
			members[name] = member
			if path[0] == name || path[0] == "*" {
				members[name] = "[redacted]"
				if len(path) > 1 {
					members[name] = replaced(t, member, path[1:])
				}
			}
		}
		return members
	}
	return value
}
