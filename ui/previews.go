package ui

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
)

// previews are the forms of previews that take long, so that the browser can come back for
// them. The zero value is ready.
type previews struct {
	mu   sync.Mutex
	kept []slowForm // the oldest first
}

// A slowForm is what a user wants to see the preview of.
type slowForm struct {
	id, user string
	form     url.Values
}

const mostPreviews = 100

func (p *previews) keep(id, user string, form url.Values) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept = append(p.kept, slowForm{id, user, form}); len(p.kept) > mostPreviews {
		p.kept = p.kept[1:]
	}
}

func (p *previews) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = slices.DeleteFunc(p.kept, func(f slowForm) bool { return f.id == id })
}

func (p *previews) find(r *http.Request) (id string, form url.Values, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.kept {
		if f.id == r.PathValue("id") && f.user == User(r) {
			return f.id, f.form, nil
		}
	}
	return "", nil, &statusError{http.StatusNotFound, errors.New("there is no such preview any more: select the jobs again")}
}

func newPreviewID() string { return rand.Text() }

// slowPreview shows a preview that took long, or that it still runs.
func (h *Handler) slowPreview(w http.ResponseWriter, r *http.Request) error {
	id, form, err := h.previews.find(r)
	if err != nil {
		return err
	}
	v := findVerb(form.Get("verb"))
	if err := h.may(r, v.Action); err != nil {
		return &forbiddenError{err}
	}
	r.PostForm = form
	return h.showPreview(w, r, v, id, http.StatusOK, nil)
}

// stopPreview cancels a preview that still runs, in PostgreSQL too.
func (h *Handler) stopPreview(w http.ResponseWriter, r *http.Request) error {
	id, form, err := h.previews.find(r)
	if err != nil {
		return err
	}
	h.previews.forget(id)
	h.reads.cancel("preview " + id)
	return redirect(w, r, "jobs?"+url.Values{"q": {form.Get("q")}}.Encode())
}
