package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/db"
)

// A Filter selects the jobs that match all its fields. A nil field matches every job. An
// empty list matches no job.
type Filter struct {
	IDs             []int64
	States          []State
	TaskIdentifiers []string
	QueueNames      []string
	Keys            []string
	KeyPrefix       *string
	WorkerIDs       []string // the worker that holds the job, see Job.LockedBy
	Flags           []string // the job has at least one of them
	OnHold          *bool    // the job is on hold, or is not: see Client.HoldJobs
	Priority        IntRange
	Attempts        IntRange
	RunAt           TimeRange
	CreatedAt       TimeRange
	UpdatedAt       TimeRange
	LockedAt        TimeRange
	ErrorText       *string         // a part of the last error, in upper or lower case
	PayloadContains json.RawMessage // JSON that the payload contains, by PostgreSQL's operator @>
	PayloadPath     *string         // an SQL/JSON path that has a result in the payload, by the operator @?
}

// An IntRange is the numbers from From to To, both included. A nil bound is no bound.
type IntRange struct {
	From, To *int
}

// A TimeRange is the times from From, included, to Before, excluded. A nil bound is no
// bound.
type TimeRange struct {
	From, Before *time.Time
}

// filter validates a filter and returns it as parameters of JobList.
func (f *faults) filter(filter Filter) db.JobListParams {
	params := db.JobListParams{
		Ids:         filter.IDs,
		QueueNames:  filter.QueueNames,
		Keys:        filter.Keys,
		KeyPrefix:   filter.KeyPrefix,
		WorkerIds:   filter.WorkerIDs,
		Flags:       filter.Flags,
		OnHold:      filter.OnHold,
		ErrorText:   filter.ErrorText,
		PayloadPath: filter.PayloadPath,
	}
	if filter.States != nil {
		params.States = []string{}
	}
	for _, state := range filter.States {
		if !slices.Contains(States, state) {
			f.add("states", "has %q: use one of %v", state, States)
		}
		params.States = append(params.States, string(state))
	}
	for field, texts := range map[string][]string{
		"task_identifiers": filter.TaskIdentifiers, "queue_names": filter.QueueNames, "keys": filter.Keys,
		"worker_ids": filter.WorkerIDs, "flags": filter.Flags,
	} {
		for _, text := range texts {
			f.text(field, text, anyLength)
		}
	}
	for field, text := range map[string]*string{
		"key_prefix": filter.KeyPrefix, "error_text": filter.ErrorText, "payload_path": filter.PayloadPath,
	} {
		if text != nil {
			f.text(field, *text, anyLength)
		}
	}
	if filter.PayloadContains != nil {
		before := len(f.found)
		params.PayloadContains = f.payload(filter.PayloadContains)
		for i := range f.found[before:] {
			f.found[before+i].Field = "payload_contains"
		}
	}
	params.PriorityFrom, params.PriorityTo = f.ints("priority", filter.Priority)
	params.AttemptsFrom, params.AttemptsTo = f.ints("attempts", filter.Attempts)
	params.RunFrom, params.RunBefore = f.times("run_at", filter.RunAt)
	params.CreatedFrom, params.CreatedBefore = f.times("created_at", filter.CreatedAt)
	params.UpdatedFrom, params.UpdatedBefore = f.times("updated_at", filter.UpdatedAt)
	params.LockedFrom, params.LockedBefore = f.times("locked_at", filter.LockedAt)
	return params
}

func (f *faults) ints(field string, r IntRange) (from, to *int32) {
	for _, n := range []*int{r.From, r.To} {
		if n != nil && (*n < math.MinInt32 || *n > math.MaxInt32) {
			f.add(field, "%d is outside 32 bits", *n)
		}
	}
	if r.From != nil && r.To != nil && *r.From > *r.To {
		f.add(field, "from %d to %d matches no job: from is greater than to", *r.From, *r.To)
	}
	return int32Of(r.From), int32Of(r.To)
}

func (f *faults) times(field string, r TimeRange) (from, before pgtype.Timestamptz) {
	for _, t := range []*time.Time{r.From, r.Before} {
		if t != nil {
			if problem := timeFault(*t); problem != "" {
				f.add(field, "%s", problem)
			}
		}
	}
	if r.From != nil && r.Before != nil && !r.From.Before(*r.Before) {
		f.add(field, "from %s before %s matches no job: the first is not the earlier one", r.From.Format(time.RFC3339), r.Before.Format(time.RFC3339))
	}
	return roundUp(r.From), roundUp(r.Before)
}

// roundUp rounds t up to a microsecond, the precision of PostgreSQL. The same jobs are
// before the result as before t.
func roundUp(t *time.Time) pgtype.Timestamptz {
	if t == nil {
		return pgtype.Timestamptz{}
	}
	return timestamptz(t.Add(time.Microsecond - 1))
}

// taskIDs returns the ids of the filter's tasks, which the planner knows the numbers of jobs
// of; nil if the filter has no tasks, and none if there are no such tasks.
func (c *Client) taskIDs(ctx context.Context, on db.DBTX, filter Filter) ([]int32, error) {
	if filter.TaskIdentifiers == nil {
		return nil, nil
	}
	ids, err := c.queries.TaskIDs(ctx, on, db.TaskIDsParams{Identifiers: filter.TaskIdentifiers})
	if ids == nil {
		ids = []int32{}
	}
	return ids, err
}

// heldQueues returns the ids of the locked queues if the filter selects only waiting and
// paused jobs, so that an index on the queue applies. Otherwise it returns nil.
func (c *Client) heldQueues(ctx context.Context, on db.DBTX, filter Filter) ([]int32, error) {
	if len(filter.States) == 0 || slices.ContainsFunc(filter.States, func(s State) bool { return s != Waiting && s != Paused }) {
		return nil, nil
	}
	return c.queries.QueueHeldIDs(ctx, on)
}

// filterFailure returns an [*InvalidError] for an error of PostgreSQL about a payload
// filter, and otherwise the error of [Client.failure].
func (c *Client) filterFailure(call string, filter Filter, err error) error {
	var field string
	switch {
	case filter.PayloadPath != nil && filter.PayloadContains != nil:
		field = "payload_path or payload_contains"
	case filter.PayloadPath != nil:
		field = "payload_path"
	case filter.PayloadContains != nil:
		field = "payload_contains"
	}
	var pgErr *pgconn.PgError
	if field == "" || !errors.As(err, &pgErr) {
		return c.failure(call, err)
	}
	// A syntax error, an unknown variable, an unsupported feature, or bad data.
	if !slices.Contains([]string{"42601", "42704", "0A000"}, pgErr.Code) && !strings.HasPrefix(pgErr.Code, "22") {
		return c.failure(call, err)
	}
	return fmt.Errorf("%w: %w", &InvalidError{Call: call, Faults: []Fault{{Field: field, Problem: "is refused by PostgreSQL"}}}, err)
}
