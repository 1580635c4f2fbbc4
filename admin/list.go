package admin

import (
	"context"
	"iter"
	"math"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// A SortKey is the column that a list is sorted by, and after it by id.
type SortKey string

const (
	ByID        SortKey = "id" // the default. The others sort all that match, unless an index is built for them
	ByRunAt     SortKey = "run_at"
	ByCreatedAt SortKey = "created_at"
	ByPriority  SortKey = "priority"
	ByAttempts  SortKey = "attempts"
)

// MaxPageSize is the most jobs that one page may have.
const MaxPageSize = 10_000

// ListOptions are the options of [Client.ListJobs]. The zero value, or nil, is the first
// 100 jobs by id, without their payloads.
type ListOptions struct {
	SortBy     SortKey // empty: ByID
	Descending bool
	PageSize   int    // 1 to MaxPageSize; 0: 100
	Cursor     string // Page.Next of the page before, in the same order; empty: the first page
	// PayloadBytes is the greatest size of a payload in the list. Larger ones are left
	// out; 0 leaves out all.
	PayloadBytes int
}

// A ListedJob is a job with its state.
type ListedJob struct {
	Job
	State        State `json:"state"`
	PayloadBytes int   `json:"payload_bytes,omitempty"` // the payload's size, also of one left out; 0 if no payloads are asked for
	// QueueLockedAt and QueueLockedBy say who holds the job's queue, for this job or
	// another one, and since when: that is whom a [Waiting] job waits for. They are nil
	// if nobody does, and without a queue.
	QueueLockedAt *time.Time `json:"queue_locked_at"`
	QueueLockedBy *string    `json:"queue_locked_by"`
}

// A Page is a part of a list.
type Page struct {
	Jobs []ListedJob `json:"jobs"`
	// Next is the cursor of the next page; empty after the last one.
	Next string `json:"next,omitempty"`
}

// ListJobs reads a page of the jobs that match the filter. It takes no lock. A page
// begins where the one before ended: jobs that come and go in between shift none, and a
// late page costs what the first does. The order by id comes off an index. Any other
// sorts all jobs that match, unless an index for it is built; see package migrations.
func (c *Client) ListJobs(ctx context.Context, filter Filter, options *ListOptions) (*Page, error) {
	const call = "list jobs"
	if options == nil {
		options = &ListOptions{}
	}
	var f faults
	params := f.filter(filter)
	f.listOptions(options, &params)
	if err := f.err(call); err != nil {
		return nil, err
	}
	if err := c.ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	size := int(params.PageSize)
	params.PageSize++ // tells whether another page follows
	var err error
	if params.HeldQueues, err = c.heldQueues(ctx, c.reading(), filter); err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.JobList(ctx, customPlan(c.reading()), params)
	if err != nil {
		return nil, c.filterFailure(call, filter, err)
	}
	page := &Page{Jobs: make([]ListedJob, 0, min(len(rows), size))}
	for _, row := range rows[:min(len(rows), size)] {
		page.Jobs = append(page.Jobs, newListedJob(row))
	}
	if len(rows) > size {
		page.Next = newCursor(params.Sort, &rows[size-1]).String()
	}
	return page, nil
}

// AllJobs iterates over all jobs that match the filter, reading them page by page. The
// options are those of [Client.ListJobs]; PageSize is how many are read at once. It ends
// after an error.
func (c *Client) AllJobs(ctx context.Context, filter Filter, options *ListOptions) iter.Seq2[ListedJob, error] {
	return func(yield func(ListedJob, error) bool) {
		var next ListOptions
		if options != nil {
			next = *options
		}
		for {
			page, err := c.ListJobs(ctx, filter, &next)
			if err != nil {
				yield(ListedJob{}, err)
				return
			}
			for _, job := range page.Jobs {
				if !yield(job, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			next.Cursor = page.Next
		}
	}
}

// listOptions validates the options and puts them into the parameters.
func (f *faults) listOptions(options *ListOptions, params *db.JobListParams) {
	params.Sort = "id"
	switch options.SortBy {
	case "", ByID:
	case ByRunAt, ByCreatedAt, ByPriority, ByAttempts:
		params.Sort = string(options.SortBy)
	default:
		f.add("sort", "by %q is none of %s, %s, %s, %s, %s", options.SortBy, ByID, ByRunAt, ByCreatedAt, ByPriority, ByAttempts)
	}
	if options.Descending {
		params.Sort = "-" + params.Sort
	}
	switch size := options.PageSize; {
	case size < 0 || size > MaxPageSize:
		f.add("page_size", "%d is outside 1 to %d", size, MaxPageSize)
	case size == 0:
		params.PageSize = 100
	default:
		params.PageSize = int32(size)
	}
	if options.PayloadBytes < 0 || options.PayloadBytes > math.MaxInt32 {
		f.add("payload_bytes", "%d is outside 0 to %d", options.PayloadBytes, math.MaxInt32)
	}
	params.PayloadCap = int32(min(options.PayloadBytes, math.MaxInt32))
	if options.PayloadBytes == 0 {
		params.PayloadCap = -1
	}
	if options.Cursor == "" {
		return
	}
	at, err := parseCursor(options.Cursor)
	switch {
	case err != nil:
		f.add("cursor", "%v: take it from Page.Next as it is", err)
	case at.Sort != params.Sort:
		f.add("cursor", "is of a list sorted by %q, and this list is sorted by %q", at.Sort, params.Sort)
	default:
		params.CursorID, params.CursorTime, params.CursorNumber = &at.ID, at.Time, at.Number
	}
}

func newListedJob(row db.JobListRow) ListedJob {
	return ListedJob{
		Job: newJob(jobRow{
			ID:             row.ID,
			Payload:        row.Payload,
			Priority:       row.Priority,
			RunAt:          row.RunAt,
			Attempts:       row.Attempts,
			MaxAttempts:    row.MaxAttempts,
			LastError:      row.LastError,
			CreatedAt:      row.CreatedAt,
			UpdatedAt:      row.UpdatedAt,
			Key:            row.Key,
			LockedAt:       row.LockedAt,
			LockedBy:       row.LockedBy,
			Revision:       row.Revision,
			Flags:          row.Flags,
			TaskIdentifier: row.TaskIdentifier,
			QueueName:      row.QueueName,
		}),
		State:         State(row.State),
		PayloadBytes:  int(row.PayloadBytes),
		QueueLockedAt: optionalTime(row.QueueLockedAt),
		QueueLockedBy: row.QueueLockedBy,
	}
}
