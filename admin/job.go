package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// A Job is a row of Graphile Worker's jobs table, with the names of its task and
// queue. Times are in UTC. Where SQL written by hand has put infinity, or a year
// that RFC 3339 cannot write, into CreatedAt, UpdatedAt or LockedAt, they are the
// first or last moment of the years 1 to 9999.
type Job struct {
	ID             int64           `json:"id"`
	TaskIdentifier string          `json:"task_identifier"`
	QueueName      *string         `json:"queue_name"` // nil: runs beside any other job
	Payload        json.RawMessage `json:"payload"`
	Priority       int             `json:"priority"` // smaller runs earlier
	RunAt          RunAt           `json:"run_at"`   // not before this moment
	Attempts       int             `json:"attempts"` // how often a worker has taken it
	MaxAttempts    int             `json:"max_attempts"`
	LastError      *string         `json:"last_error"`
	CreatedAt      time.Time       `json:"created_at"`
	UpdatedAt      time.Time       `json:"updated_at"`
	Key            *string         `json:"key"`
	LockedAt       *time.Time      `json:"locked_at"` // nil: no worker holds it
	// LockedBy is the id of the worker pool that holds the job (of the worker,
	// before Graphile Worker 0.17).
	LockedBy *string  `json:"locked_by"`
	Revision int      `json:"revision"` // how often its key has updated it
	Flags    []string `json:"flags"`    // sorted; nil: none
}

// Permafailed says whether the job has used up its attempts: no worker will take it again.
func (j *Job) Permafailed() bool { return j.Attempts >= j.MaxAttempts }

// A RunAt is the moment from which a job may run. PostgreSQL's infinity is a
// value of its own: a job that waits until it is rescheduled.
type RunAt struct {
	Time     time.Time // zero unless Infinity is pgtype.Finite
	Infinity pgtype.InfinityModifier
}

// At returns the moment t, to the microsecond, which is what PostgreSQL keeps.
func At(t time.Time) *RunAt { return &RunAt{Time: t} }

// Never returns infinity: the job waits until it is rescheduled.
func Never() *RunAt { return &RunAt{Infinity: pgtype.Infinity} }

// Before says whether r is earlier than t.
func (r RunAt) Before(t time.Time) bool {
	if r.Infinity != pgtype.Finite {
		return r.Infinity == pgtype.NegativeInfinity
	}
	return r.Time.Before(t)
}

// String returns the moment in RFC 3339 and UTC, or "infinity" or "-infinity".
func (r RunAt) String() string {
	if r.Infinity != pgtype.Finite {
		return r.Infinity.String()
	}
	return r.Time.UTC().Format(time.RFC3339Nano)
}

// MarshalText returns what [RunAt.String] does.
func (r RunAt) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what [RunAt.MarshalText] writes.
func (r *RunAt) UnmarshalText(text []byte) error {
	switch string(text) {
	case "infinity":
		*r = RunAt{Infinity: pgtype.Infinity}
	case "-infinity":
		*r = RunAt{Infinity: pgtype.NegativeInfinity}
	default:
		t, err := parseMoment(string(text))
		if err != nil {
			return fmt.Errorf("run_at is neither RFC 3339 nor infinity: %w", err)
		}
		*r = RunAt{Time: t.UTC()}
	}
	return nil
}

// parseMoment reads RFC 3339, and the years before 1 and after 9999 that
// PostgreSQL has as well.
func parseMoment(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err == nil || text == "" {
		return t, err
	}
	end := 1 + strings.IndexByte(text[1:], '-')
	year, yearErr := strconv.Atoi(text[:max(end, 0)])
	if yearErr != nil || end < 5 || year < -4713 || year > 294276 {
		return t, err
	}
	// The rest is that of a leap year, unless there is no such day in the year.
	rest, restErr := time.Parse(time.RFC3339Nano, "2000"+text[end:])
	if restErr != nil {
		return t, err
	}
	moved := time.Date(year, rest.Month(), rest.Day(), rest.Hour(), rest.Minute(), rest.Second(), rest.Nanosecond(), rest.Location())
	if moved.Day() != rest.Day() {
		return t, err
	}
	return moved, nil
}

// fault says why PostgreSQL could not keep the moment, or "".
func (r *RunAt) fault() string {
	switch {
	case r == nil || r.Infinity == pgtype.Infinity || r.Infinity == pgtype.NegativeInfinity:
		return ""
	case r.Infinity != pgtype.Finite:
		return "has an unknown Infinity: pgtype has three"
	case r.Time.UTC().Year() < 1 || r.Time.UTC().Year() > 294275:
		return "is outside the years 1 to 294275"
	}
	return ""
}

// parameters returns the moment as the queries take it.
func (r *RunAt) parameters() (infinity *string, at *time.Time) {
	switch {
	case r == nil:
		return nil, nil
	case r.Infinity != pgtype.Finite:
		return new(r.Infinity.String()), nil
	}
	return nil, new(r.moment())
}

// moment is what PostgreSQL keeps of the time; it would round in one form of a
// parameter and cut in another.
func (r *RunAt) moment() time.Time { return r.Time.UTC().Truncate(time.Microsecond) }

// newJob makes a job of its row; where its task is gone, it has none.
func newJob(row jobRow) Job {
	var task string
	if row.TaskIdentifier != nil {
		task = *row.TaskIdentifier
	}
	return Job{
		ID:             row.ID,
		TaskIdentifier: task,
		QueueName:      row.QueueName,
		Payload:        row.Payload,
		Priority:       int(row.Priority),
		RunAt:          newRunAt(row.RunAt),
		Attempts:       int(row.Attempts),
		MaxAttempts:    int(row.MaxAttempts),
		LastError:      row.LastError,
		CreatedAt:      within(row.CreatedAt),
		UpdatedAt:      within(row.UpdatedAt),
		Key:            row.Key,
		LockedAt:       utc(row.LockedAt),
		LockedBy:       row.LockedBy,
		Revision:       int(row.Revision),
		Flags:          newFlags(row.Flags),
	}
}

func newRunAt(t pgtype.Timestamptz) RunAt {
	if t.InfinityModifier != pgtype.Finite {
		return RunAt{Infinity: t.InfinityModifier}
	}
	return RunAt{Time: t.Time.UTC()}
}

// newFlags returns the names in a flags column, whose values mean nothing.
func newFlags(column json.RawMessage) []string {
	var flags map[string]json.RawMessage
	if column == nil || json.Unmarshal(column, &flags) != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(flags))
}
