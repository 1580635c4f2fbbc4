package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/observe"
)

// An overviewPage is the first page.
type overviewPage struct {
	*observe.Snapshot

	States []stateCount
	Total  int64
	Shapes []admin.ErrorShape
	Health []problem
	Charts []chart
	Tables []observe.Table
	Ready  int64
}

// A stateCount is how many jobs are in a state, more or less.
type stateCount struct {
	State  admin.State
	Jobs   int64
	Margin int64 // 0: exact
}

// A problem is something that somebody should look at.
type problem struct {
	Title, Text, Do, Link string
}

// partsWait is how long a page waits for parts of the snapshot that are being read again.
const partsWait = 150 * time.Millisecond

// errorKinds is how many kinds of errors the overview shows.
const errorKinds = 20

// newObserver observes the client's database for the pages. Fast parts are those that live
// pages follow. A page does not wait for what takes long.
func newObserver(client *admin.Client) *observe.Observer {
	o, err := observe.New(client.DB(), &observe.Options{
		MaxWait: partsWait, Partial: true,
		Schema: client.Schema(), Reader: client.Reader(), Queues: true, ErrorShapes: errorKinds,
		Fast: observe.Pace{Interval: pulseEvery}, Counting: observe.Pace{Interval: 10 * time.Second}, Slow: observe.Pace{Interval: time.Minute},
	})
	if err != nil {
		panic("ui: " + err.Error()) // the client is not on a pool
	}
	return o
}

// snapshot is the state of the queue, which all pages share.
func (h *Handler) snapshot(ctx context.Context) (*observe.Snapshot, error) {
	return h.observer.Snapshot(ctx)
}

// unread is 1, the seconds after which a page loads again, if a part that it shows has not
// been read yet, and else 0.
func unread(parts ...observe.Part) int {
	for _, part := range parts {
		if part.AsOf == nil && part.Err == nil {
			return 1
		}
	}
	return 0
}

func (h *Handler) overview(w http.ResponseWriter, r *http.Request) error {
	snapshot, err := h.snapshot(r.Context())
	if err != nil {
		return err
	}
	page := overviewPage{Snapshot: snapshot, Health: problems(snapshot), Charts: charts(h.live.seen()), Tables: snapshot.Activity.Tables}
	if stats := snapshot.Counts.Stats; stats != nil {
		page.States, page.Total = stateCounts(stats.Jobs, stats.Estimate), stats.Jobs.Total()
	}
	page.Shapes = slices.Clone(snapshot.Errors.Shapes)
	if redact := h.options.Redact; redact != nil {
		for i := range page.Shapes {
			page.Shapes[i].Shape = redact("", LastError, page.Shapes[i].Shape)
			page.Shapes[i].Example = redact("", LastError, page.Shapes[i].Example)
		}
	}
	v := view{
		Title: "Overview", Section: "overview", Live: true, Page: page, Now: h.clock(snapshot),
		Snippet: snippet{Command: h.command("stats", []string{"--errors", strconv.Itoa(errorKinds)}), Go: fmt.Sprintf("stats, err := client.Stats(ctx, &admin.StatsOptions{ErrorShapes: %d})", errorKinds)},
	}
	v.Reload = unread(snapshot.Due.Part, snapshot.Activity.Part, snapshot.Counts.Part, snapshot.Locks.Part, snapshot.Health.Part, snapshot.Errors.Part)
	if err := snapshot.Err(); err != nil {
		var status int
		status, v.Error = h.explain(r, err)
		v.again(r, status)
	}
	if snapshot.Due.AsOf != nil {
		v.AsOf = *snapshot.Due.AsOf
	}
	return h.render(w, r, http.StatusOK, "overview", v)
}

// clock is the database's clock at the time of the request, as the snapshot knows it.
func (h *Handler) clock(s *observe.Snapshot) time.Time {
	if s.Due.AsOf == nil {
		return time.Now()
	}
	return s.Due.AsOf.Add(time.Duration(s.Due.AgeSeconds * float64(time.Second)))
}

func stateCounts(jobs admin.Counts, estimate *admin.Estimate) []stateCount {
	counts := make([]stateCount, len(admin.States))
	for i, state := range admin.States {
		counts[i] = stateCount{State: state, Jobs: jobs[state]}
		if estimate != nil {
			counts[i].Margin = cmp.Or(estimate.Jobs[state], estimate.Unseen)
		}
	}
	return counts
}

