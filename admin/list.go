package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/db"
)

// A State is what a worker that fetches now would make of a job. Every job is in
// one state.
type State string

const (
	Ready       State = "ready"       // it would take it
	Scheduled   State = "scheduled"   // its run_at is to come, and nobody has taken it yet
	Retrying    State = "retrying"    // it has failed, and its run_at is to come
	Waiting     State = "waiting"     // its turn has come, and its queue is held
	Running     State = "running"     // a worker holds it
	Stale       State = "stale"       // a worker has held it for longer than StaleAfter
	Permafailed State = "permafailed" // it has used up its attempts
)

// States are all states, in the order of a job's life.
var States = []State{Scheduled, Waiting, Ready, Running, Stale, Retrying, Permafailed}

// A Filter picks jobs. A nil field picks any; all that are given must hold. An
// empty list picks none.
type Filter struct {
	IDs             []int64
	States          []State
	TaskIdentifiers []string
	QueueNames      []string
	Keys            []string
	KeyPrefix       *string
	WorkerIDs       []string // who holds the job, see Job.LockedBy
	Flags           []string // one of them is enough
	MinPriority     *int
	MaxPriority     *int
	MinAttempts     *int
	MaxAttempts     *int
	RunAt           TimeRange
	CreatedAt       TimeRange
	UpdatedAt       TimeRange
	LockedAt        TimeRange
	ErrorText       *string         // is somewhere in the last error, in upper or lower case
	PayloadContains json.RawMessage // JSON that the payload contains, as PostgreSQL's @> means it
	PayloadPath     *string         // an SQL/JSON path that finds something in the payload, as @? means it
}

// A TimeRange holds the moments from From on, and before Before. Nil is unbounded.
type TimeRange struct {
	From, Before *time.Time
}

// SortKey is what a list is sorted by. Jobs that are alike in it are sorted by id.
type SortKey string

const (
	ByID        SortKey = "id" // the default, and the only one that an index serves unless migrations.AddIndexes has built one for another
	ByRunAt     SortKey = "run_at"
	ByCreatedAt SortKey = "created_at"
	ByPriority  SortKey = "priority"
	ByAttempts  SortKey = "attempts"
)

// MaxPageSize is the most jobs that one page may have.
const MaxPageSize = 10_000

// ListOptions say how a list is cut. The zero value, or nil, is the first 100 jobs
// by id, without their payloads.
type ListOptions struct {
	SortBy     SortKey // empty: ByID
	Descending bool
	PageSize   int    // 1 to MaxPageSize; 0: 100
	Cursor     string // Page.Next of the page before, in the same order; empty: the first page
	// PayloadBytes is the size up to which payloads are part of the list. Larger
	// ones are left out; 0 leaves out all.
	PayloadBytes int
}

// A ListedJob is a job with its state. Its task identifier is empty when its task is
// gone, which GC_TASK_IDENTIFIERS beside a producer may lead to.
type ListedJob struct {
	Job
	State        State `json:"state"`
	PayloadBytes int   `json:"payload_bytes"` // how long the payload is, be it in the list or not; 0 where none was asked for
	// QueueLockedAt and QueueLockedBy say who holds the job's queue, for this job or
	// another one, and since when: whom a job that is [Waiting] waits for. They are nil
	// when nobody does, and without a queue.
	QueueLockedAt *time.Time `json:"queue_locked_at"`
	QueueLockedBy *string    `json:"queue_locked_by"`
}

// A Page is a part of a list.
type Page struct {
	Jobs []ListedJob `json:"jobs"`
	// Next is the cursor of the next page; empty after the last one.
	Next string `json:"next,omitempty"`
}

// ListJobs reads a page of the jobs that match the filter. It takes no lock. Pages
// are told by where the one before ended, so that jobs which come and go in between
// shift none, and a late page costs what the first does. Only the order by id comes
// off an index, unless migrations.AddIndexes has built one for another; every other one
// sorts all that match.
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
	params.PageSize++ // to see whether another page follows
	rows, err := c.queries.JobList(ctx, c.planned(), params)
	if err != nil {
		return nil, c.listFailure(call, filter, err)
	}
	page := &Page{Jobs: make([]ListedJob, 0, min(len(rows), size))}
	for _, row := range rows[:min(len(rows), size)] {
		page.Jobs = append(page.Jobs, newListedJob(row, options.PayloadBytes))
	}
	if len(rows) > size {
		page.Next = newCursor(params.Sort, &rows[size-1]).String()
	}
	return page, nil
}

