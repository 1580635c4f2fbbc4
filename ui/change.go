package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// A verb changes jobs.
type verb struct {
	Name        string
	Title       string
	Past        string // what the jobs are then
	Help        string
	Action      Action
	Destructive bool // it asks for the number that the preview showed
	Fields      bool // it needs values, see reschedule

	byIDs    func(c *admin.Client, ctx context.Context, ids []int64, form url.Values, options *admin.ChangeOptions) (*admin.ChangeResult, error)
	byFilter func(c *admin.Client, ctx context.Context, filter admin.Filter, form url.Values, options *admin.WhereOptions) (*admin.ChangeResult, error)
	words    func(form url.Values) (flags []string, method, argument string) // for the snippet
}

var verbs = []*verb{
	{
		Name: "retry", Title: "Retry", Past: "given all attempts again, due now", Action: Retry,
		Help: "Workers run the jobs again as soon as they can, with all attempts.",
		byIDs: func(c *admin.Client, ctx context.Context, ids []int64, _ url.Values, o *admin.ChangeOptions) (*admin.ChangeResult, error) {
			return c.RetryJobs(ctx, ids, o)
		},
		byFilter: func(c *admin.Client, ctx context.Context, f admin.Filter, _ url.Values, o *admin.WhereOptions) (*admin.ChangeResult, error) {
			return c.RetryWhere(ctx, f, o)
		},
		words: func(url.Values) ([]string, string, string) { return nil, "Retry", "" },
	},
	{
		Name: "reschedule", Title: "Reschedule", Past: "rescheduled", Action: Reschedule, Fields: true,
		Help: "Change when the jobs run, and how often. What is left empty stays as it is.",
		byIDs: func(c *admin.Client, ctx context.Context, ids []int64, form url.Values, o *admin.ChangeOptions) (*admin.ChangeResult, error) {
			values, err := rescheduleValues(form)
			if err != nil {
				return nil, err
			}
			return c.RescheduleJobs(ctx, ids, values, o)
		},
		byFilter: func(c *admin.Client, ctx context.Context, f admin.Filter, form url.Values, o *admin.WhereOptions) (*admin.ChangeResult, error) {
			values, err := rescheduleValues(form)
			if err != nil {
				return nil, err
			}
			return c.RescheduleWhere(ctx, f, values, o)
		},
		words: rescheduleWords,
	},
	{
		Name: "hold", Title: "Hold", Past: "put on hold", Action: Hold,
		Help: "No worker takes the jobs until they are released. For all jobs of a queue, pause the queue.",
		byIDs: func(c *admin.Client, ctx context.Context, ids []int64, _ url.Values, o *admin.ChangeOptions) (*admin.ChangeResult, error) {
			return c.HoldJobs(ctx, ids, o)
		},
		byFilter: func(c *admin.Client, ctx context.Context, f admin.Filter, _ url.Values, o *admin.WhereOptions) (*admin.ChangeResult, error) {
			return c.HoldWhere(ctx, f, o)
		},
		words: func(url.Values) ([]string, string, string) { return nil, "Hold", "" },
	},
	{
		Name: "release", Title: "Release", Past: "released", Action: Release,
		Help: "Jobs on hold get back the time at which they were to run.",
		byIDs: func(c *admin.Client, ctx context.Context, ids []int64, _ url.Values, o *admin.ChangeOptions) (*admin.ChangeResult, error) {
			return c.ReleaseJobs(ctx, ids, o)
		},
		byFilter: func(c *admin.Client, ctx context.Context, f admin.Filter, _ url.Values, o *admin.WhereOptions) (*admin.ChangeResult, error) {
			return c.ReleaseWhere(ctx, f, o)
		},
		words: func(url.Values) ([]string, string, string) { return nil, "Release", "" },
	},
	{
		Name: "fail", Title: "Fail", Past: "failed permanently", Action: Fail, Destructive: true,
		Help: "No worker takes the jobs again, until somebody retries them.",
		byIDs: func(c *admin.Client, ctx context.Context, ids []int64, form url.Values, o *admin.ChangeOptions) (*admin.ChangeResult, error) {
			return c.FailJobs(ctx, ids, reason(form), o)
		},
		byFilter: func(c *admin.Client, ctx context.Context, f admin.Filter, form url.Values, o *admin.WhereOptions) (*admin.ChangeResult, error) {
			return c.FailWhere(ctx, f, reason(form), o)
		},
		words: func(form url.Values) ([]string, string, string) {
			if why := reason(form); why != nil {
				return []string{"--reason", *why}, "Fail", "new(" + strconv.Quote(*why) + ")"
			}
			return nil, "Fail", "nil"
		},
	},
	{
		Name: "complete", Title: "Complete", Past: "completed, and so deleted", Action: Complete, Destructive: true,
		Help: "The jobs are deleted, as if they had run.",
		byIDs: func(c *admin.Client, ctx context.Context, ids []int64, _ url.Values, o *admin.ChangeOptions) (*admin.ChangeResult, error) {
			return c.CompleteJobs(ctx, ids, o)
		},
		byFilter: func(c *admin.Client, ctx context.Context, f admin.Filter, _ url.Values, o *admin.WhereOptions) (*admin.ChangeResult, error) {
			return c.CompleteWhere(ctx, f, o)
		},
		words: func(url.Values) ([]string, string, string) { return nil, "Complete", "" },
	},
}