// problems are what the snapshot shows that somebody should look at.
func problems(s *observe.Snapshot) []problem {
	var found []problem
	add := func(title, text, do, link string) { found = append(found, problem{title, text, do, link}) }
	if h := s.Health; h.AsOf != nil {
		if h.Problem != "" {
			add("Schema", h.Problem, "", "")
		} else if !h.Supported {
			add("Schema", "This version does not support the schema's revision.", "Run gwadmin migrate status.", "")
		}
		if !h.SeesAll {
			add("Row security", "Row security hides rows from this page's role: every number may be too low.", "Use a role that row security does not apply to, or grant it policies.", "")
		}
		if n := len(h.Drift); n > 0 {
			add("Drift", counted(int64(n), "difference")+" from the schema that the migrations build.", "Run gwadmin migrate validate.", "")
		}
	}
	if s.Locks.Stale > 0 {
		add("Stale locks", counted(s.Locks.Stale, "lock")+" older than 4 hours, of workers that have probably died.", "A worker clears them, or unlock the dead worker.", "workers")
	}
	if age := s.Due.OldestReadyAge(); age > 5*time.Minute {
		add("Behind", "The oldest ready job has waited for "+took(age)+".", "See whether workers run, and what the job says.", "jobs?q=state%3Aready&sort=run_at")
	}
	if age := s.Activity.OldestTransactionAge(); age > 10*time.Minute {
		add("Long transaction", "A transaction has been open for "+took(age)+". Vacuum cannot remove deleted jobs, and workers get slower.", "Find it in pg_stat_activity, and end it.", "")
	}
	if s.Activity.NotifyQueueUsage > 0.5 {
		add("Notifications", "PostgreSQL's queue of notifications is more than half full. Jobs cannot be added when it is full.", "Find the session that listens and does not read.", "")
	}
	for _, t := range s.Activity.Tables {
		if t.Dead > 100_000 && t.Dead > 2*t.Live {
			add("Bloat", "The table "+t.Name+" has "+number(t.Dead)+" dead rows beside "+number(t.Live)+".", "See whether autovacuum comes to it, and whether a long transaction holds it up.", "")
		}
	}
	return found
}

// A chart is a sparkline.
type chart struct {
	Title  string
	Points string // of an SVG polyline, in a field of 200 by 40
	Last   string
	Top    string
}

// charts draw what was seen while somebody has been watching.
func charts(seen []pulse) []chart {
	if len(seen) < 3 {
		return nil
	}
	rate := func(of func(pulse) int64) []float64 {
		var values []float64
		for i := 1; i < len(seen); i++ {
			if seconds := seen[i].At.Sub(seen[i-1].At).Seconds(); seconds > 0 {
				values = append(values, max(0, float64(of(seen[i])-of(seen[i-1]))/seconds))
			}
		}
		return values
	}
	var due []float64
	for _, p := range seen {
		due = append(due, float64(p.Due))
	}
	return []chart{
		draw("Due", "", due),
		draw("Added", "/s", rate(func(p pulse) int64 { return p.Inserted })),
		draw("Deleted", "/s", rate(func(p pulse) int64 { return p.Deleted })),
	}
}

func draw(title, unit string, values []float64) chart {
	if len(values) == 0 {
		return chart{Title: title}
	}
	top := max(slices.Max(values), 1)
	var points strings.Builder
	for i, value := range values {
		x := 200 * float64(i) / float64(max(1, len(values)-1))
		points.WriteString(strconv.FormatFloat(x, 'f', 1, 64) + "," + strconv.FormatFloat(39-38*value/top, 'f', 1, 64) + " ")
	}
	return chart{title, points.String(), number(int64(values[len(values)-1]+0.5)) + unit, number(int64(top+0.5)) + unit}
}

// A pulse is what live pages follow.
type pulse struct {
	At       time.Time
	Inserted int64 // jobs since the server's statistics began
	Deleted  int64
	Changes  int64 // rows of all tables that were inserted, updated or deleted
	Due      int64
}

// errUnread says that the first snapshot is still being read.
var errUnread = errors.New("the first snapshot is still being read")

