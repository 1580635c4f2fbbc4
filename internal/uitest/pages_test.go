package uitest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// The pages, by name.
var pages = []struct{ name, path string }{
	{"overview", ""},
	{"jobs", "jobs"},
	{"permafailed", "jobs?q=state%3Apermafailed"},
	{"syntax-error", "jobs?q=colour%3Ared"},
	{"no-job", "jobs?q=task%3Anone"},
	{"job", "jobs/1"},
	{"job-failed", "jobs/7"},
	{"job-stale", "jobs/12"},
	{"job-paused", "jobs/33"},
	{"queues", "queues"},
	{"tasks", "tasks"},
	{"workers", "workers"},
	{"crontabs", "crontabs"},
	{"operations", "operations"},
	{"add", "add?task=send_email"},
	{"error", "nowhere"},
	{"targets", "../targets/"},
	{"target", "../targets/t/eu/"},
}

// Every page fits every screen, in both colour schemes, says nothing on the console, and has
// no fault that axe-core finds.
func TestPages(t *testing.T) {
	b := open(t, nil, nil)
	b.seed()
	source, err := axe()
	if err != nil {
		t.Fatal(err)
	}
	b.to("")
	b.wait(`document.querySelector("#live").textContent === "live"`)
	for _, p := range pages {
		b.to(p.path)
		b.do(chromedp.Evaluate[chromedp.Void](source))
		for _, width := range []int64{360, 1024, 1920} {
			for _, scheme := range []string{"light", "dark"} {
				b.look(width, scheme)
				b.check(fmt.Sprintf("%s at %d, %s", p.name, width, scheme))
				b.picture(p.name, width, scheme)
			}
		}
	}
	b.quiet()
}

// check looks for what is wrong with the page that is shown.
func (b *browser) check(name string) {
	b.Helper()
	if wide := eval[string](b, `document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, pre, .hidden, .skip")).map(e => e.outerHTML.slice(0, 120)).slice(0, 3).join("\n") || "?" : ""`); wide != "" {
		b.Errorf("%s: it is wider than the screen:\n%s", name, wide)
	}
	var violations []struct {
		ID, Help string
		Nodes    []struct {
			HTML           string
			FailureSummary string
		}
	}
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`, func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }))
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &violations); err != nil {
		b.Fatal(err)
	}
	for _, v := range violations {
		b.Errorf("%s: axe says %s: %s\n%s\n%s", name, v.ID, v.Help, v.Nodes[0].HTML, v.Nodes[0].FailureSummary)
	}
}

// picture writes a picture of the page that is shown, if it is one of those in docs.
func (b *browser) picture(name string, width int64, scheme string) {
	b.Helper()
	if !*screenshots || strings.Contains(name, "error") || strings.HasPrefix(name, "no-") || name == "target" || !(width == 1024 && scheme == "light" || (name == "overview" || name == "jobs") && (width == 360 || width == 1024)) {
		return
	}
	file := name
	if width != 1024 {
		file += fmt.Sprint("-", width)
	}
	if scheme == "dark" {
		file += "-dark"
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join("..", "..", "docs", "ui")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, file+".png"), picture, 0o644); err != nil {
		b.Fatal(err)
	}
}
