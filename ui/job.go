package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// A jobPage is the page of a job.
type jobPage struct {
	Job         *admin.ListedJob
	Explanation *admin.Explanation
	History     []happening
	Tree        *node
	Raw         string
	Verbs       []*verb
	Duplicate   string // the address of the form that adds a job like it
}

// mostRaw is the greatest size of a payload that is shown as text.
const mostRaw = 256 << 10

func (h *Handler) job(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return &statusError{http.StatusNotFound, errors.New("the address has no id of a job")}
	}
	explained, at, err := read(r.Context(), &h.reads, "job "+r.PathValue("id"), time.Second, func(ctx context.Context) (*admin.Explanation, error) {
		return h.client.Explain(ctx, id)
	})
	if err != nil {
		return err
	}
	job := explained.Job
	h.redactJob(&job.Job)
	page := jobPage{Job: &job, Explanation: explained, History: history(&job), Tree: tree(job.Payload), Verbs: verbs, Duplicate: "add?" + duplicate(&job).Encode()}
	if page.Raw = indented(job.Payload); len(page.Raw) > mostRaw {
		page.Raw = page.Raw[:mostRaw] + "…"
	}
	text := r.PathValue("id")
	return h.render(w, r, http.StatusOK, "job", view{
		Title: "Job " + text, Section: "jobs", Live: true, AsOf: at, Now: explained.Now, Page: page,
		Snippet: snippet{
			Command: h.command("jobs", "explain", text),
			Go:      "explanation, err := client.Explain(ctx, " + text + ")",
		},
	})
}

// duplicate fills the form that adds jobs with those of a job. The key is left out: with
// it the job itself would be replaced.
func duplicate(job *admin.ListedJob) url.Values {
	values := url.Values{"task": {job.TaskIdentifier}, "max_attempts": {strconv.Itoa(job.MaxAttempts)}, "priority": {strconv.Itoa(job.Priority)}}
	if job.QueueName != nil {
		values.Set("queue", *job.QueueName)
	}
	for _, flag := range job.Flags {
		values.Add("flag", flag)
	}
	if len(job.Payload) <= 4096 { // addresses are bounded
		values.Set("payload", string(job.Payload))
	} else {
		values.Set("payload_of", strconv.FormatInt(job.ID, 10))
	}
	return values
}

// A happening is what the row of a job tells of its past. Graphile Worker keeps no log.
type happening struct {
	At   time.Time
	What string
}

func history(job *admin.ListedJob) []happening {
	all := []happening{{job.CreatedAt, "created"}}
	if !job.UpdatedAt.Equal(job.CreatedAt) {
		what := "last updated"
		if job.Revision > 0 {
			what += ", after its key had updated it " + counted(int64(job.Revision), "time")
		}
		all = append(all, happening{job.UpdatedAt, what})
	}
	if job.LockedAt != nil {
		all = append(all, happening{*job.LockedAt, fmt.Sprintf("taken by %s, as attempt %d of %d", deref(job.LockedBy), job.Attempts, job.MaxAttempts)})
	}
	slices.SortStableFunc(all, func(a, b happening) int { return a.At.Compare(b.At) })
	return all
}
