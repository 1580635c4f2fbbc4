package admin

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// A Job is a row of Graphile Worker's table of jobs, with the names of its task and queue.
// Times are in UTC. If CreatedAt, UpdatedAt or LockedAt is infinite or outside the years 1
// to 9999 in the table, which happens only if it was set by hand, it is the first or last
// moment of these years.
type Job struct {
	ID             int64           `json:"id"`
	TaskIdentifier string          `json:"task_identifier"`   // empty if the task does not exist
	QueueName      *string         `json:"queue_name"`        // nil: no queue, or the queue does not exist, see Stranded
	Payload        json.RawMessage `json:"payload,omitempty"` // nil only if a list left it out
	Priority       int             `json:"priority"`          // smaller runs earlier
	RunAt          RunAt           `json:"run_at"`            // the job does not run before this time
	Attempts       int             `json:"attempts"`          // how often a worker has taken the job
	MaxAttempts    int             `json:"max_attempts"`
	LastError      *string         `json:"last_error"`
	CreatedAt      time.Time       `json:"created_at"`
	UpdatedAt      time.Time       `json:"updated_at"`
	Key            *string         `json:"key"`
	LockedAt       *time.Time      `json:"locked_at"` // nil: not locked
	// LockedBy is the id of the worker pool that holds the job. Before Graphile Worker
	// 0.17 it is the id of the worker.
	LockedBy *string  `json:"locked_by"`
	Revision int      `json:"revision"`       // how often an added job with its key has updated it
	Flags    []string `json:"flags"`          // sorted; nil: no flags
	Hold     *Hold    `json:"hold,omitempty"` // nil: not on hold, see Client.HoldJobs
}

// Permafailed reports whether the job has used all its attempts. No worker takes it again.
func (j *Job) Permafailed() bool { return j.Attempts >= j.MaxAttempts }

// A jobRow is a job as a query returns it, with the names of its task and queue. The rows
// of all queries that change jobs have the same fields.
type jobRow = db.JobCompleteRow

func newJob(row jobRow) Job {
	lockedBy, hold := jobLock(row)
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
		LockedBy:       lockedBy,
		Revision:       int(row.Revision),
		Flags:          newFlags(row.Flags),
		Hold:           hold,
	}
}

// newFlags returns the flags of a job. They are the keys of a JSON object, and its values
// have no meaning.
func newFlags(column json.RawMessage) []string {
	var flags map[string]json.RawMessage
	if column == nil || json.Unmarshal(column, &flags) != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(flags))
}