func reason(form url.Values) *string {
	if text := strings.TrimSpace(form.Get("reason")); text != "" {
		return &text
	}
	return nil
}

// rescheduleValues reads the fields of a rescheduling.
func rescheduleValues(form url.Values) (admin.RescheduleValues, error) {
	var values admin.RescheduleValues
	var err error
	if values.RunAt, err = formRunAt(form); err != nil {
		return values, err
	}
	for name, to := range map[string]**int{"priority": &values.Priority, "attempts": &values.Attempts, "max_attempts": &values.MaxAttempts} {
		if *to, err = formInt(form, name); err != nil {
			return values, err
		}
	}
	return values, nil
}

// formRunAt reads a time, or a duration from now: +5m, now, never.
func formRunAt(form url.Values) (*admin.RunAt, error) {
	text := strings.TrimSpace(form.Get("run_at"))
	switch text {
	case "":
		return nil, nil
	case "now":
		return admin.In(0), nil
	case "never", "infinity":
		return admin.Never(), nil
	}
	if relative, ok := strings.CutPrefix(text, "+"); ok {
		if d, err := parseDuration(relative); err == nil {
			return admin.In(d), nil
		}
	} else {
		at := new(admin.RunAt)
		if at.UnmarshalText([]byte(text)) == nil {
			return at, nil
		}
	}
	return nil, badInput(fmt.Errorf("%q is no time to run at: write now, never, +5m, +3d or 2026-11-20T08:00:00Z", text))
}

func formInt(form url.Values, name string) (*int, error) {
	text := strings.TrimSpace(form.Get(name))
	if text == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, badInput(fmt.Errorf("%q is no number for %s", text, strings.ReplaceAll(name, "_", " ")))
	}
	return &n, nil
}

func rescheduleWords(form url.Values) (flags []string, method, argument string) {
	var fields []string
	if text := strings.TrimSpace(form.Get("run_at")); text != "" {
		flags = append(flags, "--run-at", text)
		switch at, _ := formRunAt(form); {
		case at == nil:
		case at.In != nil:
			fields = append(fields, fmt.Sprintf("RunAt: admin.In(%d)", *at.In))
		case at.Infinity != 0:
			fields = append(fields, "RunAt: admin.Never()")
		default:
			fields = append(fields, "RunAt: admin.At("+goTime(at.Time)+")")
		}
	}
	for _, f := range [][3]string{{"priority", "--priority", "Priority"}, {"attempts", "--attempts", "Attempts"}, {"max_attempts", "--max-attempts", "MaxAttempts"}} {
		if n, err := formInt(form, f[0]); err == nil && n != nil {
			flags = append(flags, f[1], strconv.Itoa(*n))
			fields = append(fields, fmt.Sprintf("%s: new(%d)", f[2], *n))
		}
	}
	return flags, "Reschedule", "admin.RescheduleValues{" + strings.Join(fields, ", ") + "}"
}

