package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// operations are the bulk changes that this handler has started. They outlive the request
// that started them, but not the process.
type operations struct {
	mu   sync.Mutex
	last int64
	kept []*operation
}

// Stopped is a bulk change that [Handler.Close] has ended.
type Stopped struct {
	Change  string // the verb, such as retry
	Jobs    string // which jobs, without what may be secret
	Changed int64
	Aim     int64 // the jobs that the preview said would be changed
	Running bool  // it has not ended yet
	Err     error // what ended it; it matches admin.ErrOutcomeUnknown if its last batch may be done or not
}

// close ends the operations that run.
func (o *operations) close(ctx context.Context) (stopped []Stopped, err error) {
	o.mu.Lock()
	var running []*operation
	for _, op := range o.kept {
		if op.standing().Running {
			running = append(running, op)
			op.cancel()
		}
	}
	o.mu.Unlock()
	for _, op := range running {
		select {
		case <-op.done:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		s := op.standing()
		if !s.Running && s.Err == nil {
			continue // it ended by itself
		}
		stopped = append(stopped, Stopped{op.Verb.Name, op.What, s.Result.Changed, op.Aim, s.Running, s.Err})
	}
	return stopped, err
}

// An operation is a bulk change that runs or has ended.
type operation struct {
	ID      int64
	Verb    *verb
	What    string // the jobs, as a search or as ids
	Search  string // empty: by ids
	User    string
	Began   time.Time
	Aim     int64 // how many jobs the form says that the preview showed
	Snippet snippet

	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended

	mu      sync.Mutex
	ended   time.Time // zero: it runs
	result  admin.ChangeResult
	changed []int64 // the ids of the changed jobs, up to mostChanged
	err     error
}

// progress takes the result so far.
func (o *operation) progress(result admin.ChangeResult) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.result = result
}

// keep keeps the ids of changed jobs.
func (o *operation) keep(ids []int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changed = append(o.changed, ids[:min(len(ids), mostChanged-len(o.changed))]...)
}

// changedIDs are the ids of changed jobs that are kept.
func (o *operation) changedIDs() []int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.changed
}

// forget forgets all jobs, but not their numbers.
func (o *operation) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changed, o.result.Jobs, o.result.SkippedJobs = nil, nil, nil
}

// sample are the first jobs, as many as an operation keeps.
func sample(jobs []admin.Job) []admin.Job {
	jobs = jobs[:min(len(jobs), sampleSize)]
	size := 0
	for i, job := range jobs {
		if size += len(job.Payload) + len(deref(job.LastError)); size > sampleBytes {
			jobs = jobs[:i]
			break
		}
	}
	return slices.Clone(jobs) // of a result that may be long
}

// Standing is how far an operation has come.
type standing struct {
	*operation

	Running   bool
	Cancelled bool
	Took      time.Duration
	Result    *admin.ChangeResult
	Percent   int
	Err       error
	Error     string
	ErrStatus int
}

func (o *operation) standing() standing {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := standing{operation: o, Running: o.ended.IsZero(), Took: o.ended.Sub(o.Began), Result: new(o.result), Err: o.err}
	if s.Running {
		s.Took = time.Since(o.Began)
	}
	s.Cancelled = errors.Is(o.err, context.Canceled) && !errors.Is(o.err, admin.ErrOutcomeUnknown)
	if o.Aim > 0 {
		s.Percent = int(min(100, 100*o.result.Matched/o.Aim))
	}
	if !s.Running && o.err == nil {
		s.Percent = 100
	}
	return s
}

const (
	mostOperations = 200
	sampleSize     = 100       // the jobs of a result that are shown
	sampleBytes    = 8 << 20   // what their payloads and errors may have together
	mostChanged    = 1_000_000 // the ids of changed jobs that an operation keeps
	mostWithIDs    = 10        // the operations, of those that have ended, that keep ids and jobs
)

// start runs a change in the background.
func (h *Handler) start(r *http.Request, o *operation, run func(ctx context.Context) (*admin.ChangeResult, error)) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	o.cancel, o.done, o.User, o.Began = cancel, make(chan struct{}), User(r), time.Now()
	h.operations.mu.Lock()
	if h.open.Err() != nil { // or Close finds the operation among those that are kept
		h.operations.mu.Unlock()
		cancel()
		return errClosing
	}
	h.operations.last++
	o.ID = h.operations.last
	h.operations.kept = append(h.operations.kept, o)
	if len(h.operations.kept) > mostOperations {
		i := max(0, slices.IndexFunc(h.operations.kept, func(o *operation) bool { return !o.standing().Running }))
		h.operations.kept = slices.Delete(h.operations.kept, i, i+1)
	}
	for _, old := range h.operations.kept[:max(0, len(h.operations.kept)-mostWithIDs)] {
		if !old.standing().Running {
			old.forget()
		}
	}
	h.operations.mu.Unlock()
	go func() {
		defer close(o.done)
		defer cancel()
		result, err := run(ctx)
		h.reads.forget()
		o.mu.Lock()
		defer o.mu.Unlock()
		if result != nil {
			o.result = *result
		}
		if o.changed == nil { // by ids
			for _, job := range o.result.Jobs[:min(len(o.result.Jobs), mostChanged)] {
				o.changed = append(o.changed, job.ID)
			}
		}
		o.result.Jobs = sample(o.result.Jobs)
		o.result.SkippedJobs = slices.Clone(o.result.SkippedJobs[:min(len(o.result.SkippedJobs), sampleSize)])
		o.err, o.ended = err, time.Now()
		h.logChange(ctx, o.Verb.Name, o.User, err, slog.String("jobs", o.What), slog.Int64("confirmed", o.Aim),
			slog.Int64("matched", o.result.Matched), slog.Int64("changed", o.result.Changed), slog.Duration("duration", o.ended.Sub(o.Began)))
	}()
	return nil
}

