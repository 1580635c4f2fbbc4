package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/gwadmin/gwadmin/admin"
)

// filterFlags are the flags that make a filter.
type filterFlags struct {
	set *pflag.FlagSet // only these flags

	fields                        admin.Filter
	states                        []string
	contains                      *string
	onHold                        bool
	run, created, updated, locked timeRange
}

type timeRange struct{ after, before timeFlag }

// separated is the usage of a flag with a list of names.
const separated = `, separated by commas; '"a,b"' is one`

// flags adds the flags to others.
func (f *filterFlags) flags(others *pflag.FlagSet) {
	f.set = pflag.NewFlagSet("filter", pflag.ContinueOnError)
	f.set.Var((*idsFlag)(&f.fields.IDs), "id", "ids, separated by commas")
	f.set.StringSliceVar(&f.states, "state", nil, "states, separated by commas")
	f.set.StringSliceVar(&f.fields.TaskIdentifiers, "task", nil, "task identifiers"+separated)
	f.set.StringSliceVar(&f.fields.QueueNames, "queue", nil, "queue names"+separated)
	f.set.StringSliceVar(&f.fields.Keys, "key", nil, "job keys"+separated)
	f.set.Var(searchedText(&f.fields.KeyPrefix), "key-prefix", "what the key begins with")
	f.set.StringSliceVar(&f.fields.WorkerIDs, "worker", nil, "ids of the workers that hold the jobs"+separated)
	f.set.StringSliceVar(&f.fields.Flags, "flag", nil, "flags, of which the job has at least one"+separated)
	f.set.BoolVar(&f.onHold, "on-hold", false, "jobs that are on hold; =false for the others")
	f.set.Var(optionalInt(&f.fields.Priority.From), "priority-from", "the least priority")
	f.set.Var(optionalInt(&f.fields.Priority.To), "priority-to", "the greatest priority")
	f.set.Var(optionalInt(&f.fields.Attempts.From), "attempts-from", "the fewest attempts")
	f.set.Var(optionalInt(&f.fields.Attempts.To), "attempts-to", "the most attempts")
	f.set.Var(searchedText(&f.fields.ErrorText), "error", "text that is part of the last error, in any case")
	f.set.Var(searchedText(&f.contains), "payload-contains", "JSON that the payload contains, by PostgreSQL's operator @>")
	f.set.Var(searchedText(&f.fields.PayloadPath), "payload-path", "SQL/JSON path that finds something in the payload")
	for _, r := range f.ranges(&f.fields) {
		f.set.Var(&r.times.after, r.name+"-after", r.what+" at that time or later: RFC 3339, a day, or -1h, -3d, +1h from now")
		f.set.Var(&r.times.before, r.name+"-before", r.what+" before that time")
	}
	f.set.VisitAll(others.AddFlag)
}

type namedRange struct {
	name, what string
	times      *timeRange
	field      *admin.TimeRange
}

// ranges are the flags of times, and the fields of the filter that they set.
func (f *filterFlags) ranges(fields *admin.Filter) []namedRange {
	return []namedRange{
		{"run", "due", &f.run, &fields.RunAt},
		{"created", "created", &f.created, &fields.CreatedAt},
		{"updated", "last updated", &f.updated, &fields.UpdatedAt},
		{"locked", "locked", &f.locked, &fields.LockedAt},
	}
}

// given are the names of the flags that were given.
func given(flags *pflag.FlagSet) (names []string) {
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			names = append(names, "--"+flag.Name)
		}
	})
	return names
}

// filter returns the filter. If there are times from now it reads the database's clock. A
// list flag with an empty value, as of an unset variable, matches no job. It may be called
// from several goroutines.
func (f *filterFlags) filter(ctx context.Context, client *admin.Client) (admin.Filter, error) {
	var now time.Time
	for _, r := range f.ranges(&f.fields) {
		after, before := r.times.after, r.times.before
		if after.from != nil && before.from != nil && *after.from >= *before.from {
			return admin.Filter{}, usage(fmt.Errorf("--%s-after is not before --%s-before: no job can match", r.name, r.name))
		}
		if now.IsZero() && (after.from != nil || before.from != nil) {
			var err error
			if now, err = client.Now(ctx); err != nil {
				return admin.Filter{}, err
			}
		}
	}
	fields := f.fields
	for name, list := range map[string]*[]string{
		"task": &fields.TaskIdentifiers, "queue": &fields.QueueNames, "key": &fields.Keys, "worker": &fields.WorkerIDs, "flag": &fields.Flags,
	} {
		if !f.set.Changed(name) {
			*list = nil
		}
	}
	fields.States = nil
	if f.set.Changed("state") {
		fields.States = []admin.State{}
	}
	for _, state := range f.states {
		fields.States = append(fields.States, admin.State(state))
	}
	if f.set.Changed("on-hold") {
		fields.OnHold = &f.onHold
	}
	if f.contains != nil {
		fields.PayloadContains = []byte(*f.contains)
	}
	for _, r := range f.ranges(&fields) {
		*r.field = admin.TimeRange{From: r.times.after.moment(now), Before: r.times.before.moment(now)}
	}
	return fields, nil
}

// timeFlag is a time to filter by.
type timeFlag struct {
	at   *time.Time
	from *time.Duration // from now; nil: at
}

func (f *timeFlag) Type() string   { return "time" }
func (f *timeFlag) String() string { return "" }

func (f *timeFlag) Set(value string) error {
	sign := time.Duration(1)
	relative, ok := strings.CutPrefix(value, "-")
	if ok {
		sign = -1
	} else {
		relative, ok = strings.CutPrefix(value, "+")
	}
	if value == "now" {
		relative, ok = "0s", true
	}
	if ok {
		d, err := parseDuration(relative)
		switch {
		case err == nil:
			*f = timeFlag{from: new(sign * d)}
			return nil
		case errors.Is(err, errDays):
			return fmt.Errorf("%q is no time from now: %w", value, err)
		}
	}
	at, err := parseTime(value)
	if err != nil || at.Infinity != 0 {
		return fmt.Errorf("%q is no time: write it as %s, or as -1h, -3d or +1h from now", value, exampleTime())
	}
	*f = timeFlag{at: &at.Time}
	return nil
}

func (f *timeFlag) moment(now time.Time) *time.Time {
	if f.from != nil {
		return new(now.Add(*f.from))
	}
	return f.at
}

// unknownNames are notes on the tasks and queues of the filter that do not exist, with
// those that are spelled alike. It ignores errors: they are only hints.
func unknownNames(ctx context.Context, client *admin.Client, filter admin.Filter) (notes []string) {
	if len(filter.TaskIdentifiers) > 0 {
		known, err := client.TaskIdentifiers(ctx)
		for _, name := range filter.TaskIdentifiers {
			if err == nil && !slices.Contains(known, name) {
				notes = append(notes, fmt.Sprintf("there is no task %q%s", name, didYouMean(name, known)))
			}
		}
	}
	for _, name := range filter.QueueNames {
		first, err := client.QueueNames(ctx, name, 1)
		if err != nil || slices.Contains(first, name) {
			continue
		}
		known, _ := client.QueueNames(ctx, "", 10_000)
		notes = append(notes, fmt.Sprintf("there is no queue %q%s", name, didYouMean(name, known)))
	}
	return notes
}
