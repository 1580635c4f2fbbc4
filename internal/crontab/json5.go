package crontab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// fromJSON5 returns the JSON that JavaScript writes for a value in JSON5.
func fromJSON5(text string) (json.RawMessage, error) {
	r := &reader{rest: text}
	var to bytes.Buffer
	if err := r.value(&to, 0); err != nil {
		return nil, err
	}
	if err := r.skip(); err != nil {
		return nil, err
	}
	if r.rest != "" {
		return nil, r.unexpected()
	}
	return to.Bytes(), nil
}

// A reader reads JSON5.
type reader struct{ rest string }

func (r *reader) unexpected() error {
	if r.rest == "" {
		return errors.New("it ends too early")
	}
	c, _ := utf8.DecodeRuneInString(r.rest)
	return fmt.Errorf("%q is unexpected", c)
}

// skip skips blanks and comments.
func (r *reader) skip() error {
	for {
		r.rest = strings.TrimLeftFunc(r.rest, func(c rune) bool {
			return strings.ContainsRune("\t\v\f \u00a0\ufeff\n\r\u2028\u2029", c) || unicode.Is(unicode.Zs, c)
		})
		switch {
		case strings.HasPrefix(r.rest, "//"):
			end := strings.IndexAny(r.rest, "\n\r\u2028\u2029")
			if end < 0 {
				end = len(r.rest)
			}
			r.rest = r.rest[end:]
		case strings.HasPrefix(r.rest, "/*"):
			end := strings.Index(r.rest[2:], "*/")
			if end < 0 {
				return errors.New("a comment has no end")
			}
			r.rest = r.rest[2+end+2:]
		default:
			return nil
		}
	}
}

// take takes a character if it is the next one.
func (r *reader) take(c byte) bool {
	if r.rest == "" || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

var numeral = regexp.MustCompile(`^[+-]?(?:Infinity|NaN|0[xX][0-9a-fA-F]+|(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)`)

func (r *reader) value(to *bytes.Buffer, depth int) error {
	if depth > 1000 {
		return errors.New("it is nested too deeply")
	}
	if err := r.skip(); err != nil {
		return err
	}
	for _, word := range []string{"null", "true", "false"} {
		if rest, ok := strings.CutPrefix(r.rest, word); ok {
			r.rest = rest
			to.WriteString(word)
			return nil
		}
	}
	if found := numeral.FindString(r.rest); found != "" {
		r.rest = r.rest[len(found):]
		if c, _ := utf8.DecodeRuneInString(r.rest); r.rest != "" && (unicode.IsLetter(c) || unicode.IsDigit(c)) {
			return r.unexpected()
		}
		to.WriteString(numberOf(found))
		return nil
	}
	switch {
	case r.take('{'):
		return r.object(to, depth)
	case r.take('['):
		return r.array(to, depth)
	case strings.HasPrefix(r.rest, `"`), strings.HasPrefix(r.rest, "'"):
		text, err := r.text()
		if err != nil {
			return err
		}
		to.WriteString(text)
		return nil
	}
	return r.unexpected()
}

// numberOf is a number as JSON. JavaScript writes null for what is none.
func numberOf(text string) string {
	digits := strings.TrimLeft(text, "+-")
	var n float64
	switch {
	case digits == "Infinity" || digits == "NaN":
		return "null"
	case len(digits) > 1 && (digits[1] == 'x' || digits[1] == 'X'):
		n, _ = strconv.ParseFloat("0x"+digits[2:]+"p0", 64)
	default:
		n, _ = strconv.ParseFloat(strings.TrimSuffix(digits, "."), 64)
	}
	if math.IsInf(n, 0) {
		return "null"
	}
	if n != 0 && strings.HasPrefix(text, "-") {
		n = -n
	}
	encoded, _ := json.Marshal(n) // which is finite
	return string(encoded)
}

func (r *reader) array(to *bytes.Buffer, depth int) error {
	to.WriteByte('[')
	for first := true; ; first = false {
		if err := r.skip(); err != nil {
			return err
		}
		if r.take(']') {
			to.WriteByte(']')
			return nil
		}
		if !first {
			to.WriteByte(',')
		}
		if err := r.value(to, depth+1); err != nil {
			return err
		}
		if err := r.skip(); err != nil {
			return err
		}
		if !r.take(',') && !strings.HasPrefix(r.rest, "]") {
			return r.unexpected()
		}
	}
}

func (r *reader) object(to *bytes.Buffer, depth int) error {
	values := map[string]string{} // of two members with the same name, the second counts
	var names []string
	for {
		if err := r.skip(); err != nil {
			return err
		}
		if r.take('}') {
			break
		}
		name, err := r.name()
		if err != nil {
			return err
		}
		if err := r.skip(); err != nil {
			return err
		}
		if !r.take(':') {
			return r.unexpected()
		}
		var value bytes.Buffer
		if err := r.value(&value, depth+1); err != nil {
			return err
		}
		if _, twice := values[name]; !twice {
			names = append(names, name)
		}
		values[name] = value.String()
		if err := r.skip(); err != nil {
			return err
		}
		if !r.take(',') && !strings.HasPrefix(r.rest, "}") {
			return r.unexpected()
		}
	}
	to.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			to.WriteByte(',')
		}
		to.WriteString(name + ":" + values[name])
	}
	to.WriteByte('}')
	return nil
}

