package ui

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/gwadmin/gwadmin/internal/jsontext"
)

// A node is a part of a payload as a tree. Texts of numbers are as in the payload.
type node struct {
	Name     string // the key or the index in its parent; empty: the payload itself
	Kind     string // object, array, string, number, boolean or null
	Text     string // of what has no children
	Children []node
	More     int  // children that are left out
	Open     bool // shown with its children
}

const (
	mostChildren = 200
	mostDepth    = 40
	mostNodes    = 5000
	mostText     = 2000     // bytes of one text
	mostTexts    = 32 << 10 // bytes of all texts
)

// A budget is what may still be shown.
type budget struct{ nodes, bytes int }

// text takes a text from the budget.
func (b *budget) text(text string) string {
	text, _ = cutText(text, min(mostText, max(b.bytes, 20)))
	b.bytes -= len(text)
	return text
}

// tree reads a payload as a tree. It is nil for what is not JSON, such as a redacted
// payload, and parts of a very large one are left out.
func tree(payload []byte) *node {
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	left := budget{mostNodes, mostTexts}
	root, err := readNode(decoder, 0, &left)
	if err != nil {
		return nil
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil
	}
	return &root
}

func readNode(decoder *json.Decoder, depth int, left *budget) (node, error) {
	token, err := decoder.Token()
	if err != nil {
		return node{}, err
	}
	left.nodes--
	switch value := token.(type) {
	case json.Delim:
		n := node{Kind: "array", Open: depth < 3}
		if value == '{' {
			n.Kind = "object"
		}
		for i := 0; decoder.More(); i++ {
			name := number(i)
			if n.Kind == "object" {
				key, err := decoder.Token()
				if err != nil {
					return n, err
				}
				name, _ = key.(string)
			}
			if len(n.Children) == mostChildren || depth == mostDepth || left.nodes <= 0 || left.bytes <= 0 {
				var skipped json.RawMessage
				if err := decoder.Decode(&skipped); err != nil {
					return n, err
				}
				n.More++
				continue
			}
			child, err := readNode(decoder, depth+1, left)
			if err != nil {
				return n, err
			}
			child.Name = left.text(name)
			n.Children = append(n.Children, child)
		}
		_, err := decoder.Token() // the closing delimiter
		return n, err
	case string:
		return node{Kind: "string", Text: left.text(value)}, nil
	case json.Number:
		return node{Kind: "number", Text: left.text(value.String())}, nil
	case bool:
		if value {
			return node{Kind: "boolean", Text: "true"}, nil
		}
		return node{Kind: "boolean", Text: "false"}, nil
	}
	return node{Kind: "null", Text: "null"}, nil
}

// indented is a payload with a line for each value. What is not JSON, or nested very deeply,
// is as it is.
func indented(payload []byte) string {
	var text bytes.Buffer
	if jsontext.Indent(&text, "", payload) != nil {
		return string(payload)
	}
	return text.String()
}