// all are the operations that are kept, the newest first.
func (o *operations) all() []standing {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]standing, 0, len(o.kept))
	for _, o := range slices.Backward(o.kept) {
		all = append(all, o.standing())
	}
	return all
}

// logChange logs what a user changed.
func (h *Handler) logChange(ctx context.Context, what, user string, err error, attributes ...slog.Attr) {
	attributes = append([]slog.Attr{slog.String("change", what), slog.String("user", user), slog.Bool("failed", err != nil)}, attributes...)
	level := slog.LevelInfo
	if errors.Is(err, admin.ErrOutcomeUnknown) {
		level = slog.LevelError
	}
	h.log.LogAttrs(ctx, level, "admin page", append(attributes, failure(err)...)...)
}

func (h *Handler) findOperation(r *http.Request) (*operation, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	h.operations.mu.Lock()
	defer h.operations.mu.Unlock()
	for _, o := range h.operations.kept {
		if err == nil && o.ID == id {
			return o, nil
		}
	}
	return nil, &statusError{http.StatusNotFound, errors.New("there is no such operation: the server keeps the last ones until it ends")}
}

// operation shows a bulk change as it runs, and its result.
func (h *Handler) operation(w http.ResponseWriter, r *http.Request) error {
	o, err := h.findOperation(r)
	if err != nil {
		return err
	}
	s := o.standing()
	v := view{Title: fmt.Sprintf("%s jobs", o.Verb.Title), Section: "operations", Snippet: o.Snippet}
	if s.Running {
		v.Reload = 1
	}
	if s.Err != nil && !s.Cancelled {
		s.ErrStatus, s.Error = h.explain(r, s.Err)
	}
	h.redactResult(s.Result)
	v.Page = s
	return h.render(w, r, http.StatusOK, "operation", v)
}

func (h *Handler) listOperations(w http.ResponseWriter, r *http.Request) error {
	all := h.operations.all()
	v := view{Title: "Operations", Section: "operations", Page: all}
	if len(all) > 0 {
		v.Snippet = all[0].Snippet // of the newest
	}
	if slices.ContainsFunc(all, func(s standing) bool { return s.Running }) {
		v.Reload = 2
	}
	return h.render(w, r, http.StatusOK, "operations", v)
}

// cancelOperation ends a bulk change after the batch in hand.
func (h *Handler) cancelOperation(w http.ResponseWriter, r *http.Request) error {
	o, err := h.findOperation(r)
	if err != nil {
		return err
	}
	if err := h.may(r, o.Verb.Action); err != nil {
		return &forbiddenError{err}
	}
	o.cancel()
	return redirect(w, r, fmt.Sprintf("operations/%d", o.ID))
}

// asJSON is a job whose payload is JSON also if it was redacted.
func asJSON(job admin.Job) admin.Job {
	if job.Payload != nil && !json.Valid(job.Payload) {
		job.Payload, _ = json.Marshal(string(job.Payload))
	}
	return job
}

// operationResult is the result as NDJSON: a line for each of the first jobs and each of the
// first that were left alone, one with the id of each changed job, and one with the numbers.
func (h *Handler) operationResult(w http.ResponseWriter, r *http.Request) error {
	o, err := h.findOperation(r)
	if err != nil {
		return err
	}
	s := o.standing()
	h.redactResult(s.Result)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="operation-%d.ndjson"`, o.ID))
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for _, job := range s.Result.Jobs {
		_ = lines.Encode(map[string]any{"job": asJSON(job)})
	}
	for _, skip := range s.Result.SkippedJobs {
		_ = lines.Encode(map[string]any{"skipped_job": skip})
	}
	for _, id := range o.changedIDs() {
		_ = lines.Encode(map[string]int64{"changed_id": id})
	}
	numbers := *s.Result
	numbers.Jobs, numbers.SkippedJobs = nil, nil
	var unsure *admin.Sent
	if unknown, ok := errors.AsType[*admin.OutcomeUnknownError](s.Err); ok {
		unsure = &unknown.Sent
	}
	return lines.Encode(struct {
		Operation string              `json:"operation"`
		Jobs      string              `json:"selected"`
		Running   bool                `json:"running"`
		Cancelled bool                `json:"cancelled"`
		Unknown   *admin.Sent         `json:"outcome_unknown,omitempty"` // nobody knows whether this is done
		Result    *admin.ChangeResult `json:"result"`
	}{o.Verb.Name, o.What, s.Running, s.Cancelled, unsure, &numbers})
}