// A selection is the jobs that a form selects: by ids, or all that match a search.
type selection struct {
	IDs    []int64
	Search string // with absolute times; meaningful if IDs is nil
	All    bool   // every job
	Filter admin.Filter
}

// selection reads the jobs that a form selects.
func (h *Handler) selection(r *http.Request) (s selection, err error) {
	if r.PostForm.Get("scope") != "matching" {
		for _, text := range r.PostForm["id"] {
			id, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return s, badInput(errors.New("an id of a selected job is not a number"))
			}
			s.IDs = append(s.IDs, id)
		}
		if s.IDs == nil {
			return s, badInput(errors.New("no job is selected: select some, or all that match"))
		}
		slices.Sort(s.IDs)
		s.IDs = slices.Compact(s.IDs)
		return s, nil
	}
	if s.Filter, err = h.filter(r.Context(), r.PostForm.Get("q")); err != nil {
		return s, err
	}
	s.Search = formatSearch(s.Filter)
	s.All = s.Search == ""
	return s, nil
}

// What says which jobs are selected, for people and for the log.
func (s selection) What() string {
	switch {
	case len(s.IDs) == 1:
		return fmt.Sprintf("job %d", s.IDs[0])
	case s.IDs != nil:
		return fmt.Sprintf("%d selected jobs", len(s.IDs))
	case s.All:
		return "all jobs"
	}
	return "all jobs that match " + s.Search
}

// loggable is What without anything that somebody may have typed from a payload, an error
// or a key.
func (s selection) loggable() string {
	if s.IDs != nil {
		return s.What()
	}
	hidden := s.Filter
	if hidden.Keys != nil {
		hidden.Keys = []string{"…"}
	}
	for _, text := range []**string{&hidden.KeyPrefix, &hidden.ErrorText, &hidden.PayloadPath} {
		if *text != nil {
			*text = new("…")
		}
	}
	if hidden.PayloadContains != nil {
		hidden.PayloadContains = json.RawMessage(`"…"`)
	}
	return selection{Search: formatSearch(hidden), All: s.All}.What()
}

// A preview is what a verb would do to the selected jobs.
type preview struct {
	Verb      *verb
	Selection selection
	Form      url.Values // the verb's values
	Result    *admin.ChangeResult
	Missing   bool // the verb's values are not there yet
	Typed     string
	Back      string
	Slow      *slowSearch
}

// valueFields are the fields of forms that hold the values of verbs.
var valueFields = []string{"reason", "run_at", "priority", "attempts", "max_attempts"}

// previewJobs shows what a verb would do.
func (h *Handler) previewJobs(w http.ResponseWriter, r *http.Request) error {
	v := findVerb(r.PostForm.Get("verb"))
	if v == nil {
		return badInput(errors.New("choose what to do with the jobs"))
	}
	if err := h.may(r, v.Action); err != nil {
		return &forbiddenError{err}
	}
	return h.showPreview(w, r, v, "", http.StatusOK, nil)
}

