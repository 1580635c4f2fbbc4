package observe

import (
	"errors"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/migrations"
)

// A Snapshot is the state of a queue. Its parts are read at different times: each says as of
// when, and how old it is.
type Snapshot struct {
	Schema   string    `json:"schema"`
	TakenAt  time.Time `json:"taken_at"` // when the parts were put together, by the clock of this process
	Due      Due       `json:"due"`
	Activity Activity  `json:"activity"`
	Counts   Counts    `json:"counts"`
	Locks    Locks     `json:"locks"`
	Sizes    Sizes     `json:"sizes"`
	Health   Health    `json:"health"`
	Errors   Errors    `json:"errors"`
}

// Err returns the errors of the parts whose last reading failed, or nil.
func (s *Snapshot) Err() error {
	var all []error
	for _, part := range s.Parts() {
		all = append(all, part.Err)
	}
	return errors.Join(all...)
}

// Parts returns all parts that are read, by name.
func (s *Snapshot) Parts() map[string]Part {
	parts := map[string]Part{
		"due": s.Due.Part, "activity": s.Activity.Part, "counts": s.Counts.Part, "locks": s.Locks.Part,
		"sizes": s.Sizes.Part, "health": s.Health.Part, "errors": s.Errors.Part,
	}
	if s.Errors.Shapes == nil && s.Errors.Error == "" {
		delete(parts, "errors")
	}
	return parts
}

// A Part says how a part of a snapshot was read.
type Part struct {
	// AsOf is the database's time at which the part was read. If it is nil, the part has not
	// been read yet and its other fields mean nothing.
	AsOf *time.Time `json:"as_of"`
	// AgeSeconds is the time since then, by the clock of this process.
	AgeSeconds float64 `json:"age_seconds"`
	// TookSeconds is how long the last reading took, be it successful or not.
	TookSeconds float64 `json:"took_seconds"`
	// IntervalSeconds is how old the part must be to be read again.
	IntervalSeconds float64 `json:"interval_seconds"`
	// Error says why the last reading failed. The part is then that of an earlier reading. It
	// is empty if the reading succeeded. Err is the same error for errors.Is.
	Error string `json:"error,omitempty"`
	Err   error  `json:"-"`
}

// Due is what waits to be run, read from the index that workers fetch by.
type Due struct {
	Part
	// OldestReady is the earliest finite run_at of a ready job; nil if there is none.
	OldestReady *time.Time `json:"oldest_ready"`
	// NextRunAt is the earliest finite run_at in the future; nil if there is none.
	NextRunAt *time.Time `json:"next_run_at"`
	// TimesExact is false if there may be earlier jobs than these: see [admin.Estimate].
	TimesExact bool `json:"times_exact"`
	// Jobs is how many jobs are due and not taken: those that are ready, and those that wait
	// for their queues. It is at most MaxDue: then there may be more.
	Jobs     int64           `json:"jobs"`
	Crontabs []admin.Crontab `json:"crontabs"` // by identifier
}

// MaxDue is the greatest number of [Due.Jobs].
const MaxDue = 10_001

// OldestReadyAge is how long the oldest ready job had been due when the part was read: how
// far the queue was behind. It is 0 if no job was ready.
func (d *Due) OldestReadyAge() time.Duration { return d.since(d.OldestReady) }

// since is the time from then to when the part was read, by the clock of the database. It is
// 0 if then is nil.
func (p *Part) since(then *time.Time) time.Duration {
	if then == nil || p.AsOf == nil {
		return 0
	}
	return p.AsOf.Sub(*then)
}

// Activity is what the primary's statistics say.
type Activity struct {
	Part
	Tables []Table `json:"tables"` // by name
	// Rates are those of the jobs; nil before the second reading, and after the server's
	// statistics were reset.
	Rates *Rates `json:"rates"`
	// OldestTransaction is the oldest open transaction in the database; nil if there is none.
	// A long one keeps vacuum from removing the rows of deleted jobs, which makes workers slow.
	OldestTransaction *Transaction `json:"oldest_transaction"`
	// SeesTransactions is false if the role sees only its own transactions, since it may not
	// use pg_read_all_stats (or pg_monitor).
	SeesTransactions bool `json:"sees_transactions"`
	// NotifyQueueUsage is the used part of PostgreSQL's queue of notifications, 0 to 1. If it
	// is full, jobs cannot be added.
	NotifyQueueUsage float64 `json:"notify_queue_usage"`
}

// OldestTransactionAge was the age of the oldest transaction, 0 if there was none.
func (a *Activity) OldestTransactionAge() time.Duration {
	if a.OldestTransaction == nil {
		return 0
	}
	return a.since(&a.OldestTransaction.Since)
}