// readPulse reads the snapshot for all pages that are watched.
func (h *Handler) readPulse(ctx context.Context) (pulse, error) {
	s, err := h.snapshot(ctx)
	if err != nil {
		return pulse{}, err
	}
	if unread(s.Activity.Part, s.Due.Part) > 0 {
		return pulse{}, errUnread
	}
	p := pulse{Due: s.Due.Jobs}
	if s.Activity.AsOf != nil {
		p.At = *s.Activity.AsOf
	}
	for _, t := range s.Activity.Tables {
		p.Changes += t.Inserted + t.Updated + t.Deleted
		if t.Name == "jobs" {
			p.Inserted, p.Deleted = t.Inserted, t.Deleted
		}
	}
	if s.Activity.Err != nil {
		return p, s.Activity.Err
	}
	return p, nil
}

// A taskRow is a task with its jobs.
type taskRow struct {
	Name   string
	Counts admin.Counts
	Total  int64
}

// A taskList is the page of tasks.
type taskList struct {
	Tasks  []taskRow
	Prefix string
	More   int
	Counts observe.Counts
}

const mostRows = 200

func (h *Handler) tasks(w http.ResponseWriter, r *http.Request) error {
	names, _, err := h.taskIdentifiers(r.Context())
	if err != nil {
		return err
	}
	snapshot, err := h.snapshot(r.Context())
	if err != nil {
		return err
	}
	list := taskList{Prefix: r.URL.Query().Get("name"), Counts: snapshot.Counts}
	for _, name := range names {
		if !strings.Contains(strings.ToLower(name), strings.ToLower(list.Prefix)) {
			continue
		}
		row := taskRow{Name: name}
		if snapshot.Counts.Stats != nil {
			row.Counts = snapshot.Counts.Stats.Tasks[name]
			row.Total = row.Counts.Total()
		}
		list.Tasks = append(list.Tasks, row)
	}
	slices.SortStableFunc(list.Tasks, func(a, b taskRow) int { return cmp.Compare(b.Total, a.Total) })
	if len(list.Tasks) > mostRows {
		list.Tasks, list.More = list.Tasks[:mostRows], len(list.Tasks)-mostRows
	}
	v := view{Title: "Tasks", Section: "tasks", Live: true, Reload: unread(snapshot.Counts.Part), Page: list, Now: h.clock(snapshot), Snippet: snippet{Command: h.command("tasks", nil), Go: "tasks, err := client.Tasks(ctx)"}}
	if snapshot.Counts.AsOf != nil {
		v.AsOf = *snapshot.Counts.AsOf
	}
	return h.render(w, r, http.StatusOK, "tasks", v)
}

// A workerList is the page of workers.
type workerList struct {
	Workers []admin.Worker
	Slow    *slowSearch
}

func (h *Handler) workers(w http.ResponseWriter, r *http.Request) error {
	var list workerList
	workers, at, err := readPatiently(r.Context(), &h.reads, "workers", time.Second, patience, h.client.Workers)
	reload := 0
	if slow, ok := errors.AsType[*slowError](err); ok { // without an index of held jobs, on a large table
		list.Slow, reload = &slowSearch{Took: time.Since(slow.since)}, 1
	} else if err != nil {
		return err
	}
	list.Workers = workers
	now, err := h.now(r.Context())
	if err != nil {
		return err
	}
	return h.render(w, r, http.StatusOK, "workers", view{
		Title: "Workers", Section: "workers", Live: true, Reload: reload, Slow: reload > 0, AsOf: at, Now: now, Page: list,
		Snippet: snippet{Command: h.command("workers", nil), Go: "workers, err := client.Workers(ctx)"},
	})
}

// errorPart is the longest part of a kind of error that all its errors have; empty: that is
// too short to tell them from others.
func errorPart(shape admin.ErrorShape) string {
	longest := ""
	for part := range strings.SplitSeq(shape.Shape, "*") {
		if part = strings.TrimSpace(part); len(part) > len(longest) {
			longest = part
		}
	}
	if utf8.RuneCountInString(longest) < 8 || !strings.ContainsFunc(longest, unicode.IsLetter) {
		return ""
	}
	return longest
}

// errorSearch finds the permanently failed jobs whose errors have a part.
func errorSearch(part string) string {
	return "state:permafailed error:" + quoteValue(part)
}
