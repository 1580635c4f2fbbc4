package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gwadmin/gwadmin/admin"
)

// A jobColumn is what a table of jobs may show.
type jobColumn struct {
	name  string
	spare int // 0: always shown; otherwise the higher is left out first if there is no room
	value func(a *app, job *admin.ListedJob) any
}

// named is the spare of a column that only --columns shows.
const named = 9

var jobColumns = []jobColumn{
	{"id", 0, func(_ *app, j *admin.ListedJob) any { return j.ID }},
	{"state", 0, func(_ *app, j *admin.ListedJob) any { return j.State }},
	{"task", 0, func(_ *app, j *admin.ListedJob) any { return j.TaskIdentifier }},
	{"queue", 2, func(_ *app, j *admin.ListedJob) any { return deref(j.QueueName) }},
	{"key", 4, func(_ *app, j *admin.ListedJob) any { return deref(j.Key) }},
	{"priority", 3, func(_ *app, j *admin.ListedJob) any { return j.Priority }},
	{"attempts", 0, func(_ *app, j *admin.ListedJob) any { return fixed(fmt.Sprintf("%d/%d", j.Attempts, j.MaxAttempts)) }},
	{"run_at", 0, func(a *app, j *admin.ListedJob) any { return runAt(j.RunAt, a.shortMoment) }},
	{"locked_by", 1, func(_ *app, j *admin.ListedJob) any { return deref(j.LockedBy) }},
	{"last_error", 0, func(a *app, j *admin.ListedJob) any { return a.firstLine(deref(j.LastError)) }},
	{"locked_at", named, func(a *app, j *admin.ListedJob) any { return a.moment(j.LockedAt) }},
	{"created_at", named, func(a *app, j *admin.ListedJob) any { return a.moment(&j.CreatedAt) }},
	{"updated_at", named, func(a *app, j *admin.ListedJob) any { return a.moment(&j.UpdatedAt) }},
	{"revision", named, func(_ *app, j *admin.ListedJob) any { return j.Revision }},
	{"flags", named, func(_ *app, j *admin.ListedJob) any { return strings.Join(j.Flags, ",") }},
	{"payload", named, func(_ *app, j *admin.ListedJob) any { return shownPayload(j) }},
}

// columnNames are the values of --columns.
var columnNames = func() (names []string) {
	for _, column := range jobColumns {
		names = append(names, column.name)
	}
	return names
}()

// checkColumns refuses names that are no columns.
func checkColumns(names []string) error {
	for _, name := range names {
		if !slices.Contains(columnNames, name) {
			return usage(fmt.Errorf("--columns has %q, which is none of %s%s", name, strings.Join(columnNames, ", "), didYouMean(name, columnNames)))
		}
	}
	return nil
}

// jobsTable shows jobs in the named columns, or without names in those of the default.
func (a *app) jobsTable(title string, jobs []admin.ListedJob, names []string) *cells {
	var columns []jobColumn
	for _, name := range names {
		columns = append(columns, jobColumns[slices.Index(columnNames, name)])
	}
	if len(names) == 0 {
		columns = slices.DeleteFunc(slices.Clone(jobColumns), func(column jobColumn) bool { return column.spare == named })
	}
	var header []any
	for _, column := range columns {
		header = append(header, strings.ReplaceAll(column.name, "_", " "))
	}
	t := a.table(title, header...)
	t.cut = true
	for i, column := range columns {
		if len(names) > 0 {
			break
		}
		t.ifEmpty = append(t.ifEmpty, i+1)
		if column.spare > 0 {
			t.ifNarrow = append(t.ifNarrow, i+1)
		}
	}
	slices.SortFunc(t.ifNarrow, func(i, j int) int { return columns[i-1].spare - columns[j-1].spare })
	for i := range jobs {
		row := make([]any, len(columns))
		for c, column := range columns {
			row[c] = column.value(a, &jobs[i])
		}
		t.AppendRow(row)
	}
	return t
}

// changedTable is jobsTable for jobs whose state is not known.
func (a *app) changedTable(title string, jobs []admin.Job, names ...string) *cells {
	listed := make([]admin.ListedJob, len(jobs))
	for i, job := range jobs {
		listed[i].Job = job
	}
	return a.jobsTable(title, listed, names)
}

// shownPayload is a payload in one line, or its size if it was too long to be read.
func shownPayload(job *admin.ListedJob) string {
	if size := job.PayloadBytes; size > 0 && job.Payload == nil {
		return fmt.Sprintf("(%d bytes)", size)
	}
	var line bytes.Buffer
	if json.Compact(&line, job.Payload) != nil {
		return string(job.Payload)
	}
	return line.String()
}

// firstLine is the first line of a text. If it is not for a terminal, which would cut it,
// it has at most 60 characters unless --wide is given.
func (a *app) firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	_, tty := terminalWidth(a.stdout)
	if runes := []rune(line); len(runes) > 60 && !tty && !a.wide {
		return string(runes[:59]) + "…"
	}
	return line
}
