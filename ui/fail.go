package ui

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

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
	if renderErr := h.render(w, r, status, "error", view{Title: http.StatusText(status), Error: text}); renderErr != nil {
		http.Error(w, text, status)
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
	refusal, answered := errors.AsType[*pgconn.PgError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		status, text = http.StatusGatewayTimeout, "The database did not answer in time."
	case unconnected || !answered && pgconn.Timeout(err):
		status, text = http.StatusBadGateway, "The database cannot be reached. The page tries again by itself."
	case answered && refusal.Code == "57014":
		status, text = http.StatusServiceUnavailable, "The database has cancelled the statement, because of a timeout or on demand."
	case answered && refusal.Code == "42501":
		status, text = http.StatusForbidden, "The database role of this page has not the right to do that: see gwadmin migrate grants."
	default:
		text = err.Error()
	}
	class := ""
	if answered {
		class = refusal.Code
	}
	h.log.LogAttrs(r.Context(), slog.LevelError, "request failed",
		slog.String("path", r.URL.Path), slog.Int("status", status), slog.String("sqlstate", class), slog.String("user", User(r)))
	return status, text
}
