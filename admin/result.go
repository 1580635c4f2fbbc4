package admin

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// A ChangeResult is what a call did to jobs, or would do in a dry run. Every job is counted
// once, as changed or as skipped: Matched is the sum of Changed and all of Skipped.
type ChangeResult struct {
	DryRun  bool  `json:"dry_run"`
	Matched int64 `json:"matched"` // the number of different ids; by filter, the number of jobs that matched
	Changed int64 `json:"changed"`
	// Skipped is the number of jobs that were not changed, by reason.
	Skipped map[SkipReason]int64 `json:"skipped"`
	// States is the number of matched jobs by state; nil in a call by ids.
	States Counts `json:"states,omitempty"`
	// Jobs are the changed jobs in the order of their ids. A call by ids returns all of
	// them, unless ChangeOptions.Return is ReturnIDs or ReturnCount. A call by filter
	// returns the first WhereOptions.Sample jobs. They are the rows after the change; in a
	// dry run and after a deletion they are the rows before it.
	Jobs []Job `json:"jobs"`
	// IDs are the ids of the changed jobs if ChangeOptions.Return is ReturnIDs, else nil.
	IDs []int64 `json:"ids,omitempty"`
	// SkippedJobs are the jobs that were not changed, in the order of their ids. A call by
	// ids returns all of them. A call by filter returns the first WhereOptions.Sample jobs.
	SkippedJobs []Skip `json:"skipped_jobs"`
	// More is true if WhereOptions.Limit ended the call: more jobs may match.
	More bool `json:"more"`
}

// A Skip is a job that a call did not change, with the reason.
type Skip struct {
	ID     int64      `json:"id"`
	Reason SkipReason `json:"reason"`
	// LockedBy and LockedAt are the lock of the job if Reason is Locked, else nil.
	LockedBy *string    `json:"locked_by,omitempty"`
	LockedAt *time.Time `json:"locked_at,omitempty"`
}

// A SkipReason is the reason why a call did not change a job.
type SkipReason string

const (
	NotFound SkipReason = "not found" // no job has the id
	Locked   SkipReason = "locked"    // a worker holds it
	OnHold   SkipReason = "on hold"   // the job is on hold: see Client.HoldJobs
	NotHeld  SkipReason = "not on hold"
	// Contended means that a worker took the job or another transaction changed or
	// deleted it at the same time, or that the reason could not be read. The call can be
	// repeated.
	Contended SkipReason = "contended"
)

// SkipReasons are all reasons.
var SkipReasons = []SkipReason{NotFound, Locked, OnHold, NotHeld, Contended}

// String returns the id and the reason, and for a locked job the worker and the time of the
// lock.
func (s Skip) String() string {
	text := fmt.Sprintf("%d: %s", s.ID, s.Reason)
	if s.LockedBy != nil {
		text += " by " + *s.LockedBy
	}
	if s.LockedAt != nil {
		text += " since " + s.LockedAt.Format(time.RFC3339)
	}
	return text
}

// skip returns the reason why the action did not change a job. If nothing keeps it from
// changing the job now, the job was locked or changed during the call.
func (a action) skip(row db.JobLocksRow) Skip {
	switch {
	case !row.Found:
		return Skip{ID: row.ID, Reason: NotFound}
	case row.Held:
		return Skip{ID: row.ID, Reason: Locked, LockedBy: row.LockedBy, LockedAt: optionalTime(row.LockedAt)}
	case a.onHold != nil && row.OnHold != *a.onHold:
		if row.OnHold {
			return Skip{ID: row.ID, Reason: OnHold}
		}
		return Skip{ID: row.ID, Reason: NotHeld}
	}
	return Skip{ID: row.ID, Reason: Contended}
}

func newChangeResult(dryRun bool) *ChangeResult {
	return &ChangeResult{DryRun: dryRun, Skipped: map[SkipReason]int64{}, Jobs: []Job{}, SkippedJobs: []Skip{}}
}

// skip counts skipped jobs and adds them to SkippedJobs up to the length most.
func (r *ChangeResult) skip(most int, skips ...Skip) {
	for _, skip := range skips {
		r.Matched++
		r.Skipped[skip.Reason]++
		if len(r.SkippedJobs) < most {
			r.SkippedJobs = append(r.SkippedJobs, skip)
		}
	}
}

// nothingChanged reports whether the call changed no job and found jobs missing or
// contended. Row security has the same effect.
func (r *ChangeResult) nothingChanged() bool {
	return r.Changed == 0 && (r.Matched == 0 || r.Skipped[NotFound]+r.Skipped[Contended] > 0)
}

func (r *ChangeResult) clone() ChangeResult {
	clone := *r
	clone.Skipped, clone.States = maps.Clone(r.Skipped), maps.Clone(r.States)
	clone.Jobs, clone.SkippedJobs = slices.Clone(r.Jobs), slices.Clone(r.SkippedJobs)
	return clone
}
