package ui

import (
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

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/shell"
)

// An addPage is the form that adds a job.
type addPage struct {
	Form  url.Values
	Tasks []string
	Modes []admin.JobKeyMode
	// Hidden says that the form is without the payload that it is to have, which is redacted.
	Hidden bool
}

func (h *Handler) addForm(w http.ResponseWriter, r *http.Request) error {
	form := r.URL.Query()
	if text := form.Get("payload_of"); text != "" && h.options.Redact == nil {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return badInput(errors.New("the address has no id of a job"))
		}
		job, err := h.client.GetJob(r.Context(), id)
		if err != nil {
			return err
		}
		form.Set("payload", indented(job.Payload))
	} else if payload := form.Get("payload"); payload != "" {
		form.Set("payload", indented([]byte(payload)))
	}
	return h.showAdd(w, r, http.StatusOK, form, nil)
}

func (h *Handler) showAdd(w http.ResponseWriter, r *http.Request, status int, form url.Values, err error) error {
	v := view{Title: "Add a job", Section: "add", Snippet: h.addSnippet(form)}
	if err != nil {
		status, v.Error = h.explain(r, err)
	}
	tasks, _, err := h.taskIdentifiers(r.Context())
	if err != nil && v.Error == "" {
		_, v.Error = h.explain(r, err)
	}
	tasks = append(slices.Clone(tasks), h.options.Declared...)
	slices.Sort(tasks)
	tasks = slices.Compact(tasks)
	hidden := h.options.Redact != nil && form.Get("payload_of") != "" && form.Get("payload") == ""
	if hidden {
		v.Snippet = snippet{}
	} else if form.Get("payload") == "" {
		form.Set("payload", "{}")
	}
	v.Page = addPage{Form: form, Hidden: hidden, Tasks: tasks[:min(len(tasks), 3000)], Modes: []admin.JobKeyMode{admin.Replace, admin.PreserveRunAt, admin.UnsafeDedupe}}
	return h.render(w, r, status, "add", v)
}

func (h *Handler) add(w http.ResponseWriter, r *http.Request) error {
	form := r.PostForm
	task, payload, options, err := addValues(form)
	if err == nil {
		var job *admin.Job
		job, err = h.client.AddJob(r.Context(), task, payload, options)
		attributes := []slog.Attr{slog.String("task", task)}
		if job != nil {
			attributes = append(attributes, slog.Int64("job", job.ID))
		}
		h.logChange(r.Context(), "add job", User(r), err, attributes...)
		if err == nil {
			h.reads.forget()
			return redirect(w, r, fmt.Sprintf("jobs/%d", job.ID))
		}
	}
	return h.showAdd(w, r, http.StatusUnprocessableEntity, form, err)
}

// addValues reads the form that adds a job.
func addValues(form url.Values) (task string, payload json.RawMessage, options *admin.AddJobOptions, err error) {
	options = &admin.AddJobOptions{JobKeyMode: admin.JobKeyMode(form.Get("mode"))}
	if task = form.Get("task"); strings.TrimSpace(task) == "" {
		return "", nil, nil, badInput(errors.New("choose a task, or type its identifier"))
	}
	payload = json.RawMessage(strings.TrimSpace(form.Get("payload")))
	if len(payload) == 0 {
		payload = json.RawMessage("{}")
	}
	if !json.Valid(payload) {
		return "", nil, nil, badInput(fmt.Errorf("the payload is not JSON%s", whereInvalid(payload)))
	}
	for name, to := range map[string]**string{"queue": &options.QueueName, "key": &options.JobKey} {
		if text := form.Get(name); text != "" {
			*to = &text
		}
	}
	if options.JobKey == nil {
		options.JobKeyMode = ""
	}
	for _, flag := range form["flag"] {
		options.Flags = append(options.Flags, strings.Fields(flag)...)
	}
	if options.RunAt, err = formRunAt(form); err != nil {
		return "", nil, nil, err
	}
	if options.Priority, err = formInt(form, "priority"); err != nil {
		return "", nil, nil, err
	}
	options.MaxAttempts, err = formInt(form, "max_attempts")
	return task, payload, options, err
}

// whereInvalid says where JSON stops being valid.
func whereInvalid(text []byte) string {
	var value any
	var syntax *json.SyntaxError
	if !errors.As(json.Unmarshal(text, &value), &syntax) {
		return ""
	}
	before := string(text[:min(int(syntax.Offset), len(text))])
	line := strings.Count(before, "\n") + 1
	column := len([]rune(before[strings.LastIndex(before, "\n")+1:]))
	return fmt.Sprintf(": line %d, column %d", line, column)
}

// addSnippet is the form as a command and as Go.
func (h *Handler) addSnippet(form url.Values) snippet {
	if strings.TrimSpace(form.Get("task")) == "" {
		form = maps.Clone(form)
		form.Set("task", "TASK")
	}
	task, payload, options, err := addValues(form)
	if err != nil {
		return snippet{}
	}
	var words, fields []string
	field := func(flag, value, name, literal string) {
		words = append(words, flag, value)
		fields = append(fields, name+": "+literal)
	}
	if options.QueueName != nil {
		field("--queue", *options.QueueName, "QueueName", "new("+strconv.Quote(*options.QueueName)+")")
	}
	if options.JobKey != nil {
		field("--key", *options.JobKey, "JobKey", "new("+strconv.Quote(*options.JobKey)+")")
		if mode := options.JobKeyMode; mode != "" && mode != admin.Replace {
			field("--key-mode", string(mode), "JobKeyMode", strconv.Quote(string(mode)))
		}
	}
	if options.RunAt != nil {
		flags, _, argument := rescheduleWords(url.Values{"run_at": form["run_at"]})
		words = append(words, flags...)
		fields = append(fields, strings.TrimSuffix(strings.TrimPrefix(argument, "admin.RescheduleValues{"), "}"))
	}
	number := func(flag, name string, value *int) {
		if value != nil {
			field(flag, strconv.Itoa(*value), name, fmt.Sprintf("new(%d)", *value))
		}
	}
	number("--priority", "Priority", options.Priority)
	number("--max-attempts", "MaxAttempts", options.MaxAttempts)
	for _, flag := range options.Flags {
		words = append(words, "--flag", shell.Element(flag))
	}
	if options.Flags != nil {
		fields = append(fields, "Flags: "+goStrings("string", options.Flags))
	}
	literal := "nil"
	if fields != nil {
		literal = "&admin.AddJobOptions{" + strings.Join(fields, ", ") + "}"
	}
	return snippet{
		Command: h.command("jobs add", words, task, string(payload)),
		Go:      "job, err := client.AddJob(ctx, " + strconv.Quote(task) + ", json.RawMessage(" + goText(string(payload)) + "), " + literal + ")",
	}
}