// name reads the name of a member, and returns it as a JSON string.
func (r *reader) name() (string, error) {
	if strings.HasPrefix(r.rest, `"`) || strings.HasPrefix(r.rest, "'") {
		return r.text()
	}
	var units []uint16
	for r.rest != "" {
		if strings.HasPrefix(r.rest, `\u`) {
			r.rest = r.rest[1:]
			unit, err := r.hex('u', 4)
			if err != nil {
				return "", err
			}
			if c := rune(unit); !partOfName(c, len(units) == 0) {
				return "", fmt.Errorf("%q is no part of a name", c)
			}
			units = append(units, unit)
			continue
		}
		c, size := utf8.DecodeRuneInString(r.rest)
		if !partOfName(c, len(units) == 0) {
			break
		}
		units = utf16.AppendRune(units, c)
		r.rest = r.rest[size:]
	}
	if len(units) == 0 {
		return "", r.unexpected()
	}
	return quote(units), nil
}

func partOfName(c rune, first bool) bool {
	if c == '$' || c == '_' || unicode.IsLetter(c) || unicode.Is(unicode.Nl, c) {
		return true
	}
	return !first && (unicode.In(c, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc) || c == '\u200c' || c == '\u200d')
}

// text reads a string in either kind of quotes, and returns it as a JSON string.
func (r *reader) text() (string, error) {
	end := r.rest[0]
	r.rest = r.rest[1:]
	var units []uint16
	for {
		if r.rest == "" {
			return "", errors.New("a string has no end")
		}
		if r.take(end) {
			return quote(units), nil
		}
		if r.take('\\') {
			escaped, err := r.escape()
			if err != nil {
				return "", err
			}
			units = append(units, escaped...)
			continue
		}
		c, size := utf8.DecodeRuneInString(r.rest)
		if c == '\n' || c == '\r' {
			return "", r.unexpected()
		}
		units = utf16.AppendRune(units, c)
		r.rest = r.rest[size:]
	}
}

var escapes = map[rune]uint16{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

// escape reads what follows a backslash.
func (r *reader) escape() ([]uint16, error) {
	if r.rest == "" {
		return nil, r.unexpected()
	}
	c, size := utf8.DecodeRuneInString(r.rest)
	switch {
	case c == 'x' || c == 'u':
		unit, err := r.hex(byte(c), map[rune]int{'x': 2, 'u': 4}[c])
		return []uint16{unit}, err
	case c == '0' && (len(r.rest) == 1 || r.rest[1] < '0' || r.rest[1] > '9'):
		r.rest = r.rest[1:]
		return []uint16{0}, nil
	case c >= '0' && c <= '9':
		return nil, r.unexpected()
	case c == '\n' || c == '\r' || c == '\u2028' || c == '\u2029': // the string goes on in the next line
		if strings.HasPrefix(r.rest, "\r\n") {
			size = 2
		}
		r.rest = r.rest[size:]
		return nil, nil
	}
	r.rest = r.rest[size:]
	if unit, ok := escapes[c]; ok {
		return []uint16{unit}, nil
	}
	return utf16.AppendRune(nil, c), nil
}

// hex reads a letter and so many hexadecimal digits.
func (r *reader) hex(letter byte, digits int) (uint16, error) {
	if !r.take(letter) || len(r.rest) < digits {
		return 0, r.unexpected()
	}
	n, err := strconv.ParseUint(r.rest[:digits], 16, 16)
	if err != nil {
		return 0, errors.New("an escape has no hexadecimal digits")
	}
	r.rest = r.rest[digits:]
	return uint16(n), nil
}

// quote returns a JSON string. Half a surrogate pair is written as an escape, as JavaScript
// does.
func quote(units []uint16) string {
	var to strings.Builder
	to.WriteByte('"')
	for i := 0; i < len(units); i++ {
		unit := rune(units[i])
		if utf16.IsSurrogate(unit) {
			if i+1 < len(units) {
				if pair := utf16.DecodeRune(unit, rune(units[i+1])); pair != utf8.RuneError {
					to.WriteRune(pair)
					i++
					continue
				}
			}
			fmt.Fprintf(&to, `\u%04x`, unit)
			continue
		}
		switch {
		case unit == '"' || unit == '\\':
			to.WriteByte('\\')
			to.WriteRune(unit)
		case unit < ' ':
			fmt.Fprintf(&to, `\u%04x`, unit)
		default:
			to.WriteRune(unit)
		}
	}
	to.WriteByte('"')
	return to.String()
}
