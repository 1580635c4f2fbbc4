package main

import (
	"net/http"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/examples/orders/tasks"
)

// failed are the jobs of this service that have failed: those that no worker holds, and
// one has taken before. Unless they are Permafailed they will run again by themselves.
var failed = admin.Filter{
	TaskIdentifiers: admin.Identifiers(tasks.All...),
	States:          []admin.State{admin.Retrying, admin.Ready, admin.Waiting, admin.Permafailed},
	Attempts:        admin.IntRange{From: new(1)},
}

// listFailed returns a page of the failed jobs. ?cursor= is "next" of the page before.
func (s *service) listFailed(r *http.Request) (int, any, error) {
	page, err := s.client.ListJobs(r.Context(), failed, &admin.ListOptions{
		Cursor:       r.URL.Query().Get("cursor"),
		PayloadBytes: 1000,
	})
	return http.StatusOK, page, err
}

// retryFailed gives failed jobs all their attempts again. It leaves alone, and does not
// count as matched, what is not a failed job of this service.
func (s *service) retryFailed(r *http.Request) (int, any, error) {
	var body struct {
		IDs []int64 `json:"ids"`
	}
	if err := decode(r, &body); err != nil {
		return 0, nil, err
	}
	if len(body.IDs) == 0 || len(body.IDs) > admin.MaxPageSize {
		return 0, nil, mistake("ids must be 1 to %d ids of jobs", admin.MaxPageSize)
	}
	chosen := failed
	chosen.IDs = body.IDs
	result, err := s.client.RetryWhere(r.Context(), chosen, &admin.WhereOptions{Sample: new(admin.MaxPageSize)})
	return http.StatusOK, result, err
}
