package check

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"mvdan.cc/sh/v3/syntax"
	"sigs.k8s.io/yaml"

	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
)

// Every gwadmin command in the files of deploy/ and in docs/deploying.md has verbs, flags and
// values of flags that the command knows.
func TestCommands(t *testing.T) {
	t.Parallel()
	binary := gwadmincmd.File(t)
	check := func(file string, commands [][]string) {
		t.Helper()
		if len(commands) == 0 {
			t.Errorf("%s has no command", file)
		}
		for _, args := range commands {
			got := gwadmincmd.Finish(t, exec.Command(binary, append(slices.Clone(args), "--help")...))
			_, usage, _ := strings.Cut(got.Stdout, "Usage:\n  ")
			usage, _, _ = strings.Cut(usage, "\n")
			if got.Code != 0 || !matches(strings.Fields(usage), args) {
				t.Errorf("%s: gwadmin %s: the usage is %q\n%s", file, strings.Join(args, " "), usage, got.Stderr)
			}
		}
	}
	for _, file := range append(files(t, "../kubernetes", ".yaml"), files(t, "../helm/testdata/golden", ".yaml")...) {
		var commands [][]string
		for _, document := range documents(t, read(t, file)) {
			walk(document, func(object map[string]any) {
				if image, _ := object["image"].(string); strings.HasPrefix(image, "ghcr.io/gwadmin/gwadmin") {
					commands = append(commands, texts(object["args"]))
				}
			})
		}
		check(file, commands)
	}
	for _, file := range []string{"../compose/docker-compose.yml"} {
		var commands [][]string
		walk(documents(t, read(t, file))[0], func(object map[string]any) {
			if image, _ := object["image"].(string); strings.HasPrefix(image, "ghcr.io/gwadmin/gwadmin") && object["command"] != nil {
				commands = append(commands, texts(object["command"]))
			}
		})
		for _, line := range regexp.MustCompile(`(?m)^ *# +docker compose run --rm migrate (.*)$`).FindAllStringSubmatch(read(t, file), -1) {
			commands = append(commands, inShell(t, "gwadmin "+line[1])...)
		}
		check(file, commands)
	}
	for _, file := range append(files(t, "../github", ".yml"), files(t, "../gitlab", ".yml")...) {
		var commands [][]string
		walk(documents(t, read(t, file))[0], func(object map[string]any) {
			for _, key := range []string{"run", "script", "before_script"} {
				for _, script := range texts(object[key]) {
					commands = append(commands, inShell(t, script)...)
				}
			}
		})
		if file != "../github/setup-gwadmin/action.yml" {
			check(file, commands)
		}
	}
	for _, file := range files(t, "../terraform", ".tf") {
		var commands [][]string
		for _, script := range inTerraform(t, file) {
			commands = append(commands, inShell(t, script)...)
		}
		check(file, commands)
	}
	code := regexp.MustCompile("(?s)```sh\n(.*?)```|`(gwadmin [a-z][^`]*)`")
	for _, file := range append(files(t, "..", ".md"), "../../docs/deploying.md") {
		var commands [][]string
		for _, match := range code.FindAllStringSubmatch(read(t, file), -1) {
			commands = append(commands, inShell(t, match[1]+match[2])...)
		}
		if len(commands) > 0 || strings.HasSuffix(file, "deploying.md") {
			check(file, commands)
		}
	}
}

// matches reports whether a usage, such as "gwadmin jobs add TASK [PAYLOAD] [flags]", is that of
// a command with these arguments: all verbs are known, and what follows them has a place.
func matches(usage, args []string) bool {
	if len(usage) == 0 || usage[0] != "gwadmin" {
		return false
	}
	for i, word := range usage[1:] {
		verb := regexp.MustCompile(`^[a-z]+$`).MatchString(word)
		switch {
		case !verb:
			return i > 0 && word != "[command]" && (word != "[flags]" || len(args) == i || strings.HasPrefix(args[i], "-"))
		case i >= len(args) || args[i] != word:
			return false
		}
	}
	return len(args) == len(usage)-1
}

// inShell returns the arguments of all gwadmin commands of a script.
func inShell(t testing.TB, script string) (commands [][]string) {
	t.Helper()
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(script), "")
	if err != nil {
		t.Fatalf("%v in\n%s", err, script)
	}
	syntax.Walk(file, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 || call.Args[0].Lit() != "gwadmin" {
			return true
		}
		args := []string{}
		for _, word := range call.Args[1:] {
			args = append(args, plain(word.Parts))
		}
		commands = append(commands, args)
		return true
	})
	return commands
}

// plain is the text of a word, with $ for what only a shell can tell.
func plain(parts []syntax.WordPart) (text string) {
	for _, part := range parts {
		switch part := part.(type) {
		case *syntax.Lit:
			text += part.Value
		case *syntax.SglQuoted:
			text += part.Value
		case *syntax.DblQuoted:
			text += plain(part.Parts)
		default:
			text += "$"
		}
	}
	return text
}

// inTerraform returns the commands of all provisioners of a file, which has no other syntax than
// Terraform's.
func inTerraform(t testing.TB, name string) (scripts []string) {
	t.Helper()
	file, problems := hclparse.NewParser().ParseHCLFile(name)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	var visit func(*hclsyntax.Body)
	visit = func(body *hclsyntax.Body) {
		for _, block := range body.Blocks {
			if command := block.Body.Attributes["command"]; block.Type == "provisioner" && command != nil {
				value, problems := command.Expr.Value(nil)
				if problems.HasErrors() || value.Type() != cty.String {
					t.Fatal(problems)
				}
				scripts = append(scripts, value.AsString())
			}
			visit(block.Body)
		}
	}
	visit(file.Body.(*hclsyntax.Body))
	return scripts
}

// documents are those of a YAML file that are not empty.
func documents(t testing.TB, text string) (found []any) {
	t.Helper()
	for _, part := range split(text) {
		var document any
		if err := yaml.UnmarshalStrict([]byte(part), &document); err != nil {
			t.Fatalf("%v in\n%s", err, part)
		}
		if document != nil {
			found = append(found, document)
		}
	}
	return found
}

func split(text string) []string {
	return regexp.MustCompile(`(?m)^---( .*)?$`).Split(text, -1)
}

// walk visits all objects within a value.
func walk(value any, visit func(map[string]any)) {
	switch value := value.(type) {
	case map[string]any:
		visit(value)
		for _, inner := range value {
			walk(inner, visit)
		}
	case []any:
		for _, inner := range value {
			walk(inner, visit)
		}
	}
}

// texts is a value as a list of texts.
func texts(value any) (list []string) {
	switch value := value.(type) {
	case string:
		list = append(list, value)
	case []any:
		for _, inner := range value {
			list = append(list, texts(inner)...)
		}
	}
	return list
}
