package admin

import (
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// newSpec returns the arguments of [Client.AddJob] as a spec. A spec has no JobKeyMode.
func newSpec(identifier string, payload any, options *AddJobOptions) JobSpec {
	return JobSpec{
		TaskIdentifier: identifier,
		Payload:        payload,
		QueueName:      options.QueueName,
		RunAt:          options.RunAt,
		MaxAttempts:    options.MaxAttempts,
		JobKey:         options.JobKey,
		Priority:       options.Priority,
		Flags:          options.Flags,
	}
}

// spec validates a spec and returns the JSON text of its payload.
func (f *faults) spec(spec *JobSpec) *string {
	if spec.TaskIdentifier == "" {
		f.add("task_identifier", "is empty: no worker runs such a job")
	}
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

// composite returns a valid spec as the text of the composite type job_spec. A RunAt with In
// is relative to now.
func composite(spec *JobSpec, payload *string, now time.Time) string {
	var row compositeText
	row.text(&spec.TaskIdentifier)
	row.text(payload)
	row.text(spec.QueueName)
	runAt := spec.RunAt
	if runAt != nil && runAt.In != nil {
		runAt = At(now.Add(*runAt.In))
	}
	if runAt != nil && runAt.Infinity == pgtype.Finite {
		runAt = At(runAt.Time.Truncate(time.Microsecond))
	}
	if runAt != nil {
		row.text(new(runAt.String()))
	} else {
		row.text(nil)
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

// compositeText builds the text form of a composite value, without the closing parenthesis.
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
