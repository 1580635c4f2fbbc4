package admin

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gwadmin/gwadmin/db"
)

// A ChangeResult says what a call did to jobs, or in a dry run would do. Every job that
// it was about is counted once, as changed or as skipped: Matched is Changed and all of
// Skipped together.
type ChangeResult struct {
	DryRun  bool  `json:"dry_run"`
	Matched int64 `json:"matched"` // the ids, each counted once; by filter, the jobs that matched it
	Changed int64 `json:"changed"`
	// Skipped is how many were left alone, by reason.
	Skipped map[SkipReason]int64 `json:"skipped"`
	// States are the states that the matched jobs were in; nil by ids.
	States Counts `json:"states,omitempty"`
	// Jobs are the changed jobs in the order of their ids: by ids all of them, unless
	// ChangeOptions.Return says otherwise; by filter the first, as many as
	// WhereOptions.Sample says. They are as they are now; in a dry run as they are
	// before, and if they are completed as they were.
	Jobs []Job `json:"jobs"`
	// IDs are the ids of the changed jobs, if ReturnIDs asks for them.
	IDs []int64 `json:"ids,omitempty"`
	// SkippedJobs are the jobs that were left alone, in the order of their ids: by ids
	// all of them, by filter the first.
	SkippedJobs []Skip `json:"skipped_jobs"`
	// More says that WhereOptions.Limit ended the call: more jobs may match.
	More bool `json:"more"`
}

// A Skip is a job that a call left alone, and why.
type Skip struct {
	ID     int64      `json:"id"`
	Reason SkipReason `json:"reason"`
	// LockedBy and LockedAt say who holds the job since when, if Reason is Locked.
	LockedBy *string    `json:"locked_by,omitempty"`
	LockedAt *time.Time `json:"locked_at,omitempty"`
}

// SkipReason says why a job was left alone.
type SkipReason string

const (
	NotFound SkipReason = "not found" // no job has the id
	Locked   SkipReason = "locked"    // a worker holds it
	// Contended means that somebody else took, changed or deleted the job at the same
	// moment, or that the reason could not be read. The call may be made again.
	Contended SkipReason = "contended"
)

// SkipReasons are all reasons.
var SkipReasons = []SkipReason{NotFound, Locked, Contended}

// String returns the id and the reason, and for a locked job who holds it since when.
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

// newSkip says why a call left a job alone. A job that is free by now was held or
// changed when its turn came.
func newSkip(row db.JobLocksRow) Skip {
	switch {
	case !row.Found:
		return Skip{ID: row.ID, Reason: NotFound}
	case row.Held:
		return Skip{ID: row.ID, Reason: Locked, LockedBy: row.LockedBy, LockedAt: optionalTime(row.LockedAt)}
	}
	return Skip{ID: row.ID, Reason: Contended}
}

func newChangeResult(dryRun bool) *ChangeResult {
	return &ChangeResult{DryRun: dryRun, Skipped: map[SkipReason]int64{}, Jobs: []Job{}, SkippedJobs: []Skip{}}
}

// skip counts jobs that were left alone, and names the first of them, at most most.
func (r *ChangeResult) skip(most int, skips ...Skip) {
	for _, skip := range skips {
		r.Matched++
		r.Skipped[skip.Reason]++
		if len(r.SkippedJobs) < most {
			r.SkippedJobs = append(r.SkippedJobs, skip)
		}
	}
}

// nothingChanged reports whether the call found jobs missing or in use and changed none,
// which is also what row security leads to.
func (r *ChangeResult) nothingChanged() bool {
	return r.Changed == 0 && (r.Matched == 0 || r.Skipped[NotFound]+r.Skipped[Contended] > 0)
}

func (r *ChangeResult) clone() ChangeResult {
	clone := *r
	clone.Skipped, clone.States = maps.Clone(r.Skipped), maps.Clone(r.States)
	clone.Jobs, clone.SkippedJobs = slices.Clone(r.Jobs), slices.Clone(r.SkippedJobs)
	return clone
}