// AllJobs goes through all jobs that match the filter, a page at a time. Options are
// those of [Client.ListJobs]; PageSize is how many are read at once. After an error
// it ends.
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

// filter validates a filter and returns it as the query takes it.
func (f *faults) filter(filter Filter) db.JobListParams {
	params := db.JobListParams{
		Ids:             filter.IDs,
		TaskIdentifiers: filter.TaskIdentifiers,
		QueueNames:      filter.QueueNames,
		Keys:            filter.Keys,
		KeyPrefix:       filter.KeyPrefix,
		WorkerIds:       filter.WorkerIDs,
		Flags:           filter.Flags,
		MinPriority:     f.bound("min_priority", filter.MinPriority),
		MaxPriority:     f.bound("max_priority", filter.MaxPriority),
		MinAttempts:     f.bound("min_attempts", filter.MinAttempts),
		MaxAttempts:     f.bound("max_attempts", filter.MaxAttempts),
		ErrorText:       filter.ErrorText,
		PayloadPath:     filter.PayloadPath,
	}
	if filter.States != nil {
		params.States = []string{}
	}
	for _, state := range filter.States {
		if !slices.Contains(States, state) {
			f.add("states", "has %q, which is none of %v", state, States)
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
	f.ordered("priority", filter.MinPriority, filter.MaxPriority)
	f.ordered("attempts", filter.MinAttempts, filter.MaxAttempts)
	params.RunFrom, params.RunBefore = f.times("run_at", filter.RunAt)
	params.CreatedFrom, params.CreatedBefore = f.times("created_at", filter.CreatedAt)
	params.UpdatedFrom, params.UpdatedBefore = f.times("updated_at", filter.UpdatedAt)
	params.LockedFrom, params.LockedBefore = f.times("locked_at", filter.LockedAt)
	return params
}

func (f *faults) bound(field string, n *int) *int32 {
	if n != nil && (*n < math.MinInt32 || *n > math.MaxInt32) {
		f.add(field, "%d is beyond 32 bits", *n)
	}
	return int32Of(n)
}

func (f *faults) ordered(field string, least, most *int) {
	if least != nil && most != nil && *least > *most {
		f.add(field, "is to be at least %d and at most %d: no job can be", *least, *most)
	}
}

func (f *faults) times(field string, r TimeRange) (from, before *time.Time) {
	for _, t := range []*time.Time{r.From, r.Before} {
		if t != nil {
			if problem := At(*t).fault(); problem != "" {
				f.add(field, "%s", problem)
			}
		}
	}
	if r.From != nil && r.Before != nil && !r.From.Before(*r.Before) {
		f.add(field, "is to be from %s and before %s: no job's can be", r.From.Format(time.RFC3339), r.Before.Format(time.RFC3339))
	}
	return roundUp(r.From), roundUp(r.Before)
}

// roundUp returns the first moment from t on that PostgreSQL can keep, so that no
// job is on the other side of it than of t.
func roundUp(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC().Add(time.Microsecond - 1).Truncate(time.Microsecond))
}

// listOptions validates options and puts them into the parameters.
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
		f.add("cursor", "is one of a list sorted by %q, and this is one by %q", at.Sort, params.Sort)
	default:
		params.CursorID, params.CursorTime, params.CursorNumber = &at.ID, at.Time, at.Number
	}
}

// A cursor is where a page ended.
type cursor struct {
	Sort   string  `json:"s"`
	ID     int64   `json:"i"`
	Time   *string `json:"t,omitempty"`
	Number *int32  `json:"n,omitempty"`
}

func newCursor(sort string, last *db.JobListRow) cursor {
	at := cursor{Sort: sort, ID: last.ID}
	switch SortKey(strings.TrimPrefix(sort, "-")) {
	case ByRunAt:
		at.Time = new(timeText(newRunAt(last.RunAt)))
	case ByCreatedAt:
		at.Time = new(timeText(createdAt(last.CreatedAt)))
	case ByPriority:
		at.Number = new(int32(last.Priority))
	case ByAttempts:
		at.Number = new(int32(last.Attempts))
	}
	return at
}

// createdAt is the column as it is, infinity included.
func createdAt(read time.Time) RunAt {
	switch {
	case read.Equal(afterAll):
		return *Never()
	case read.Equal(beforeAll):
		return RunAt{Infinity: pgtype.NegativeInfinity}
	}
	return *At(read)
}

