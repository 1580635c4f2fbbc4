package admin

import (
	"context"
	"iter"
	"math"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// A SortKey is the column that a list is sorted by. Jobs with equal values are sorted by id.
type SortKey string

const (
	ByID        SortKey = "id" // the default. The other keys sort all jobs that match, unless there is an index for them
	ByRunAt     SortKey = "run_at"
	ByCreatedAt SortKey = "created_at"
	ByPriority  SortKey = "priority"
	ByAttempts  SortKey = "attempts"
)

// MaxPageSize is the greatest number of jobs on a page.
const MaxPageSize = 10_000

// ListOptions are the options of [Client.ListJobs]. The zero value or nil lists the first
// 100 jobs by id, without their payloads.
type ListOptions struct {
	SortBy     SortKey // empty: ByID
	Descending bool
	PageSize   int    // 1 to MaxPageSize; 0: 100
	Cursor     string // Page.Next of the previous page in the same order; empty: the first page
	// PayloadBytes is the greatest size of a payload in the list. Larger payloads are
	// left out; 0: all payloads are left out.
	PayloadBytes int
}

// A ListedJob is a job with its state.
type ListedJob struct {
	Job
	State        State `json:"state"`
	PayloadBytes int   `json:"payload_bytes,omitempty"` // the size of the payload, even if it is left out; 0 if ListOptions.PayloadBytes is 0
	// QueueLockedAt and QueueLockedBy are the lock of the job's queue. A [Waiting] job
	// waits for this worker. They are nil if the queue is not locked or paused, or the job
	// has no queue.
	QueueLockedAt *time.Time `json:"queue_locked_at"`
	QueueLockedBy *string    `json:"queue_locked_by"`
	QueuePaused   *Pause     `json:"queue_paused,omitempty"` // nil: the queue is not paused
}

// A Page is one page of a list.
type Page struct {
	Jobs []ListedJob `json:"jobs"`
	// Next is the cursor of the next page; empty: this is the last page.
	Next string `json:"next,omitempty"`
}

// ListJobs reads a page of the jobs that match the filter. It takes no lock. A page starts
// after the last job of the previous page: jobs that are added or deleted in between do not
// move others to another page, and a late page costs as much as the first. The order by id
// uses an index. Any other order sorts all jobs that match, unless there is an index for
// it: see package migrations.
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
	if err := c.onReader().ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	size := int(params.PageSize)
	params.PageSize++ // one more job shows that another page follows
	var err error
	if params.TaskIds, err = c.taskIDs(ctx, c.reading(), filter); err != nil {
		return nil, c.failure(call, err)
	}
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

// AllJobs iterates over all jobs that match the filter. It reads them page by page with
// [Client.ListJobs] and its options. The iteration ends after an error.
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

// listOptions validates the options and sets them in the parameters.
func (f *faults) listOptions(options *ListOptions, params *db.JobListParams) {
	params.Sort = "id"
	switch options.SortBy {
	case "", ByID:
	case ByRunAt, ByCreatedAt, ByPriority, ByAttempts:
		params.Sort = string(options.SortBy)
	default:
		f.add("sort", "by %q is unknown: use %s, %s, %s, %s or %s", options.SortBy, ByID, ByRunAt, ByCreatedAt, ByPriority, ByAttempts)
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
	lockedAt, lockedBy, paused := queueLock(row.QueueLockedAt, row.QueueLockedBy)
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
		QueueLockedAt: lockedAt,
		QueueLockedBy: lockedBy,
		QueuePaused:   paused,
	}
}
