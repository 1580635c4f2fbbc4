package crontab

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// A Plan is a cron item of a crontab, or one that is only recorded.
type Plan struct {
	Identifier    string     `json:"identifier"`
	Line          *int       `json:"line"` // nil: it is not in the crontab
	Schedule      *string    `json:"schedule"`
	Task          *string    `json:"task"`
	KnownSince    *time.Time `json:"known_since"` // nil: no worker has recorded it
	LastExecution *time.Time `json:"last_execution"`
	NextRun       *time.Time `json:"next_run"` // nil: never
}

// Plans puts the items of a crontab, in its order, before those that are only recorded.
func Plans(items []Item, known []admin.Crontab, now time.Time) []Plan {
	plans := []Plan{}
	for _, item := range items {
		plan := Plan{Identifier: item.Identifier, Line: &item.Line, Schedule: &item.Schedule, Task: &item.Task}
		if next := item.Next(now); !next.IsZero() {
			plan.NextRun = &next
		}
		if i := slices.IndexFunc(known, func(k admin.Crontab) bool { return k.Identifier == item.Identifier }); i >= 0 {
			plan.KnownSince, plan.LastExecution = &known[i].KnownSince, known[i].LastExecution
		}
		plans = append(plans, plan)
	}
	for _, k := range known {
		if !slices.ContainsFunc(items, func(item Item) bool { return item.Identifier == k.Identifier }) {
			plans = append(plans, Plan{Identifier: k.Identifier, KnownSince: &k.KnownSince, LastExecution: k.LastExecution})
		}
	}
	return plans
}

// Job is the payload and the options with which a worker adds the item's job in the minute
// of t.
func (item *Item) Job(t time.Time) (json.RawMessage, *admin.AddJobOptions, error) {
	minute := t.Truncate(time.Minute)
	payload, err := item.JobPayload(minute)
	if err != nil {
		return nil, nil, err
	}
	options := &admin.AddJobOptions{
		QueueName: item.QueueName, RunAt: admin.At(minute), MaxAttempts: item.MaxAttempts, JobKey: item.JobKey, Priority: item.Priority,
	}
	if item.JobKeyMode != nil {
		options.JobKeyMode = admin.JobKeyMode(*item.JobKeyMode)
	}
	return payload, options, nil
}
