package ui

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/gwadmin/gwadmin/admin"
)

// A queueList is the page of queues.
type queueList struct {
	Queues []admin.Queue
	Counts map[string]admin.Counts
	// Exact says that a queue without a number has no job. Estimate is nil then.
	Exact    bool
	Estimate *admin.Estimate
	Prefix   string
	Only     string
	Next     string
}

const queuesPerPage = 100

func (h *Handler) queues(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	list := queueList{Prefix: query.Get("name"), Only: query.Get("only")}
	options := &admin.ListQueuesOptions{Prefix: list.Prefix, After: query.Get("after"), Limit: queuesPerPage + 1, Locked: list.Only == "locked"}
	queues, at, err := read(r.Context(), &h.reads, "queues?"+query.Encode(), listIsNew, func(ctx context.Context) ([]admin.Queue, error) {
		return h.client.ListQueues(ctx, options)
	})
	if err != nil {
		return err
	}
	snapshot, err := h.snapshot(r.Context())
	if err != nil {
		return err
	}
	if len(queues) > queuesPerPage {
		next := url.Values{"name": {list.Prefix}, "only": {list.Only}, "after": {queues[queuesPerPage-1].Name}}
		queues, list.Next = queues[:queuesPerPage], "queues?"+next.Encode()
	}
	list.Queues = queues
	if snapshot.Counts.Stats != nil {
		list.Counts, list.Estimate = snapshot.Counts.Stats.Queues, snapshot.Counts.Stats.Estimate
		list.Exact = list.Estimate == nil
	}
	return h.render(w, r, http.StatusOK, "queues", view{
		Title: "Queues", Section: "queues", Live: true, Reload: unread(snapshot.Counts.Part), AsOf: at, Now: h.clock(snapshot), Page: list,
		Snippet: snippet{h.command("queues", nil), "queues, err := client.Queues(ctx)"},
	})
}

// pause pauses a queue.
func (h *Handler) pause(w http.ResponseWriter, r *http.Request) error {
	queue := r.PostForm.Get("queue")
	result, err := h.client.PauseQueue(r.Context(), queue, &admin.PauseOptions{Reason: r.PostForm.Get("reason")})
	h.logChange(r.Context(), "pause queue", User(r), err, slog.String("queue", queue))
	if err != nil {
		return err
	}
	h.reads.forget()
	return redirect(w, r, "queues?"+url.Values{"name": {result.Queue}}.Encode())
}

// resume lets workers take the jobs of a queue again.
func (h *Handler) resume(w http.ResponseWriter, r *http.Request) error {
	queue := r.PostForm.Get("queue")
	_, err := h.client.ResumeQueue(r.Context(), queue, nil)
	h.logChange(r.Context(), "resume queue", User(r), err, slog.String("queue", queue))
	if err != nil {
		return err
	}
	h.reads.forget()
	return redirect(w, r, "queues?"+url.Values{"name": {queue}}.Encode())
}
