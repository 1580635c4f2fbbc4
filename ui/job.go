package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/shell"
)

// A jobPage is the page of a job.
type jobPage struct {
	Job         *admin.ListedJob
	Explanation *admin.Explanation // nil: it is still being looked for
	History     []happening
	Tree        *node
	Raw         string
	Error       string // the last error, of which a long one is cut
	Cut         bool   // the payload is longer than what is shown
	Verbs       []*verb
	Duplicate   string // the address of the form that adds a job like it
}

// mostRaw is the greatest size of a payload or an error that is shown as text. A page is not
// to weigh more than 150 kB, also where nothing can be compressed.
const mostRaw = 32 << 10

// cutText returns at most so many bytes of a text, and whether that is less than all.
func cutText(text string, most int) (string, bool) {
	if len(text) <= most {
		return text, false
	}
	return strings.ToValidUTF8(text[:most], "") + "…", true
}

// jobID is the job's id in the address.
func jobID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, &statusError{http.StatusNotFound, errors.New("the address has no id of a job")}
	}
	return id, nil
}

func (h *Handler) job(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	text := r.PathValue("id")
	page, reload := jobPage{Verbs: verbs}, 0
	var now time.Time
	explained, at, err := readPatiently(r.Context(), &h.reads, "why "+text, time.Second, patience, func(ctx context.Context) (*admin.Explanation, error) {
		explanation, err := h.client.Explain(ctx, id)
		if err == nil && h.target != "" {
			for i, reason := range explanation.Reasons {
				explanation.Reasons[i].Do = shell.OnTarget(reason.Do, h.target)
			}
		}
		return explanation, err
	})
	if _, slow := errors.AsType[*slowError](err); slow { // without an index of held jobs, on a large table
		reload = 1
		page.Job, at, err = read(r.Context(), &h.reads, "job "+text, time.Second, func(ctx context.Context) (*admin.ListedJob, error) {
			return h.client.GetJob(ctx, id)
		})
	} else if err == nil {
		page.Explanation, page.Job, now = explained, new(explained.Job), explained.Now
	}
	if err != nil {
		return err
	}
	page.Job = new(*page.Job)
	h.redactJob(&page.Job.Job)
	page.History, page.Tree, page.Duplicate = history(page.Job), tree(page.Job.Payload), "add?"+duplicate(page.Job).Encode()
	page.Raw, page.Cut = cutText(indented(page.Job.Payload), mostRaw)
	page.Error, _ = cutText(deref(page.Job.LastError), mostRaw)
	return h.render(w, r, http.StatusOK, "job", view{
		Title: "Job " + text, Section: "jobs", Live: true, Reload: reload, Slow: reload > 0, AsOf: at, Now: now, Page: page,
		Snippet: snippet{
			Command: h.command("jobs explain", nil, text),
			Go:      "explanation, err := client.Explain(ctx, " + text + ")",
		},
	})
}

// downloadJob is a job as JSON, with all of its payload.
func (h *Handler) downloadJob(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	job, err := h.client.GetJob(r.Context(), id)
	if err != nil {
		return err
	}
	h.redactJob(&job.Job)
	job.Job = asJSON(job.Job)
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="job-%d.json"`, id))
	return writeJSON(w, job)
}

// duplicate fills the form that adds jobs with those of a job. The key is left out: with
// it the job itself would be replaced. The payload is not in the address, which logs and the
// browser keep.
func duplicate(job *admin.ListedJob) url.Values {
	values := url.Values{"payload_of": {strconv.FormatInt(job.ID, 10)}, "task": {job.TaskIdentifier}, "max_attempts": {strconv.Itoa(job.MaxAttempts)}, "priority": {strconv.Itoa(job.Priority)}}
	if job.QueueName != nil {
		values.Set("queue", *job.QueueName)
	}
	for _, flag := range job.Flags {
		values.Add("flag", flag)
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