// fits says whether the cursor has what its order needs, and no more.
func (c cursor) fits() bool {
	switch SortKey(strings.TrimPrefix(c.Sort, "-")) {
	case ByRunAt, ByCreatedAt:
		return c.Time != nil && isTimeText(*c.Time) && c.Number == nil
	case ByPriority, ByAttempts:
		return c.Time == nil && c.Number != nil
	}
	return c.Time == nil && c.Number == nil
}

// timeText writes a moment as PostgreSQL reads it, whatever the year.
func timeText(at RunAt) string {
	text := at.String()
	if year := at.Time.UTC().Year(); year < 1 {
		return fmt.Sprintf("%04d%s BC", 1-year, text[1+strings.IndexByte(text[1:], '-'):])
	}
	return text
}

// isTimeText says whether the text is what timeText writes of a moment that
// PostgreSQL can keep.
func isTimeText(text string) bool {
	iso := text
	if date, isBC := strings.CutSuffix(text, " BC"); isBC {
		year, err := strconv.Atoi(date[:max(strings.IndexByte(date, '-'), 0)])
		if err != nil {
			return false
		}
		iso = time.Date(1-year, 1, 1, 0, 0, 0, 0, time.UTC).Format("2006") + date[strings.IndexByte(date, '-'):]
	}
	var at RunAt
	return at.UnmarshalText([]byte(iso)) == nil && timeText(at) == text &&
		(at.Infinity != pgtype.Finite || at.Time.After(beforeAll) && at.Time.Before(afterAll))
}

// String writes the cursor with a sum against being changed; it is no secret.
func (c cursor) String() string {
	body, _ := json.Marshal(c) // which cannot fail
	sum := crc32.ChecksumIEEE(body)
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(body, "%08x", sum))
}

func parseCursor(text string) (cursor, error) {
	var at cursor
	broken := errors.New("is not a cursor, or has been changed")
	whole, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(whole) < 8 {
		return at, broken
	}
	body, sum := whole[:len(whole)-8], whole[len(whole)-8:]
	if string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) || json.Unmarshal(body, &at) != nil || !at.fits() || at.String() != text {
		return at, broken
	}
	return at, nil
}

// listFailure turns PostgreSQL's refusal of what is searched for in payloads into an
// [*InvalidError].
func (c *Client) listFailure(call string, filter Filter, err error) error {
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
	// A syntax error, an unknown variable, a feature it has not, or bad data.
	if !slices.Contains([]string{"42601", "42704", "0A000"}, pgErr.Code) && !strings.HasPrefix(pgErr.Code, "22") {
		return c.failure(call, err)
	}
	return fmt.Errorf("%w: %w", &InvalidError{Call: call, Faults: []Fault{{Field: field, Problem: "is refused by PostgreSQL"}}}, err)
}

func newListedJob(row db.JobListRow, payloadBytes int) ListedJob {
	listed := ListedJob{
		Job: newJob(jobRow{
			ID:             row.ID,
			TaskIdentifier: row.TaskIdentifier,
			QueueName:      row.QueueName,
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
		}),
		State:        State(row.State),
		PayloadBytes: int(row.PayloadBytes),

		QueueLockedAt: utc(row.QueueLockedAt),
		QueueLockedBy: row.QueueLockedBy,
	}
	if payloadBytes > 0 && listed.PayloadBytes <= payloadBytes {
		listed.Payload = json.RawMessage(row.Payload)
	}
	return listed
}

// planned is the reader's connection for statements that must be planned for their
// parameters, which a prepared statement that is kept may not be.
func (c *Client) planned() db.DBTX { return plannedOn(c.reading()) }

func plannedOn(conn renamed) db.DBTX {
	if defaultMode(conn.db) != pgx.QueryExecModeCacheStatement {
		return conn
	}
	return planned{conn}
}

type planned struct{ renamed }

func (p planned) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return p.renamed.Query(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

func defaultMode(on DB) pgx.QueryExecMode {
	switch on := on.(type) {
	case interface{ Config() *pgxpool.Config }:
		return on.Config().ConnConfig.DefaultQueryExecMode
	case interface{ Config() *pgx.ConnConfig }:
		return on.Config().DefaultQueryExecMode
	case interface{ Conn() *pgx.Conn }:
		return on.Conn().Config().DefaultQueryExecMode
	}
	return pgx.QueryExecModeCacheStatement
}
