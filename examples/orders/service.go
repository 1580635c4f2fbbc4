package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
)

const (
	requestTimeout = 10 * time.Second
	maxBody        = 64 << 10
)

// A service answers the requests.
type service struct {
	pool   *pgxpool.Pool
	client *admin.Client
	views  admin.JobAdder // an *admin.Adder; in a test a fake
}

// routes returns the handler of all requests. It refuses those that a browser sends for
// another site.
func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", handle(s.placeOrder))
	mux.HandleFunc("GET /orders/{id}", handle(s.getOrder))
	mux.HandleFunc("PUT /orders/{id}/email", handle(s.setEmail))
	mux.HandleFunc("POST /products/{id}/views", handle(s.countView))
	mux.HandleFunc("GET /admin/failed", handle(s.listFailed))
	mux.HandleFunc("POST /admin/retry", handle(s.retryFailed))
	return http.NewCrossOriginProtection().Handler(mux)
}

// handle makes a handler of a function that returns the status and the body of the
// answer, or an error.
func handle(answer func(r *http.Request) (status int, body any, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		status, body, err := answer(r)
		if err != nil {
			var text string
			if status, text = problem(err); status >= 500 {
				slog.ErrorContext(ctx, "request failed", "route", r.Pattern, "err", err)
			}
			body = map[string]string{"error": text}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // fails if the client has gone
	}
}

// errMistake is a mistake of the client's.
type errMistake struct{ text string }

func (e errMistake) Error() string { return e.text }

func mistake(format string, args ...any) error { return errMistake{fmt.Sprintf(format, args...)} }

// problem returns the status and the text of the answer to a request that failed.
func problem(err error) (status int, text string) {
	_, mistaken := errors.AsType[errMistake](err)
	_, refused := errors.AsType[*pgconn.PgError](err)
	switch {
	case mistaken || errors.Is(err, admin.ErrInvalid):
		return http.StatusBadRequest, err.Error()
	case errors.Is(err, pgx.ErrNoRows):
		return http.StatusNotFound, "there is no such order"
	case refused:
		return http.StatusInternalServerError, "this should not happen, and is in the log"
	}
	return http.StatusServiceUnavailable, "the database does not answer: look whether the change was made before you send it again"
}

// decode reads the body of a request. It takes one JSON value without unknown fields.
func decode(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		if of, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return mistake("read the body as JSON: %q is of another type", of.Field)
		}
		return mistake("read the body as JSON: %v", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return mistake("read the body as JSON: there is more after the first value")
	}
	return nil
}

// pathID returns the {id} in a request's path.
func pathID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, mistake("the id in the path must be a whole number, 1 or more")
	}
	return id, nil
}
