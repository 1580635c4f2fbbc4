package ui

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/crontab"
	"github.com/gwadmin/gwadmin/internal/dryrun"
)

// A crontabList is the page of cron items.
type crontabList struct {
	Items []cronRow
	Given bool // there is a crontab, see Options.Crontab
}

// A cronRow is a cron item.
type cronRow struct {
	crontab.Plan

	Then []time.Time // the runs after the next one
}

const runsThen = 2

func (h *Handler) crontabs(w http.ResponseWriter, r *http.Request) error {
	known, at, err := read(r.Context(), &h.reads, "crontabs", time.Second, h.client.Crontabs)
	if err != nil {
		return err
	}
	now, err := h.now(r.Context())
	if err != nil {
		return err
	}
	v := view{
		Title: "Crontabs", Section: "crontabs", Live: true, AsOf: at, Now: now,
		Snippet: snippet{Command: h.command("crontabs", nil), Go: "crontabs, err := client.Crontabs(ctx)"},
	}
	page := crontabList{Given: h.options.Crontab != nil}
	items, err := h.crontabItems()
	if err != nil { // what is recorded is shown all the same
		page.Given, v.Error = false, err.Error()
	} else if page.Given {
		v.Snippet.Command = h.command("crontabs", []string{"--file", "crontab"})
	}
	page.Items = cronRows(items, known, now)
	v.Page = page
	return h.render(w, r, http.StatusOK, "crontabs", v)
}

// cronRows are the items of the crontab, and those that are only recorded.
func cronRows(items []crontab.Item, known []admin.Crontab, now time.Time) []cronRow {
	plans := crontab.Plans(items, known, now)
	rows := make([]cronRow, len(plans))
	for i, plan := range plans {
		rows[i].Plan = plan
		if plan.NextRun == nil {
			continue
		}
		for at := *plan.NextRun; len(rows[i].Then) < runsThen; {
			if at = items[i].Next(at); at.IsZero() {
				break
			}
			rows[i].Then = append(rows[i].Then, at)
		}
	}
	return rows
}

// crontabItems are the items of the workers' crontab, if it is given.
func (h *Handler) crontabItems() ([]crontab.Item, error) {
	if h.options.Crontab == nil {
		return nil, nil
	}
	text, err := h.options.Crontab()
	if err != nil {
		return nil, fmt.Errorf("the crontab cannot be read: %w", err)
	}
	items, err := crontab.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the crontab, %w", err)
	}
	return items, nil
}

// A cronRun is the job of a cron item that would be added now.
type cronRun struct {
	Item   *crontab.Item
	Job    *admin.Job
	Before *admin.Job // the job that has the key
	Plight string     // why that is not updated; empty: it is
	Print  string     // of the item and its job, so that nothing else is added than was shown
	Raw    string     // the payload
}

// runCron adds the job of a cron item now. Its first answer is a preview.
func (h *Handler) runCron(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	item, err := h.cronItem(r.PostForm.Get("item"))
	if err != nil {
		return err
	}
	now, err := h.client.Now(ctx)
	if err != nil {
		return err
	}
	payload, options, err := item.Job(now)
	if err != nil {
		return err
	}
	v := view{Title: "Run a cron item now", Section: "crontabs"}
	previewed := r.PostForm.Get("previewed")
	if previewed == printOf(item) {
		job, _, err := dryrun.AddJob(ctx, h.client, false, item.Task, payload, options)
		attributes := []slog.Attr{slog.String("item", item.Identifier)}
		if job != nil {
			attributes = append(attributes, slog.Int64("job", job.ID))
		}
		h.logChange(ctx, "run cron item", User(r), err, attributes...)
		if err != nil {
			return err
		}
		h.reads.forget()
		return redirect(w, r, fmt.Sprintf("jobs/%d", job.ID))
	}
	if previewed != "" {
		v.Error = "The crontab has changed since the preview: this is what would be added now."
	}
	job, before, err := dryrun.AddJob(ctx, h.client, true, item.Task, payload, options)
	if err != nil {
		return err
	}
	run := cronRun{Item: item, Job: job, Before: before, Print: printOf(item)}
	if before != nil && job.ID != before.ID {
		run.Plight = "a worker holds it"
		if before.LockedBy == nil {
			run.Plight = "it has failed for good"
		}
	}
	h.redactJob(job)
	run.Raw = indented(job.Payload)
	v.Page, v.Now = run, now
	v.Snippet = snippet{Command: h.command("crontabs run", []string{"--file", "crontab"}, item.Identifier)}
	if h.options.Redact == nil {
		v.Snippet.Go = h.addSnippet(addForm(item, payload)).Go
	}
	return h.render(w, r, http.StatusOK, "cronrun", v)
}

// cronItem finds an item of the crontab.
func (h *Handler) cronItem(identifier string) (*crontab.Item, error) {
	items, err := h.crontabItems()
	if err != nil {
		return nil, badInput(err)
	}
	for i := range items {
		if items[i].Identifier == identifier {
			return &items[i], nil
		}
	}
	if h.options.Crontab == nil {
		return nil, badInput(errors.New("this page has no crontab: start gwadmin ui with --crontab FILE, or set ui.Options.Crontab"))
	}
	return nil, &statusError{http.StatusNotFound, fmt.Errorf("the crontab has no item %q", identifier)}
}

// printOf tells an item from the same item with another payload or other options.
func printOf(item *crontab.Item) string {
	text, _ := json.Marshal(item)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// addForm is the form that adds the job of a cron item.
func addForm(item *crontab.Item, payload json.RawMessage) map[string][]string {
	form := map[string][]string{"task": {item.Task}, "payload": {string(payload)}}
	set := func(name string, value *string) {
		if value != nil {
			form[name] = []string{*value}
		}
	}
	number := func(name string, value *int) {
		if value != nil {
			form[name] = []string{fmt.Sprint(*value)}
		}
	}
	set("queue", item.QueueName)
	set("key", item.JobKey)
	set("mode", item.JobKeyMode)
	number("priority", item.Priority)
	number("max_attempts", item.MaxAttempts)
	return form
}

// cronTimes writes the runs after the next one.
func cronTimes(runs []time.Time) string {
	texts := make([]string, len(runs))
	for i, at := range runs {
		texts[i] = at.UTC().Format("2006-01-02 15:04 UTC")
	}
	return strings.Join(texts, ", ")
}