func findVerb(name string) *verb {
	for _, v := range verbs {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// showPreview runs the verb as a dry run. After a refused confirmation it shows the error,
// and keeps what was typed. The id is that of a preview that took long; empty: it is a new
// one.
func (h *Handler) showPreview(w http.ResponseWriter, r *http.Request, v *verb, id string, status int, refusal error) error {
	selected, err := h.selection(r)
	if err != nil {
		return err
	}
	p := preview{Verb: v, Selection: selected, Form: url.Values{}, Typed: r.PostForm.Get("confirm"), Back: "jobs?" + url.Values{"q": {r.PostForm.Get("q")}}.Encode()}
	for _, name := range valueFields {
		if value := r.PostForm.Get(name); value != "" {
			p.Form.Set(name, value)
		}
	}
	page := view{Title: v.Title + " jobs", Section: "jobs", Search: r.PostForm.Get("q"), Snippet: h.verbSnippet(v, selected, p.Form)}
	if refusal != nil {
		_, page.Error = h.explain(r, refusal)
	}
	if v.Fields {
		values, err := rescheduleValues(p.Form)
		if err != nil {
			status, page.Error = h.explain(r, err)
		}
		p.Missing = err != nil || values == (admin.RescheduleValues{})
	}
	if !p.Missing {
		again := id != ""
		if !again {
			id = newPreviewID()
		}
		p.Result, _, err = readPatiently(r.Context(), &h.reads, "preview "+id, longestRead, patience, func(ctx context.Context) (*admin.ChangeResult, error) {
			if selected.IDs != nil {
				return firstOf(v.byIDs(h.client, ctx, selected.IDs, p.Form, &admin.ChangeOptions{DryRun: true}))
			}
			return firstOf(v.byFilter(h.client, ctx, selected.Filter, p.Form, &admin.WhereOptions{DryRun: true, All: selected.All, Sample: new(previewSample)}))
		})
		if slow, ok := errors.AsType[*slowError](err); ok {
			if !again {
				form := maps.Clone(r.PostForm)
				form.Set("verb", v.Name)
				if selected.IDs == nil {
					form.Set("q", selected.Search) // with the times of now
				}
				h.previews.keep(id, User(r), form)
				return redirect(w, r, "previews/"+id)
			}
			p.Slow = &slowSearch{Took: time.Since(slow.since), Cancel: "previews/" + id + "/stop"}
			page.Reload = 1
		} else if err != nil {
			status, page.Error = h.explain(r, err)
			p.Missing = true
		} else {
			p.Result = new(*p.Result)
			h.redactResult(p.Result)
		}
	}
	page.Page = p
	return h.render(w, r, status, "preview", page)
}

// previewSample is how many jobs a preview shows.
const previewSample = 10

// firstOf is what a preview shows of a result, which is kept for a while: the first jobs
// without their payloads.
func firstOf(result *admin.ChangeResult, err error) (*admin.ChangeResult, error) {
	if err != nil {
		return nil, err
	}
	result.Jobs = slices.Clone(result.Jobs[:min(len(result.Jobs), previewSample)])
	for i := range result.Jobs {
		result.Jobs[i].Payload = nil
	}
	result.SkippedJobs = slices.Clone(result.SkippedJobs[:min(len(result.SkippedJobs), previewSample)])
	return result, nil
}

// runVerb runs what was previewed, in the background.
func (h *Handler) runVerb(w http.ResponseWriter, r *http.Request, v *verb) error {
	selected, err := h.selection(r)
	if err != nil {
		return err
	}
	aim, err := strconv.ParseInt(r.PostForm.Get("previewed"), 10, 64)
	if err != nil || aim < 1 {
		return h.showPreview(w, r, v, "", http.StatusOK, nil)
	}
	if typed := strings.NewReplacer(" ", "", ",", "").Replace(r.PostForm.Get("confirm")); v.Destructive && typed != strconv.FormatInt(aim, 10) {
		return h.showPreview(w, r, v, "", http.StatusUnprocessableEntity, badInput(fmt.Errorf("type the number of jobs, %d, to %s them", aim, v.Name)))
	}
	form := url.Values{}
	for _, name := range valueFields {
		form.Set(name, r.PostForm.Get(name))
	}
	if v.Fields {
		if _, err := rescheduleValues(form); err != nil {
			return h.showPreview(w, r, v, "", http.StatusUnprocessableEntity, err)
		}
	}
	limit := int64(0)
	if v.Destructive { // no more than what was confirmed
		limit = aim
		if selected.IDs != nil {
			now, err := v.byIDs(h.client, r.Context(), selected.IDs, form, &admin.ChangeOptions{DryRun: true})
			if err != nil {
				return err
			}
			if now.Changed > aim {
				return h.showPreview(w, r, v, "", http.StatusConflict, badInput(fmt.Errorf("it would be %s now, and not %d", counted(now.Changed, "job"), aim)))
			}
		}
	}
	o := &operation{Verb: v, What: selected.loggable(), Search: selected.Search, Aim: aim, Snippet: h.verbSnippet(v, selected, form)}
	err = h.start(r, o, func(ctx context.Context) (*admin.ChangeResult, error) {
		if selected.IDs != nil {
			return v.byIDs(h.client, ctx, selected.IDs, form, nil)
		}
		return v.byFilter(h.client, ctx, selected.Filter, form, &admin.WhereOptions{All: selected.All, Limit: limit, Sample: new(sampleSize), Progress: o.progress, Changed: o.keep})
	})
	if err != nil {
		return err
	}
	return redirect(w, r, fmt.Sprintf("operations/%d", o.ID))
}

// verbSnippet is the verb as a command and as Go.
func (h *Handler) verbSnippet(v *verb, s selection, form url.Values) snippet {
	flags, method, argument := v.words(form)
	var ids []string
	var selected string
	if s.IDs != nil {
		for _, id := range s.IDs {
			ids = append(ids, strconv.FormatInt(id, 10))
		}
		method, selected = method+"Jobs", goIDs(s.IDs)
	} else {
		flags = append(filterFlags(s.Filter), flags...)
		method, selected = method+"Where", goFilter(s.Filter)
	}
	options := "nil"
	if s.IDs == nil && s.All {
		flags = append(flags, "--all")
		options = "&admin.WhereOptions{All: true}"
	}
	if argument != "" {
		argument += ", "
	}
	if !expressible(s.Filter) {
		return snippet{}
	}
	return snippet{
		Command: h.command("jobs "+v.Name, flags, ids...),
		Go:      fmt.Sprintf("result, err := client.%s(ctx, %s, %s%s)", method, selected, argument, options),
	}
}

// A reasonCount is how many jobs are left alone for a reason.
type reasonCount struct {
	Reason admin.SkipReason
	Jobs   int64
}

func reasons(skipped map[admin.SkipReason]int64) []reasonCount {
	var counts []reasonCount
	for _, reason := range admin.SkipReasons {
		if jobs := skipped[reason]; jobs > 0 {
			counts = append(counts, reasonCount{reason, jobs})
		}
	}
	return counts
}

// unlock unlocks what a dead worker holds. Its first answer is a preview.
func (h *Handler) unlock(w http.ResponseWriter, r *http.Request) error {
	worker := r.PostForm.Get("worker")
	if worker == "" {
		return badInput(errors.New("no worker is given"))
	}
	type unlocking struct {
		Worker    string
		Locks     *admin.WorkerLocks
		Held      int64 // the number of its locks
		Confirmed bool
	}
	page := unlocking{Worker: worker}
	unlock := func(dryRun bool) error {
		result, err := h.client.ForceUnlockWorkers(r.Context(), []string{worker}, &admin.UnlockOptions{DryRun: dryRun})
		page.Locks, page.Held = nil, 0
		if err == nil && len(result.Unlocked) > 0 {
			page.Locks = &result.Unlocked[0]
			page.Held = page.Locks.Jobs + page.Locks.Queues
		}
		return err
	}
	if err := unlock(true); err != nil {
		return err
	}
	previewed, typed := r.PostForm.Get("previewed"), r.PostForm.Get("confirm")
	held := strconv.FormatInt(page.Held, 10)
	if page.Confirmed = page.Held > 0 && previewed == held && typed == held; page.Confirmed {
		err := unlock(false)
		h.logChange(r.Context(), "unlock worker", User(r), err, slog.String("worker", worker), slog.String("confirmed", typed), slog.Any("locks", page.Locks))
		if err != nil {
			return err
		}
		h.reads.forget()
	}
	v := view{Title: "Unlock a worker", Section: "workers", Page: page, Snippet: snippet{
		Command: h.command("workers unlock", nil, worker),
		Go:      "result, err := client.ForceUnlockWorkers(ctx, " + goStrings("string", []string{worker}) + ", nil)",
	}}
	switch {
	case previewed == "" || page.Confirmed:
	case previewed != held:
		v.Error = "What the worker holds has changed since the preview: nothing was unlocked."
	default:
		v.Error = "Type the number of locks to clear them."
	}
	return h.render(w, r, http.StatusOK, "unlock", v)
}

// age is how long ago something was, in one unit.
func age(d time.Duration) string {
	d = max(d, -d)
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{365 * 24 * time.Hour, "y"}, {24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if d >= unit.length {
			return fmt.Sprintf("%d %s", d/unit.length, unit.name)
		}
	}
	return fmt.Sprintf("%d s", cmp.Or(d, 0)/time.Second)
}
