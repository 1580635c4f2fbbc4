package ui

import (
	"context"
	"html/template"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// A Target is one of several queues, on the page of [Targets].
type Target struct {
	Name    string // letters, digits, dots, hyphens and underscores: a part of addresses
	Handler *Handler
}

// Targets returns a handler that lists the queues, and serves the page of each under t/NAME/.
// A queue that cannot be read is listed with the reason, and one that Authorize of its handler
// does not let the user view is left out. The list authenticates as the first handler does.
// Call it before the handlers serve, and with at least one.
func Targets(targets ...Target) http.Handler {
	mux := http.NewServeMux()
	for _, t := range targets {
		t.Handler.target = t.Name
		mux.Handle("/t/"+t.Name+"/", http.StripPrefix("/t/"+t.Name, t.Handler))
	}
	first := targets[0].Handler
	mux.Handle("/", secured(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r, ok := first.admit(w, r); ok {
			listTargets(w, r, targets)
		}
	})))
	return mux
}

// targetWait is how long the list waits for a queue.
const targetWait = 3 * time.Second

// A targetRow is a queue in the list.
type targetRow struct {
	Name, Schema string
	Due          string // jobs that are due and not taken; empty: not known
	Oldest       *moment
	Failed       string // permafailed jobs
	Problems     []problem
	Error        string
}

func listTargets(w http.ResponseWriter, r *http.Request, targets []Target) {
	shown := slices.DeleteFunc(slices.Clone(targets), func(t Target) bool { return t.Handler.may(r, View) != nil })
	switch {
	case len(shown) == 0:
		http.Error(w, targets[0].Handler.may(r, View).Error(), http.StatusForbidden)
		return
	case r.URL.Path != "/":
		http.NotFound(w, r)
		return
	}
	rows := make([]targetRow, len(shown))
	var reading sync.WaitGroup
	for i, t := range shown {
		reading.Go(func() { rows[i] = t.row(r) })
	}
	reading.Wait()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = targetsPage.Execute(w, map[string]any{"Rows": rows, "Assets": assets, "Static": "t/" + shown[0].Name + "/static/", "User": User(r)})
}

// row reads a queue for the list.
func (t Target) row(r *http.Request) targetRow {
	ctx, cancel := context.WithTimeout(r.Context(), targetWait)
	defer cancel()
	row := targetRow{Name: t.Name, Schema: t.Handler.client.Schema()}
	s, err := t.Handler.snapshot(ctx)
	if err == nil {
		err = s.Due.Err
	}
	if err != nil {
		_, row.Error = t.Handler.explain(r, err)
		return row
	}
	row.Problems = problems(s)
	if s.Due.AsOf != nil {
		row.Due = number(s.Due.Jobs)
		if s.Due.Jobs > 10_000 {
			row.Due += "+"
		}
		if s.Due.OldestReady != nil {
			row.Oldest = ago(s.Due.OldestReady, *s.Due.AsOf)
		}
	}
	if s.Counts.Stats != nil {
		row.Failed = number(s.Counts.Stats.Jobs[admin.Permafailed])
	}
	return row
}

var targetsPage = template.Must(template.New("targets").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Targets</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="{{.Static}}icon.svg?{{.Assets}}" type="image/svg+xml">
<link rel="stylesheet" href="{{.Static}}style.css?{{.Assets}}">
<meta http-equiv="refresh" content="10">
</head>
<body>
<main id="main">
<h1>Targets</h1>
<div class="scroll" tabindex="0" role="region" aria-label="Targets">
<table class="list"><thead><tr><th scope="col">Target</th><th scope="col">Schema</th><th scope="col" class="num">Due, not taken</th><th scope="col">Oldest ready</th><th scope="col" class="num">Permafailed</th><th scope="col">Needs a look</th></tr></thead>
<tbody>{{range .Rows}}<tr><td data-label="Target"><a href="t/{{.Name}}/">{{.Name}}</a></td><td data-label="Schema">{{.Schema}}</td>
{{- if .Error}}<td colspan="4" data-label="Needs a look"><strong>{{.Error}}</strong></td>
{{- else}}<td class="num" data-label="Due, not taken">{{or .Due "–"}}</td><td data-label="Oldest ready">{{with .Oldest}}<time datetime="{{.Machine}}" title="{{.Exact}}">{{.Relative}}</time>{{else}}–{{end}}</td>
<td class="num" data-label="Permafailed">{{or .Failed "–"}}</td><td data-label="Needs a look">{{range .Problems}}{{.Title}} {{end}}</td>{{end}}</tr>{{end}}</tbody></table>
</div>
</main>
<footer><p>{{with .User}}Signed in as {{.}}. {{end}}</p></footer>
</body>
</html>
`))
