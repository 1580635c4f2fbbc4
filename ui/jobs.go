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
)

// A jobList is the page of jobs.
type jobList struct {
	Text    string // the search as it was typed
	All     bool   // the search is empty
	Filter  admin.Filter
	Sort    string
	Columns []column
	Shown   map[string]bool
	Jobs    []admin.ListedJob
	Next    string // address of the next page; empty: this is the last
	First   string // address of the first page; empty: this is it
	Faulty  bool   // the search cannot be read
	Slow    *slowSearch
	Verbs   []*verb
}

// A slowSearch is a search that still runs.
type slowSearch struct {
	Took   time.Duration
	Cancel string // the address that cancels it
}

const (
	pageSize     = 50
	listPayload  = 2048 // bytes of a payload that the list shows
	listIsNew    = time.Second
	searchLength = 8192
)

// filter reads the search of a request. Where a redactor is set, what it hides cannot be
// searched either.
func (h *Handler) filter(ctx context.Context, text string) (admin.Filter, error) {
	if len(text) > searchLength {
		return admin.Filter{}, badInput(errors.New("the search is longer than 8192 bytes"))
	}
	now, err := h.now(ctx)
	if err != nil {
		return admin.Filter{}, err
	}
	filter, err := parseSearch(text, now)
	if err != nil {
		return filter, badInput(err)
	}
	if h.options.Redact != nil && (filter.PayloadContains != nil || filter.PayloadPath != nil || filter.ErrorText != nil) {
		return filter, badInput(errors.New("payloads and errors are redacted on this page, and cannot be searched"))
	}
	return filter, nil
}

func (h *Handler) jobs(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	list := jobList{Text: strings.TrimSpace(query.Get("q")), Sort: query.Get("sort"), Shown: make(map[string]bool), Verbs: verbs}
	list.All = list.Text == ""
	chosen := query["column"]
	for _, c := range columns {
		if chosen == nil && c.Default || slices.Contains(chosen, c.Name) {
			list.Shown[c.Name] = true
		}
		list.Columns = append(list.Columns, c)
	}
	v := view{Title: "Jobs", Section: "jobs", Search: list.Text, Live: query.Get("cursor") == ""}
	show := func(status int, err error) error {
		if err != nil {
			v.Live = false
			var text string
			if status, text = h.explain(r, err); status == http.StatusUnprocessableEntity {
				list.Faulty = true
			}
			v.Error = text
			v.again(r, status)
		}
		v.Page = &list
		return h.render(w, r, status, "jobs", v)
	}
	filter, err := h.filter(r.Context(), list.Text)
	if err != nil {
		return show(0, err)
	}
	list.Filter = filter
	v.Snippet = h.listSnippet(filter, list.Sort, query.Get("cursor"))
	options, err := listOptions(list.Sort, query.Get("cursor"))
	if err != nil {
		return show(0, err)
	}
	if list.Shown["payload"] {
		options.PayloadBytes = listPayload
	}
	key := "jobs?" + query.Encode()
	page, at, err := readPatiently(r.Context(), &h.reads, key, listIsNew, patience, func(ctx context.Context) (*admin.Page, error) {
		return h.client.ListJobs(ctx, filter, options)
	})
	if slow, ok := errors.AsType[*slowError](err); ok {
		list.Slow = &slowSearch{Took: time.Since(slow.since), Cancel: "jobs/stop?" + query.Encode()}
		v.Reload, v.Live, v.Slow = 1, false, true
		return show(http.StatusOK, nil)
	}
	if err != nil {
		return show(0, err)
	}
	v.AsOf, v.Now = at, at
	if now, err := h.now(r.Context()); err == nil {
		v.Now = now
	}
	list.Jobs = slices.Clone(page.Jobs)
	for i := range list.Jobs {
		h.redactJob(&list.Jobs[i].Job)
	}
	if page.Next != "" {
		next := without(query, "cursor")
		next.Set("cursor", page.Next)
		list.Next = "jobs?" + next.Encode()
	}
	if query.Get("cursor") != "" {
		list.First = "jobs?" + without(query, "cursor").Encode()
	}
	return show(http.StatusOK, nil)
}

// stopSearch cancels a search that still runs, in PostgreSQL too.
func (h *Handler) stopSearch(w http.ResponseWriter, r *http.Request) error {
	h.reads.cancel("jobs?" + r.URL.Query().Encode())
	return badInput(errors.New("the search was cancelled: narrow it, or search by what an index serves, such as id, key, state or queue"))
}

func without(query url.Values, name string) url.Values {
	rest := make(url.Values)
	for key, values := range query {
		if key != name {
			rest[key] = values
		}
	}
	return rest
}

