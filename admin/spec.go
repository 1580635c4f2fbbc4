package admin

import (
	"strconv"
	"strings"
	"time"
)

// spec validates a job to be added and returns its payload's JSON text.
func (f *faults) spec(spec *JobSpec) *string {
	f.text("task_identifier", spec.TaskIdentifier, 128)
	payload := f.payload(spec.Payload)
	if spec.QueueName != nil {
		f.text("queue_name", *spec.QueueName, 128)
	}
	f.runAt(spec.RunAt)
	f.smallint("max_attempts", spec.MaxAttempts, 1)
	if spec.JobKey != nil {
		if *spec.JobKey == "" {
			f.add("job_key", "is empty: leave it nil for none")
		}
		f.text("job_key", *spec.JobKey, 512)
	}
	f.smallint("priority", spec.Priority, -32768)
	for _, flag := range spec.Flags {
		f.text("flags", flag, anyLength)
	}
	return payload
}

// composite validates a spec and returns it as the text of PostgreSQL's job_spec.
func (f *faults) composite(spec *JobSpec) string {
	payload := f.spec(spec)
	var row compositeText
	row.text(&spec.TaskIdentifier)
	row.text(payload)
	row.text(spec.QueueName)
	switch infinity, at := spec.RunAt.parameters(); {
	case at != nil:
		row.text(new(at.Format(time.RFC3339Nano)))
	default:
		row.text(infinity)
	}
	row.number(spec.MaxAttempts)
	row.text(spec.JobKey)
	row.number(spec.Priority)
	if spec.Flags != nil {
		row.text(new(arrayText(spec.Flags)))
	} else {
		row.text(nil)
	}
	return row.String() + ")"
}

// compositeText writes the text form of a composite value, but for its last parenthesis.
type compositeText struct{ strings.Builder }

var compositeQuotes = strings.NewReplacer(`"`, `""`, `\`, `\\`)

func (c *compositeText) next() {
	if c.Len() == 0 {
		c.WriteByte('(')
	} else {
		c.WriteByte(',')
	}
}

func (c *compositeText) text(value *string) {
	c.next()
	if value != nil {
		c.WriteByte('"')
		_, _ = compositeQuotes.WriteString(c, *value)
		c.WriteByte('"')
	}
}

func (c *compositeText) number(value *int) {
	c.next()
	if value != nil {
		c.WriteString(strconv.Itoa(*value))
	}
}

var arrayQuotes = strings.NewReplacer(`"`, `\"`, `\`, `\\`)

// arrayText returns the text form of a text[].
func arrayText(elements []string) string {
	quoted := make([]string, len(elements))
	for i, e := range elements {
		quoted[i] = `"` + arrayQuotes.Replace(e) + `"`
	}
	return "{" + strings.Join(quoted, ",") + "}"
}
