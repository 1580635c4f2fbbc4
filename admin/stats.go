package admin

import (
	"cmp"
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// Counts are numbers of jobs by their state. A state without jobs is not in it.
type Counts map[State]int64

// Total is the number of jobs in all states.
func (c Counts) Total() int64 {
	var total int64
	for _, jobs := range c {
		total += jobs
	}
	return total
}

// Stats are numbers of all jobs, exact unless Estimate says otherwise.
type Stats struct {
	Jobs  Counts            `json:"jobs"`
	Tasks map[string]Counts `json:"tasks"` // of those that have jobs
	// Queues are those of the queues that have jobs; jobs without one are in none. An
	// estimate has no more than MaxEstimatedQueues, those with the most jobs.
	Queues map[string]Counts `json:"queues"`
	// OldestReady is the first run_at among the ready jobs, and so how long the
	// queue is behind; nil without any. Infinite ones do not count.
	OldestReady *time.Time `json:"oldest_ready"`
	// NextRunAt is when the next job becomes due that is scheduled or to be
	// retried; nil without any. Infinite ones do not count.
	NextRunAt *time.Time `json:"next_run_at"`
	// Attempts is how often jobs have been taken, those taken the least first.
	Attempts []AttemptCount `json:"attempts"`
	// Errors are what the jobs' last errors look like, the most frequent first; nil
	// unless asked for.
	Errors []ErrorShape `json:"errors"`
	// OtherErrors are the jobs whose last error looks like none of Errors.
	OtherErrors int64 `json:"other_errors"`
	// Estimate says how far off the numbers are; nil where all are exact.
	Estimate *Estimate `json:"estimate"`
}

// An AttemptCount is how many jobs have been taken so often.
type AttemptCount struct {
	Attempts int   `json:"attempts"`
	Jobs     int64 `json:"jobs"`
	Margin   int64 `json:"margin"` // see [Estimate]; 0 where Jobs is exact
}

// An ErrorShape is how many jobs have last errors that look alike.
type ErrorShape struct {
	// Shape is the beginning of the errors' first line, up to 100 characters of it,
	// with a star for each part that varies: words with a digit or an @ in them, such
	// as numbers, ids and addresses, what is in quotes, and the query of a URL.
	Shape     string `json:"shape"`
	Jobs      int64  `json:"jobs"`
	Margin    int64  `json:"margin"`     // see [Estimate]; 0 where Jobs is exact
	ExampleID int64  `json:"example_id"` // one of the jobs
	Example   string `json:"example"`    // its last error, up to 200 characters of it
}

// An Estimate says how far off numbers may be that are counted on a part of the
// table's pages, each as likely as any other, and multiplied by the pages there are.
//
// The margins are those of 95 of 100 estimates: so many more or fewer jobs there
// may be than the number says. Since jobs that were added together are alike and
// share pages, it is not the jobs but the pages that a margin takes for independent
// of each other: it is 1.96 times the standard error that follows from how much the
// pages' numbers differ, and three pages' worth on top, for what is so rare that its
// pages were few. [AttemptCount] and [ErrorShape] have their margins in themselves.
type Estimate struct {
	Pages   int64 `json:"pages"`   // that the table has, of 8 kB as a rule
	Sampled int64 `json:"sampled"` // of these, how many were read
	// Total is the margin of [Stats.Jobs]'s total; Jobs, Tasks and Queues are those of
	// the counts of the same name.
	Total  int64             `json:"total"`
	Jobs   Counts            `json:"jobs"`
	Tasks  map[string]Counts `json:"tasks"`
	Queues map[string]Counts `json:"queues"`
	// OtherErrors is the margin of Stats.OtherErrors.
	OtherErrors int64 `json:"other_errors"`
	// OtherQueues is how many more queues have jobs on the pages that were read, each
	// no more than any of Stats.Queues.
	OtherQueues int64 `json:"other_queues"`
	// Unseen is how many jobs a state, task, queue or shape may have that has none on
	// the pages that were read, in 95 of 100 estimates.
	Unseen int64 `json:"unseen"`
	// TimesExact is whether Stats.OldestReady and Stats.NextRunAt are exact, which
	// they are as a rule. Otherwise there may be earlier ones: of more than a thousand
	// priorities, or behind a hundred jobs of one priority that wait for their queues.
	TimesExact bool `json:"times_exact"`
}

const (
	// MaxErrorShapes is the most shapes of errors that [Client.Stats] tells apart.
	MaxErrorShapes = 1000
	// MinSamplePages and MaxSamplePages bound how many pages an estimate reads.
	MinSamplePages, MaxSamplePages = 30, 10_000
	// MaxEstimatedQueues is the most queues that an estimate tells apart.
	MaxEstimatedQueues = 1000
)

// StatsOptions say what is counted, and how well. The zero value, or nil, is all but
// the errors, exactly.
type StatsOptions struct {
	// ErrorShapes is how many shapes of last errors to tell apart, up to
	// MaxErrorShapes; 0 leaves them out. They take about as long again as the rest.
	ErrorShapes int
	// ErrorStates are the states of the jobs whose last errors ErrorShapes tells apart; empty
	// means all states.
	ErrorStates []State
	// SkipQueues leaves out the numbers by queue, which take about half of the time.
	SkipQueues bool
	// Estimate reads a bounded part of the table instead of all of it, however large it
	// is. A table that is no larger than that part is counted exactly.
	Estimate bool
	// SamplePages is how many pages an estimate reads, MinSamplePages to MaxSamplePages;
	// 0: 2000. Four times as many halve the margins. Without Estimate it is not used.
	SamplePages int
}

// Stats counts all jobs by state, task, queue, attempts and, if asked to, by what
// their last errors look like. It takes no lock, and the numbers are all of one moment.
// Without Estimate it goes through the whole table twice, once of it for the queues,
// and what it returns grows with their number.
//
// An estimate takes its numbers from the pages, in one statement, and OldestReady and
// NextRunAt a moment later from the index that workers fetch by. Until it is vacuumed
// that keeps entries of jobs that are gone, which are walked over, as workers do.
func (c *Client) Stats(ctx context.Context, options *StatsOptions) (*Stats, error) {
	const call = "stats"
	if options == nil {
		options = &StatsOptions{}
	}
	var f faults
	if options.ErrorShapes < 0 || options.ErrorShapes > MaxErrorShapes {
		f.add("error_shapes", "%d is outside 0 to %d", options.ErrorShapes, MaxErrorShapes)
	}
	if n := options.SamplePages; n != 0 && (n < MinSamplePages || n > MaxSamplePages) {
		f.add("sample_pages", "%d is outside %d to %d", n, MinSamplePages, MaxSamplePages)
	}
	for _, state := range options.ErrorStates {
		if !slices.Contains(States, state) {
			f.add("error_states", "has %q: use one of %v", state, States)
		}
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	stats, err := c.count(ctx, options)
	if err != nil {
		return nil, c.failure(call, err)
	}
	return stats, nil
}

func (c *Client) count(ctx context.Context, options *StatsOptions) (*Stats, error) {
	if err := c.onReader().ready(ctx, readJobs); err != nil {
		return nil, err
	}
	params := db.JobCountParams{Shapes: int32(options.ErrorShapes)}
	for _, state := range options.ErrorStates {
		params.ErrorStates = append(params.ErrorStates, string(state))
	}
	var from *sample
	if options.Estimate {
		span, err := c.queries.JobSpan(ctx, c.reading())
		if err != nil {
			return nil, err
		}
		most := options.SamplePages
		if most == 0 {
			most = 2000
		}
		if pages := span.Pages; pages > int64(most) {
			from = &sample{pages: float64(pages), sampled: float64(most)}
			params.Pages = draw(most, pages)
			params.MaxQueues = new(int32(MaxEstimatedQueues))
		}
	}
	if options.SkipQueues {
		params.MaxQueues = new(int32(0))
	}
	rows, err := c.queries.JobCount(ctx, customPlan(c.reading()), params)
	if err != nil {
		return nil, err
	}
	stats := newStats(rows, options.ErrorShapes > 0, from)
	if from != nil {
		times, err := c.queries.JobTimes(ctx, c.reading())
		if err != nil {
			return nil, err
		}
		stats.OldestReady, stats.NextRunAt = optionalTime(times.OldestReady), optionalTime(times.NextRunAt)
		stats.Estimate.TimesExact = times.Certain
	}
	return stats, nil
}

// newStats puts the counted parts together. A nil sample has counted everything.
func newStats(rows []db.JobCountRow, errors bool, from *sample) *Stats {
	stats := &Stats{Jobs: Counts{}, Tasks: map[string]Counts{}, Queues: map[string]Counts{}, Attempts: []AttemptCount{}}
	margins := &Estimate{Jobs: Counts{}, Tasks: map[string]Counts{}, Queues: map[string]Counts{}}
	if from != nil {
		margins.Pages, margins.Sampled = int64(from.pages), int64(from.sampled)
		margins.Unseen = from.unseen(mostPerPage)
		margins.Total = margins.Unseen
		stats.Estimate = margins
	}
	if errors {
		stats.Errors = []ErrorShape{}
	}
	for _, row := range rows {
		if row.Part == nil {
			continue // there is no job
		}
		jobs, margin := from.scale(row)
		var state State
		if row.State != nil {
			state = State(*row.State)
		}
		switch *row.Part {
		case "all":
			margins.Total, margins.Unseen = margin, from.unseen(row.Most)
			margins.OtherQueues = max(0, row.Queues-MaxEstimatedQueues)
		case "state":
			stats.Jobs[state], margins.Jobs[state] = jobs, margin
			switch state {
			case Ready:
				stats.OldestReady = optionalTime(row.FirstRunAt)
			case Scheduled, Retrying:
				stats.NextRunAt = earlier(stats.NextRunAt, optionalTime(row.FirstRunAt))
			}
		case "task":
			if row.TaskIdentifier != nil {
				count(stats.Tasks, *row.TaskIdentifier, state, jobs)
				count(margins.Tasks, *row.TaskIdentifier, state, margin)
			}
		case "queue":
			if row.QueueName != nil {
				count(stats.Queues, *row.QueueName, state, jobs)
				count(margins.Queues, *row.QueueName, state, margin)
			}
		case "attempts":
			stats.Attempts = append(stats.Attempts, AttemptCount{Attempts: int(row.Attempts), Jobs: jobs, Margin: margin})
		case "error":
			if row.Shape == nil {
				stats.OtherErrors, margins.OtherErrors = jobs, margin
				continue
			}
			stats.Errors = append(stats.Errors, ErrorShape{
				Shape: *row.Shape, Jobs: jobs, Margin: margin, ExampleID: row.FirstID, Example: row.Example,
			})
		}
	}
	slices.SortFunc(stats.Attempts, func(a, b AttemptCount) int { return cmp.Compare(a.Attempts, b.Attempts) })
	slices.SortFunc(stats.Errors, func(a, b ErrorShape) int {
		return cmp.Or(cmp.Compare(b.Jobs, a.Jobs), cmp.Compare(a.Shape, b.Shape))
	})
	return stats
}

func count(of map[string]Counts, name string, state State, jobs int64) {
	if of[name] == nil {
		of[name] = Counts{}
	}
	of[name][state] += jobs
}

func earlier(a, b *time.Time) *time.Time {
	if b == nil || a != nil && !b.Before(*a) {
		return a
	}
	return b
}

// A sample is a part of a table's pages. The nil sample is all of them.
type sample struct{ pages, sampled float64 }

// draw picks n of so many pages, every such set of them as likely as any other.
func draw(n int, pages int64) []int64 {
	picked := make(map[int64]bool, n)
	for last := pages - int64(n); last < pages; last++ {
		page := rand.Int64N(last + 1)
		if picked[page] {
			page = last
		}
		picked[page] = true
	}
	return slices.Sorted(maps.Keys(picked))
}

// rare is how many pages may hold what is on none of so many sampled ones, times
// these: of what is on more pages than that, 95 of 100 samples have a page (e^-3).
const rare = 3

// mostPerPage is how many jobs a page has at most that has no page to compare with: a
// job takes 100 bytes or more.
const mostPerPage = 80

// scale returns how many jobs a row stands for, and the margin of that number.
func (s *sample) scale(row db.JobCountRow) (jobs, margin int64) {
	if s == nil {
		return row.Jobs, 0
	}
	total := float64(row.Jobs)
	factor := s.pages / s.sampled
	// The variance between pages, those without any such job among them; and that of
	// the estimate, which a page that is read does not add to.
	variance := max(0, row.Squares-total*total/s.sampled) / (s.sampled - 1)
	deviation := s.pages * math.Sqrt((1-s.sampled/s.pages)*variance/s.sampled)
	perPage := row.Squares / total // of the pages that have any, as a job of them sees it
	return int64(math.Round(total * factor)), int64(math.Ceil(1.96*deviation + rare*(factor-1)*perPage))
}

// unseen is how many jobs there may be of a kind that no sampled page has, where no
// page has more than so many jobs.
func (s *sample) unseen(most int64) int64 {
	if s == nil {
		return 0
	}
	return int64(math.Ceil(rare * (s.pages/s.sampled - 1) * float64(most)))
}
