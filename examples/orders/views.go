package main

import (
	"net/http"

	"github.com/gwadmin/gwadmin/examples/orders/tasks"
)

// countView adds a job for every view of a product. Views come in bursts, and belong to
// no transaction. The admin.Adder lets the jobs of requests that come together share a
// commit. The answer is sent when the job is committed.
func (s *service) countView(r *http.Request) (int, any, error) {
	product, err := pathID(r)
	if err != nil {
		return 0, nil, err
	}
	job, err := tasks.CountView.Add(r.Context(), s.views, tasks.View{Product: product}, nil)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, map[string]int64{"job": job.ID}, nil
}