// listOptions reads a sort such as -run_at.
func listOptions(sort, cursor string) (*admin.ListOptions, error) {
	options := &admin.ListOptions{PageSize: pageSize, Cursor: cursor}
	key, descending := strings.CutPrefix(sort, "-")
	options.Descending = descending
	switch {
	case sort == "":
		options.Descending = true // the newest first
	case key == "id" || slices.ContainsFunc(columns, func(c column) bool { return c.Sort != "" && string(c.Sort) == key }):
		options.SortBy = admin.SortKey(key)
	default:
		return nil, badInput(errors.New("the list cannot be sorted by that column"))
	}
	return options, nil
}

func (h *Handler) listSnippet(filter admin.Filter, sort, cursor string) snippet {
	if !expressible(filter) {
		return snippet{}
	}
	words := filterFlags(filter)
	options := "Descending: true"
	if sort != "" {
		words = append(words, "--sort", sort)
		key, descending := strings.CutPrefix(sort, "-")
		options = "SortBy: " + goText(key)
		if descending {
			options += ", Descending: true"
		}
	} else {
		words = append(words, "--sort", "-id")
	}
	words = append(words, "--limit", strconv.Itoa(pageSize))
	options += fmt.Sprintf(", PageSize: %d", pageSize)
	if cursor != "" {
		options += ", Cursor: " + strconv.Quote(cursor)
		if h.target != "" { // one of several, each with a cursor
			cursor = h.target + "=" + cursor
		}
		words = append(words, "--cursor", cursor)
	}
	return snippet{
		Command: h.command("jobs list", words),
		Go:      "page, err := client.ListJobs(ctx, " + goFilter(filter) + ", &admin.ListOptions{" + options + "})",
	}
}

// redactJob redacts a job that will be shown.
func (h *Handler) redactJob(job *admin.Job) {
	if h.options.Redact == nil {
		return
	}
	if job.Payload != nil {
		job.Payload = []byte(h.options.Redact(job.TaskIdentifier, Payload, string(job.Payload)))
	}
	if job.LastError != nil {
		job.LastError = new(h.options.Redact(job.TaskIdentifier, LastError, *job.LastError))
	}
}

// redactResult redacts the jobs of a result, which it copies.
func (h *Handler) redactResult(result *admin.ChangeResult) {
	result.Jobs = slices.Clone(result.Jobs)
	for i := range result.Jobs {
		h.redactJob(&result.Jobs[i])
	}
}

// complete proposes how to go on with a search: names that begin with a term.
func (h *Handler) complete(w http.ResponseWriter, r *http.Request) error {
	field, prefix, found := strings.Cut(r.URL.Query().Get("term"), ":")
	var proposals []string
	var err error
	switch {
	case !found:
		for _, name := range searchFields {
			if strings.HasPrefix(name, field) {
				proposals = append(proposals, name+":")
			}
		}
	case field == "state":
		for _, state := range admin.States {
			proposals = append(proposals, string(state))
		}
	case field == "hold":
		proposals = []string{"yes", "no"}
	case field == "run" || field == "created" || field == "updated" || field == "locked":
		proposals = []string{"-1h..", "-1d..", "-7d..", "..now", "now..", "..-4h"}
	case field == "task":
		proposals, _, err = h.taskIdentifiers(r.Context())
	case field == "queue":
		proposals, err = h.client.QueueNames(r.Context(), prefix, 20)
	}
	if err != nil {
		return err
	}
	if found {
		matching := proposals[:0:0]
		for _, name := range proposals {
			if strings.HasPrefix(name, prefix) {
				matching = append(matching, field+":"+quoteValue(name))
			}
		}
		proposals = matching
	}
	return writeJSON(w, proposals[:min(len(proposals), 20)])
}

func (h *Handler) taskIdentifiers(ctx context.Context) ([]string, time.Time, error) {
	return read(ctx, &h.reads, "tasks", 10*time.Second, h.client.TaskIdentifiers)
}

// SortBy is the address of the list sorted by the key, or the other way round if it is
// already.
func (l *jobList) SortBy(key admin.SortKey) string {
	query := url.Values{}
	if l.Text != "" {
		query.Set("q", l.Text)
	}
	sort := string(key)
	if l.Sort == sort || key == "id" && l.Sort != "-id" && l.Sort != "" {
		sort = "-" + sort
	}
	query.Set("sort", sort)
	for _, c := range l.Columns {
		if l.Shown[c.Name] {
			query.Add("column", c.Name)
		}
	}
	return "jobs?" + query.Encode()
}

// Sorted says how the list is sorted by the column, in the words of aria-sort.
func (l *jobList) Sorted(c column) string {
	switch {
	case c.Sort == "":
	case l.Sort == string(c.Sort):
		return "ascending"
	case l.Sort == "-"+string(c.Sort):
		return "descending"
	}
	return ""
}
