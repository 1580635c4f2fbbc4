package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/db"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/shell"
)

// A ReasonKind is the kind of a [Reason].
type ReasonKind string

const (
	ReasonRunning     ReasonKind = "running"          // a worker holds the job
	ReasonStale       ReasonKind = "stale"            // the lock of the job is older than StaleAfter
	ReasonAttempts    ReasonKind = "attempts"         // all attempts are used
	ReasonStranded    ReasonKind = "stranded"         // the queue does not exist
	ReasonTaskGone    ReasonKind = "task gone"        // the task does not exist
	ReasonNotDue      ReasonKind = "not due"          // run_at is in the future
	ReasonNever       ReasonKind = "never due"        // run_at is infinity
	ReasonOnHold      ReasonKind = "on hold"          // the job is on hold
	ReasonPaused      ReasonKind = "paused"           // the queue is paused
	ReasonQueueHeld   ReasonKind = "queue held"       // another job of the queue runs
	ReasonQueueStale  ReasonKind = "queue stale"      // the lock of the queue is older than StaleAfter
	ReasonRowLocked   ReasonKind = "row locked"       // an open transaction has locked or changed the job or its queue
	ReasonTaskUnseen  ReasonKind = "task unseen"      // no worker holds a job of the task
	ReasonFlags       ReasonKind = "flags"            // workers may forbid the flags of the job
	ReasonAhead       ReasonKind = "ahead"            // other ready jobs come first
	ReasonTransaction ReasonKind = "long transaction" // an old transaction keeps dead rows
	ReasonDeadRows    ReasonKind = "dead rows"        // the table has more dead rows than live ones
	ReasonReady       ReasonKind = "ready"            // nothing is known to stand in the way
)

// A Reason is something that stands in the way of a job, or may do so.
type Reason struct {
	Kind ReasonKind `json:"kind"`
	// Blocks is true if no worker takes the job as long as this lasts. Otherwise it delays
	// the job, or may keep some workers from it.
	Blocks bool   `json:"blocks"`
	Text   string `json:"text"`         // a sentence; times are in UTC
	Do     string `json:"do,omitempty"` // what to do about it; empty: wait
	// Until is when it ends by itself, by the database's clock. It is nil if this is not
	// known, or it does not end.
	Until *time.Time `json:"until,omitempty"`
}

// Ahead is the number of ready jobs that workers take before a job. They take the jobs by
// priority, run_at and id.
type Ahead struct {
	Jobs int64 `json:"jobs"`
	More bool  `json:"more"` // there are more: they were not counted
}

// MaxAhead is the greatest number of jobs that [Client.Explain] counts ahead of a job.
const MaxAhead = 10_000

// An Explanation says why a job is not running.
type Explanation struct {
	Job ListedJob `json:"job"`
	Now time.Time `json:"now"` // by the database's clock
	// Reasons are all that stand in the way of the job, first those that block it. The
	// only one is ReasonReady if nothing is known.
	Reasons []Reason `json:"reasons"`
	Ahead   *Ahead   `json:"ahead"` // nil if run_at has not come, or no worker can take the job
}

const (
	// A reason that delays all workers is one from these sizes.
	longTransaction = 5 * time.Minute
	manyDeadRows    = 100_000
	// aheadRows is the greatest number of index entries that are read to count the jobs
	// ahead. Waiting jobs are passed over.
	aheadRows = 100_000
)

// Explain says why no worker has taken the job with the id, or that one has: everything that
// stands in its way, and what to do about it. The error matches [ErrJobNotFound] if there is
// no such job.
//
// It reads what the database knows. Which tasks a worker has, and which flags it forbids, is
// not in the database. A role that may not see the sessions of others is not told of their
// transactions. It always reads from the database of the client, not from a replica. It
// reads all jobs for those that workers hold, unless there is an index for it: see package
// migrations.
func (c *Client) Explain(ctx context.Context, id int64) (*Explanation, error) {
	call := fmt.Sprintf("explain job %d", id)
	if err := c.ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.JobGet(ctx, c.conn, db.JobGetParams{ID: id})
	if err == nil && len(rows) == 0 {
		if err = c.recheck(ctx, readJobs); err == nil {
			err = ErrJobNotFound
		}
	}
	if err != nil {
		return nil, c.failure(call, err)
	}
	row := rows[0]
	e := &explaining{Explanation: &Explanation{Job: newListedJob(db.JobListRow(row))}, schema: c.Schema(), stranded: row.JobQueueID != nil && row.QueueName == nil}
	if e.Now, err = c.now(ctx, c.conn); err != nil {
		return nil, c.failure(call, err)
	}
	worker := row.QueueLockedBy
	if row.LockedAt.Valid {
		worker = row.LockedBy
	}
	e.holders, err = c.queries.JobHolders(ctx, c.conn, db.JobHoldersParams{TaskID: row.TaskID, WorkerID: worker, QueueID: row.JobQueueID})
	if err != nil {
		return nil, c.failure(call, err)
	}
	e.transactions, err = c.queries.JobTransactions(ctx, c.conn, db.JobTransactionsParams{ID: id, QueueID: row.JobQueueID})
	if err != nil {
		return nil, c.failure(call, err)
	}
	if e.Job.State == Ready || e.Job.State == Waiting || e.Job.State == Paused {
		ahead, err := c.queries.JobAhead(ctx, customPlan(c.conn), db.JobAheadParams{
			ID: id, Priority: int32(row.Priority), RunAt: row.RunAt, TaskID: row.TaskID, MaxJobs: MaxAhead + 1, MaxRows: aheadRows,
		})
		if err != nil {
			return nil, c.failure(call, err)
		}
		e.Ahead = &Ahead{Jobs: min(ahead.Jobs, MaxAhead), More: ahead.Jobs > MaxAhead || !ahead.Certain}
		e.oldestOfTask = optionalTime(ahead.OldestOfTask)
	}
	e.burden, err = c.queries.ServerBurden(ctx, c.conn)
	if err != nil {
		return nil, c.failure(call, err)
	}
	e.explain()
	return e.Explanation, nil
}

