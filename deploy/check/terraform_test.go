package check

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
	"github.com/gwadmin/gwadmin/internal/pgtest"
)

// The file is formatted, its blocks have the arguments that Terraform knows, each reference is to
// something in it, and its commands migrate and grant.
func TestTerraform(t *testing.T) {
	t.Parallel()
	const name = "../terraform/main.tf"
	text := read(t, name)
	if string(hclwrite.Format([]byte(text))) != text {
		t.Errorf("%s is not formatted", name)
	}
	file, problems := hclparse.NewParser().ParseHCLFile(name)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	schema := map[string]string{ // block and its arguments and blocks
		"variable":                            "description type sensitive default validation",
		"variable validation":                 "condition error_message",
		"resource terraform_data":             "for_each triggers_replace provisioner",
		"resource terraform_data provisioner": "command environment",
		"output":                              "description value sensitive",
	}
	known := map[string]bool{"each.value": true, "each.key": true, "string": true, "bool": true, "map": true}
	var references []hcl.Traversal
	var visit func(string, *hclsyntax.Body)
	visit = func(path string, body *hclsyntax.Body) {
		for _, attribute := range body.Attributes {
			if !slices.Contains(strings.Fields(schema[path]), attribute.Name) {
				t.Errorf("%s has no argument %s", path, attribute.Name)
			}
			if attribute.Name != "type" {
				references = append(references, attribute.Expr.Variables()...)
			}
		}
		for _, block := range body.Blocks {
			inner := block.Type
			switch {
			case path != "":
				inner = path + " " + inner
				if !slices.Contains(strings.Fields(schema[path]), block.Type) {
					t.Errorf("%s has no block %s", path, block.Type)
				}
			case block.Type == "variable":
				known["var."+block.Labels[0]] = true
			case block.Type == "resource":
				inner += " " + block.Labels[0]
				known[strings.Join(block.Labels, ".")] = true
			}
			if _, ok := schema[inner]; !ok {
				t.Errorf("%s is unknown", inner)
			}
			visit(inner, block.Body)
		}
	}
	visit("", file.Body.(*hclsyntax.Body))
	for _, reference := range references {
		var path []string
		for _, part := range reference {
			switch part := part.(type) {
			case hcl.TraverseRoot:
				path = append(path, part.Name)
			case hcl.TraverseAttr:
				path = append(path, part.Name)
			}
		}
		if to := strings.Join(path[:2], "."); !known[to] {
			t.Errorf("there is no %s", to)
		}
	}

	database, ran := pgtest.URL(t, nil), 0
	path := onPath(t, map[string]string{"gwadmin": gwadmincmd.File(t)})
	for _, script := range inTerraform(t, name) {
		ran++
		cmd := exec.Command("sh", "-c", script)
		cmd.Env = gwadmincmd.Env(path, "DATABASE_URL="+database, "KIND=reader", "ROLE=pg_monitor")
		if got := gwadmincmd.Finish(t, cmd); got.Code != 0 {
			t.Errorf("%s: %d\n%s%s", script, got.Code, got.Stdout, got.Stderr)
		}
	}
	if ran != 2 {
		t.Errorf("%d commands ran, want 2", ran)
	}
}
