package ui

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"sync"
)

// previews are the forms of previews that take long, so that the browser can come back for
// them. The zero value is ready.
type previews struct {
	mu    sync.Mutex
	forms map[string]slowForm
	order []string
}

// A slowForm is what a user wants to see the preview of.
type slowForm struct {
	user string
	form url.Values
}

const mostPreviews = 100

func (p *previews) keep(id, user string, form url.Values) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forms == nil {
		p.forms = make(map[string]slowForm)
	}
	p.forms[id] = slowForm{user, form}
	if p.order = append(p.order, id); len(p.order) > mostPreviews {
		delete(p.forms, p.order[0])
		p.order = p.order[1:]
	}
}

func (p *previews) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.forms, id)
}

func (p *previews) find(r *http.Request) (id string, form url.Values, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id = r.PathValue("id")
	if found, ok := p.forms[id]; ok && found.user == User(r) {
		return id, found.form, nil
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
