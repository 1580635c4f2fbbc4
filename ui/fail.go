package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/admin"
)

// A statusError is an error with the status of the answer.
type statusError struct {
	status int
	error
}

func (e *statusError) Unwrap() error { return e.error }

var errNoPage = &statusError{http.StatusNotFound, errors.New("there is no such page")}

// errClosing is the error of what cannot be started after [Handler.Close].
var errClosing = &statusError{http.StatusServiceUnavailable, errors.New("the server is ending: nothing was changed")}

// badInput is an error about what the user typed.
func badInput(err error) error { return &statusError{http.StatusUnprocessableEntity, err} }

// A forbiddenError says why a request was refused.
type forbiddenError struct{ error }

func (e *forbiddenError) Unwrap() error { return e.error }

// fail shows an error on a page of its own.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the browser has gone
	}
	status, text := h.explain(r, err)
	v := view{Title: http.StatusText(status), Error: text}
	v.again(r, status)
	if renderErr := h.render(w, r, status, "error", v); renderErr != nil {
		http.Error(w, text, status)
	}
}

// again makes a page that shows that the database does not answer load again, and say so.
func (v *view) again(r *http.Request, status int) {
	if r.Method == http.MethodGet && (status == http.StatusBadGateway || status == http.StatusGatewayTimeout) {
		v.Reload = 5
		v.Error += " The page tries again by itself."
	}
}

// explain returns the status of an error and its text for people. A server error is
// logged.
func (h *Handler) explain(r *http.Request, err error) (status int, text string) {
	if coded, ok := errors.AsType[*statusError](err); ok {
		return coded.status, coded.Error()
	}
	if refused, ok := errors.AsType[*forbiddenError](err); ok {
		return http.StatusForbidden, refused.Error()
	}
	if _, ok := errors.AsType[*admin.InvalidError](err); ok {
		return http.StatusUnprocessableEntity, err.Error()
	}
	if errors.Is(err, admin.ErrJobNotFound) {
		return http.StatusNotFound, "There is no such job. A worker may have completed it, which deletes it."
	}
	status = http.StatusInternalServerError
	_, unconnected := errors.AsType[*pgconn.ConnectError](err)
	_, cut := errors.AsType[*net.OpError](err)
	refusal, answered := errors.AsType[*pgconn.PgError](err)
	unknown, isUnknown := errors.AsType[*admin.OutcomeUnknownError](err)
	switch {
	case isUnknown:
		text = unknownText(unknown.Sent)
	case errors.Is(err, context.DeadlineExceeded):
		status, text = http.StatusGatewayTimeout, "The database did not answer in time."
	case unconnected || !answered && (pgconn.Timeout(err) || cut || errors.Is(err, io.ErrUnexpectedEOF)) || answered && strings.HasPrefix(refusal.Code, "57P"):
		status, text = http.StatusBadGateway, "The database cannot be reached."
	case answered && refusal.Code == "57014":
		status, text = http.StatusServiceUnavailable, "The database has cancelled the statement, because of a timeout or on demand."
	case answered && refusal.Code == "42501":
		status, text = http.StatusForbidden, "The database role of this page has not the right to do that: see gwadmin migrate grants."
	default:
		text = err.Error()
	}
	h.log.LogAttrs(r.Context(), slog.LevelError, "request failed",
		append([]slog.Attr{slog.String("path", r.URL.Path), slog.Int("status", status), slog.String("user", User(r))}, failure(err)...)...)
	return status, text
}

// unknownText says what was sent, and where to look.
func unknownText(sent admin.Sent) string {
	what := cmp.Or(sent.String(), "the change")
	if ids := strings.Fields(strings.Trim(fmt.Sprint(sent.IDs), "[]")); len(ids) > 10 {
		what += " (" + strings.Join(ids[:10], ", ") + ", …)"
	} else if len(ids) > 0 {
		what += " (" + strings.Join(ids, ", ") + ")"
	}
	look := "Look at the jobs"
	switch {
	case sent.Queues > 0:
		look = "Look at the queues"
	case sent.Workers > 0:
		look = "Look at the workers"
	case sent.Batch > 0:
		look = "Select the same jobs again to see which are left"
	case sent.IDs == nil:
		look = "Look at the newest jobs"
	}
	return "The database did not answer, and nobody knows whether it has done what was sent to it: " + what + ". " + look + " before you repeat it."
}

// failure is what is logged of an error. It has nothing of its text.
func failure(err error) (attributes []slog.Attr) {
	if refusal, ok := errors.AsType[*pgconn.PgError](err); ok {
		attributes = append(attributes, slog.String("sqlstate", refusal.Code))
	}
	if unknown, ok := errors.AsType[*admin.OutcomeUnknownError](err); ok {
		attributes = append(attributes, slog.Bool("unknown", true), slog.String("sent", unknown.Sent.String()))
	}
	return attributes
}
