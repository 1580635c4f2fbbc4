package typescript_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/typescript"
)

// FuzzDeclaration declares a task with any identifier and values. It is refused, or its
// identifier and its union are string literals of the file, and nothing escapes from them.
func FuzzDeclaration(f *testing.F) {
	for _, text := range []string{"send_email", "", `"`, `\`, "a b", "*/", "</script>", "\u2028", "\ufeff", "${x}", "`", "constructor", "__proto__", "9", "é", "a\nb", "\x00", "\xff", "class", strings.Repeat("x", 129)} {
		f.Add(text, text, 0, 25)
	}
	f.Fuzz(func(t *testing.T, identifier, value string, priority, attempts int) {
		fuzzedUnion = typescript.Union(value, "b")
		task := admin.NewTask[fuzzedText](identifier, &admin.TaskOptions{Priority: &priority, MaxAttempts: &attempts, QueueName: &value, JobKey: &value})
		var file bytes.Buffer
		err := typescript.Write(&file, []admin.DeclaredTask{task}, nil)
		if (err != nil) != (task.Err() != nil) {
			t.Fatalf("%q: %v, and its error is %v", identifier, err, task.Err())
		}
		if err != nil {
			return
		}
		var line string
		for text := range strings.SplitSeq(file.String(), "\n") {
			if rest, ok := strings.CutPrefix(text, "      "); ok {
				if line != "" {
					t.Fatalf("%q has two lines:\n%s", identifier, &file)
				}
				line = rest
			}
		}
		for _, want := range []string{identifier, value, "b"} {
			got, rest := literal(t, line)
			if got != want {
				t.Fatalf("%q is read as %q in %s", want, got, line)
			}
			line = strings.TrimLeft(rest, ": |")
		}
		if line != ";" {
			t.Fatalf("%q ends with %q", identifier, line)
		}
	})
}

// literal reads a string literal or a name at the beginning of a line.
func literal(t *testing.T, line string) (text, rest string) {
	t.Helper()
	if !strings.HasPrefix(line, `"`) {
		end := strings.IndexFunc(line, func(r rune) bool {
			return r != '_' && r != '$' && !('0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z')
		})
		return line[:max(end, 0)], line[max(end, 0):]
	}
	decoder := json.NewDecoder(strings.NewReader(line))
	if err := decoder.Decode(&text); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return text, line[decoder.InputOffset():]
}

// fuzzedText is a payload whose TypeScript is fuzzedUnion.
type fuzzedText string

var fuzzedUnion string

func (fuzzedText) TypeScript() string { return fuzzedUnion }
