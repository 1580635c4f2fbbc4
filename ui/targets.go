package ui

import (
	"context"
	"log/slog"
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
	own := http.NewServeMux()
	own.Handle("GET /static/", static())
	own.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r, ok := first.admit(w, r); ok {
			listTargets(w, r, targets)
		}
	})
	mux.Handle("/", secured(compressed(own)))
	return mux
}

const (
	targetWait = 3 * time.Second // how long the list waits for a queue
	targetsAge = 10              // seconds after which the list loads again
)

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
	if err := write(w, http.StatusOK, "targets", view{Title: "Targets", Root: "./", User: User(r), Reload: targetsAge, Page: rows}); err != nil {
		targets[0].Handler.log.LogAttrs(r.Context(), slog.LevelError, "admin page", slog.Any("error", err))
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
	}
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