// A Table is what PostgreSQL's statistics say about a table. Inserted, Updated and Deleted
// are counted since the statistics were reset, and include rows of transactions that were
// rolled back. Live and Dead are estimates.
type Table struct {
	Name     string `json:"name"` // jobs, job_queues, tasks or known_crontabs
	Inserted int64  `json:"inserted"`
	Updated  int64  `json:"updated"`
	Deleted  int64  `json:"deleted"`
	Live     int64  `json:"live"`
	Dead     int64  `json:"dead"`     // rows that vacuum has not removed yet
	Modified int64  `json:"modified"` // rows changed since the last analyze
	// The times of the last vacuum and analyze, by hand and by autovacuum; nil: never.
	LastVacuum      *time.Time `json:"last_vacuum"`
	LastAutovacuum  *time.Time `json:"last_autovacuum"`
	LastAnalyze     *time.Time `json:"last_analyze"`
	LastAutoanalyze *time.Time `json:"last_autoanalyze"`
}

// Rates are changes of the table of jobs per second, between the last two readings.
type Rates struct {
	Seconds  float64 `json:"seconds"`  // between the readings
	Inserted float64 `json:"inserted"` // jobs added, including those whose transaction was rolled back
	Deleted  float64 `json:"deleted"`  // jobs completed, removed or cleaned up
}

// A Transaction is an open transaction.
type Transaction struct {
	Since    time.Time `json:"since"`
	Prepared bool      `json:"prepared"` // it waits for COMMIT PREPARED
	PID      int       `json:"pid"`      // 0 if Prepared
	State    string    `json:"state"`    // such as "active" or "idle in transaction"; empty if Prepared
	Name     string    `json:"name"`     // the application_name, or the identifier if Prepared
}

// Counts are the numbers of jobs. The numbers by queue are there only with [Options].Queues.
// The errors are in [Errors].
type Counts struct {
	Part
	Stats *admin.Stats `json:"stats"` // nil before the first reading
}

// Locks are the locks that workers hold.
type Locks struct {
	Part
	Holders      int64 `json:"holders"`       // workers with a lock, none of whose locks is stale
	StaleHolders int64 `json:"stale_holders"` // workers with a lock older than admin.StaleAfter
	Jobs         int64 `json:"jobs"`          // locked jobs
	Queues       int64 `json:"queues"`        // queues that workers hold
	Paused       int64 `json:"paused"`        // paused queues
	Stale        int64 `json:"stale"`         // locked jobs and queues whose locks are stale
	// Oldest is the time of the oldest lock; nil if there is none.
	Oldest *time.Time `json:"oldest"`
}

// OldestAge was the age of the oldest lock, 0 if there was none.
func (l *Locks) OldestAge() time.Duration { return l.since(l.Oldest) }

// Sizes are sizes on disk.
type Sizes struct {
	Part
	Relations []Relation `json:"relations"` // a table, its indexes, the next table …, by name
}

// A Relation is a table or one of its indexes.
type Relation struct {
	Table string  `json:"table"` // as in [Table]
	Index string  `json:"index"` // the index; empty: the table itself
	Bytes int64   `json:"bytes"` // of a table without its indexes
	Rows  float64 `json:"rows"`  // at the last vacuum or analyze
	Scans int64   `json:"scans"` // of an index, since the server's statistics were reset
}

// Health is whether gwadmin and Graphile Worker can work on the schema.
type Health struct {
	Part
	// Revision is the newest revision of the schema; nil if there is none or the role may not
	// read it.
	Revision *int `json:"revision"`
	// Supported is whether the schema is installed, at a revision that this gwadmin works with.
	Supported bool `json:"supported"`
	// Problem says why package admin does not work on the schema: it is not installed, its
	// revision is not supported, or row security hides all jobs from the role. It is empty if
	// package admin works.
	Problem string `json:"problem,omitempty"`
	// SeesAll is whether row security lets the role see all jobs, queues and tasks. If not,
	// every number may be too low.
	SeesAll bool `json:"sees_all"`
	// Drift is what is not as the migrations build it: see [migrations.Migrator.Validate]. It
	// is nil if the schema was not compared, since there is a problem or the revision cannot
	// be read.
	Drift []migrations.Difference `json:"drift"`
}

// Errors are what the last errors of permafailed jobs look like, estimated if the table is
// large. They are read only with [Options].ErrorShapes.
type Errors struct {
	Part
	Shapes []admin.ErrorShape `json:"shapes"` // the most frequent first
	// Other is the number of permafailed jobs whose error looks like none of Shapes, and
	// OtherMargin its margin.
	Other       int64 `json:"other"`
	OtherMargin int64 `json:"other_margin"`
}
