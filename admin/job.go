package admin

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// A Job is a row of Graphile Worker's jobs table, with the names of its task and
// queue. Times are in UTC. CreatedAt, UpdatedAt and LockedAt are infinite, or in a year
// that RFC 3339 cannot write, only where somebody wrote that by hand: they are then the
// first or last moment of the years 1 to 9999.
type Job struct {
	ID             int64           `json:"id"`
	TaskIdentifier string          `json:"task_identifier"`   // empty if the task is gone
	QueueName      *string         `json:"queue_name"`        // nil without a queue, or if the queue is gone: see Stranded
	Payload        json.RawMessage `json:"payload,omitempty"` // nil only in a list without payloads
	Priority       int             `json:"priority"`          // smaller runs earlier
	RunAt          RunAt           `json:"run_at"`            // not before this moment
	Attempts       int             `json:"attempts"`          // how often a worker has taken it
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

// Permafailed reports whether the job has used up its attempts: no worker takes it again.
func (j *Job) Permafailed() bool { return j.Attempts >= j.MaxAttempts }

// A jobRow is a job as the queries return it, with the names of its task and queue. The
// rows of all queries that change jobs have the same fields.
type jobRow = db.JobCompleteRow

func newJob(row jobRow) Job {
	return Job{
		ID:             row.ID,
		TaskIdentifier: row.TaskIdentifier,
		QueueName:      row.QueueName,
		Payload:        row.Payload,
		Priority:       int(row.Priority),
		RunAt:          newRunAt(row.RunAt),
		Attempts:       int(row.Attempts),
		MaxAttempts:    int(row.MaxAttempts),
		LastError:      row.LastError,
		CreatedAt:      newTime(row.CreatedAt),
		UpdatedAt:      newTime(row.UpdatedAt),
		Key:            row.Key,
		LockedAt:       optionalTime(row.LockedAt),
		LockedBy:       row.LockedBy,
		Revision:       int(row.Revision),
		Flags:          newFlags(row.Flags),
	}
}

// newFlags returns the names in a flags column. The values there mean nothing.
func newFlags(column json.RawMessage) []string {
	var flags map[string]json.RawMessage
	if column == nil || json.Unmarshal(column, &flags) != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(flags))
}
