package main

import (
	"github.com/spf13/pflag"

	"github.com/gwadmin/gwadmin/admin"
)

// filterFlags are the flags of a filter.
type filterFlags struct {
	set *pflag.FlagSet // these flags alone
	admin.Filter
	states                        []string
	keyPrefix, error              *string
	contains, path                *string
	run, created, updated, locked timeRange
}

type timeRange struct{ after, before momentFlag }

// flags adds them to those of a verb.
func (f *filterFlags) flags(verb *pflag.FlagSet) {
	flags := pflag.NewFlagSet("filter", pflag.ContinueOnError)
	f.set = flags
	defer func() { flags.VisitAll(verb.AddFlag) }()
	flags.Var((*idsFlag)(&f.IDs), "id", "ids")
	flags.StringSliceVar(&f.states, "state", nil, "states")
	flags.StringSliceVar(&f.TaskIdentifiers, "task", nil, "task identifiers")
	flags.StringSliceVar(&f.QueueNames, "queue", nil, "queue names")
	flags.StringSliceVar(&f.Keys, "key", nil, "job keys")
	searchedTextFlag(flags, &f.keyPrefix, "key-prefix", "what the key begins with")
	flags.StringSliceVar(&f.WorkerIDs, "worker", nil, "ids of the workers that hold the jobs")
	flags.StringSliceVar(&f.Flags, "flag", nil, "flags, of which the job has one")
	optionalIntFlag(flags, &f.Priority.From, "priority-from", "the least priority")
	optionalIntFlag(flags, &f.Priority.To, "priority-to", "the greatest priority")
	optionalIntFlag(flags, &f.Attempts.From, "attempts-from", "the fewest attempts")
	optionalIntFlag(flags, &f.Attempts.To, "attempts-to", "the most attempts")
	searchedTextFlag(flags, &f.error, "error", "text somewhere in the last error, in upper or lower case")
	searchedTextFlag(flags, &f.contains, "payload-contains", "JSON that the payload contains, as PostgreSQL's @> means it")
	searchedTextFlag(flags, &f.path, "payload-path", "SQL/JSON path that finds something in the payload")
	for _, r := range []struct {
		name, what string
		times      *timeRange
	}{
		{"run", "due", &f.run}, {"created", "created", &f.created}, {"updated", "last updated", &f.updated}, {"locked", "locked", &f.locked},
	} {
		flags.Var(&r.times.after, r.name+"-after", r.what+" at that time or later: RFC 3339, or -1h, -3d, +1h from now")
		flags.Var(&r.times.before, r.name+"-before", r.what+" before that time")
	}
}

// filter returns the filter. A list is a part of it if its flag was given, also without a
// value, as by a variable that is not set: it then matches no job.
func (f *filterFlags) filter() admin.Filter {
	filter := f.Filter
	for name, list := range map[string]*[]string{
		"task": &filter.TaskIdentifiers, "queue": &filter.QueueNames, "key": &filter.Keys, "worker": &filter.WorkerIDs, "flag": &filter.Flags,
	} {
		if !f.set.Changed(name) {
			*list = nil
		}
	}
	if f.set.Changed("state") {
		filter.States = []admin.State{}
	}
	for _, state := range f.states {
		filter.States = append(filter.States, admin.State(state))
	}
	filter.KeyPrefix, filter.ErrorText, filter.PayloadPath = f.keyPrefix, f.error, f.path
	if f.contains != nil {
		filter.PayloadContains = []byte(*f.contains)
	}
	filter.RunAt, filter.CreatedAt = f.run.times(), f.created.times()
	filter.UpdatedAt, filter.LockedAt = f.updated.times(), f.locked.times()
	return filter
}

func (r timeRange) times() admin.TimeRange {
	return admin.TimeRange{From: r.after.at, Before: r.before.at}
}