// explaining is an explanation with what was read for it.
type explaining struct {
	*Explanation
	schema       string
	stranded     bool // the queue does not exist
	holders      db.JobHoldersRow
	transactions []db.JobTransactionsRow
	burden       db.ServerBurdenRow
	oldestOfTask *time.Time // the first run_at of the jobs of the task that are ahead
}

func (e *explaining) add(kind ReasonKind, blocks bool, do, text string, args ...any) *Reason {
	e.Reasons = append(e.Reasons, Reason{Kind: kind, Blocks: blocks, Do: do, Text: fmt.Sprintf(text, args...)})
	return &e.Reasons[len(e.Reasons)-1]
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func nameOf(worker *string) string {
	if worker == nil {
		return "an unnamed worker"
	}
	return *worker
}

// explain sets the reasons. Those of the job come first, then those of its queue and task,
// then those of all jobs.
func (e *explaining) explain() {
	e.ofJob()
	e.ofQueue()
	if e.Job.TaskIdentifier == "" {
		e.add(ReasonTaskGone, true, "add the job again", "The task of the job does not exist: no worker knows it.")
	}
	for _, tx := range e.transactions {
		what := "the job"
		if tx.Part == "queue" {
			what = "its queue"
		}
		since := ""
		if tx.Begun.Valid {
			since = " since " + moment(tx.Begun.Time)
		}
		e.add(ReasonRowLocked, true, "end the transaction", "An open transaction of process %d%s has locked or changed %s. Workers skip the job until the transaction ends.", tx.Pid, since, what)
	}
	if e.Job.LockedAt != nil {
		return // what follows is about taking the job
	}
	if e.Job.State == Ready && e.Job.TaskIdentifier != "" && e.holders.OfTask == 0 {
		e.taskUnseen()
	}
	if len(e.Job.Flags) > 0 {
		e.add(ReasonFlags, false, "compare the flags with forbiddenFlags of the workers",
			"The job has the flags %s. A worker that forbids one of them does not take it. The database does not know which flags a worker forbids.", strings.Join(e.Job.Flags, ", "))
	}
	if e.Ahead != nil {
		e.ofOthers()
	}
	if len(e.Reasons) == 0 {
		e.add(ReasonReady, false, "", "Nothing stands in the way: the next worker that knows the task %s takes the job.", e.Job.TaskIdentifier)
	}
}

func (e *explaining) ofJob() {
	job := &e.Job
	id := strconv.FormatInt(job.ID, 10)
	switch {
	case job.State == Running:
		reason := e.add(ReasonRunning, true, "", "%s has held the job since %s, as attempt %d of %d%s. If the worker is dead, its lock becomes stale after 4 hours.",
			nameOf(job.LockedBy), moment(*job.LockedAt), job.Attempts, job.MaxAttempts, e.lastSeen(*job.LockedAt))
		reason.Do = e.unlock(job.LockedBy)
	case job.State == Stale:
		e.add(ReasonStale, true, e.unlock(job.LockedBy), "%s took the job at %s, more than 4 hours ago, so that the lock is stale%s. The next worker that clears stale locks frees the job: each one does so within its first minute, and then every 8 to 10 minutes.",
			nameOf(job.LockedBy), moment(*job.LockedAt), e.lastSeen(*job.LockedAt))
	}
	if job.Permafailed() && job.State != Running {
		e.add(ReasonAttempts, true, e.command("jobs retry", id), "All %d attempts are used. No worker takes the job again.", job.MaxAttempts)
	}
	do := e.command("jobs reschedule", id) + " --run-at now"
	switch {
	case job.LockedAt != nil:
	case job.Hold != nil:
		by := ""
		if job.Hold.By != "" {
			by = " by " + job.Hold.By
		}
		e.add(ReasonOnHold, true, e.command("jobs release", id), "The job has been on hold since %s%s. Its run_at was %s.", moment(job.Hold.Since), by, job.Hold.RunAt.String())
	case job.RunAt.Infinity == pgtype.Infinity:
		e.add(ReasonNever, true, do, "run_at is infinity: the job never becomes due by itself.")
	case job.RunAt.Infinity == pgtype.Finite && job.RunAt.Time.After(e.Now):
		after := ""
		if job.Attempts > 0 && !job.Permafailed() {
			after = fmt.Sprintf(", after attempt %d of %d has failed", job.Attempts, job.MaxAttempts)
		}
		e.add(ReasonNotDue, true, do, "The job is due at %s%s.", moment(job.RunAt.Time), after).Until = new(job.RunAt.Time)
	}
}

// lastSeen says when the worker last took a job, if that was after the given lock.
func (e *explaining) lastSeen(lockedAt time.Time) string {
	if newest := optionalTime(e.holders.WorkerNewest); newest != nil && newest.After(lockedAt) {
		return fmt.Sprintf(". It last took a job at %s", moment(*newest))
	}
	return ""
}

// command is a command on the client's schema.
func (e *explaining) command(verb string, arguments ...string) string {
	return shell.Command(verb, graphile.SchemaFlags(e.schema), arguments...)
}

// unlock is how to clear the locks of a dead worker.
func (e *explaining) unlock(worker *string) string {
	if worker == nil {
		return ""
	}
	return "if the worker is dead: " + e.command("workers unlock", *worker)
}

func (e *explaining) ofQueue() {
	job := &e.Job
	if e.stranded {
		e.add(ReasonStranded, true, e.command("queues restore"), "The queue of the job does not exist: a cleanup has deleted it. No worker takes the job.")
	}
	switch {
	case job.State == Running:
	case job.QueuePaused != nil:
		pause := *job.QueuePaused
		text := fmt.Sprintf("The queue %s has been paused since %s", *job.QueueName, moment(pause.Since))
		if pause.By != "" {
			text += " by " + pause.By
		}
		if pause.Reason != "" {
			text += ": " + pause.Reason
		}
		e.add(ReasonPaused, true, e.command("queues resume", *job.QueueName), "%s.", text)
	case job.QueueLockedAt != nil && e.holders.QueueJob != job.ID:
		of := "for no job that still exists"
		if e.holders.QueueJob != 0 {
			of = fmt.Sprintf("for job %d", e.holders.QueueJob)
		}
		text := fmt.Sprintf("%s has held the queue %s since %s, %s", nameOf(job.QueueLockedBy), *job.QueueName, moment(*job.QueueLockedAt), of)
		if e.Now.Sub(*job.QueueLockedAt) > StaleAfter {
			e.add(ReasonQueueStale, true, e.unlock(job.QueueLockedBy), "%s. This lock is stale: the next worker that clears stale locks frees the queue.", text)
		} else {
			e.add(ReasonQueueHeld, true, e.unlock(job.QueueLockedBy), "%s. The jobs of a queue run one after another.", text)
		}
	}
}

func (e *explaining) taskUnseen() {
	others := ""
	if e.oldestOfTask != nil {
		others = fmt.Sprintf(" Other jobs of the task are ready, too, the oldest since %s.", moment(*e.oldestOfTask))
	}
	workers := "no worker holds any job"
	if e.holders.Jobs > 0 {
		workers = fmt.Sprintf("workers hold %d jobs of other tasks", e.holders.Jobs)
	}
	e.add(ReasonTaskUnseen, false, "check that a running worker has the task", "No worker holds a job of the task %s now, and %s.%s The database does not know which tasks a worker has.",
		e.Job.TaskIdentifier, workers, others)
}

// ofOthers adds what delays a job that has become due.
func (e *explaining) ofOthers() {
	switch ahead := *e.Ahead; {
	case ahead.More:
		e.add(ReasonAhead, false, "", "More than %d ready jobs come before this one, by priority, run_at and id.", ahead.Jobs)
	case ahead.Jobs == 1:
		e.add(ReasonAhead, false, "", "One ready job comes before this one, by priority, run_at and id.")
	case ahead.Jobs > 1:
		e.add(ReasonAhead, false, "", "%d ready jobs come before this one, by priority, run_at and id.", ahead.Jobs)
	}
	if begun := optionalTime(e.burden.Begun); begun != nil && e.Now.Sub(*begun) > longTransaction {
		e.add(ReasonTransaction, false, fmt.Sprintf("end the transaction of process %d", e.burden.Pid),
			"Process %d has had a transaction open since %s. As long as it lasts, deleted jobs stay in the index, and slow down all workers.", e.burden.Pid, moment(*begun))
	}
	if dead := e.burden.DeadRows; dead >= manyDeadRows && dead > e.burden.LiveRows {
		vacuumed := "has never been vacuumed"
		if at := optionalTime(e.burden.Vacuumed); at != nil {
			vacuumed = "was last vacuumed at " + moment(*at)
		}
		e.add(ReasonDeadRows, false, "vacuum the table of jobs",
			"The table of jobs has about %d dead rows and %d live ones, and %s. Dead rows slow down all workers.", dead, e.burden.LiveRows, vacuumed)
	}
}
