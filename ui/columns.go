package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// A column is a column of the list of jobs.
type column struct {
	Name, Title string
	Default     bool
	Sort        admin.SortKey // empty: the list cannot be sorted by it
	cell        func(job *admin.ListedJob, now time.Time) cell
}

var columns = []column{
	{"state", "State", true, "", func(job *admin.ListedJob, _ time.Time) cell { return cell{State: job.State} }},
	{"task", "Task", true, "", func(job *admin.ListedJob, _ time.Time) cell { return linked("task", &job.TaskIdentifier) }},
	{"queue", "Queue", true, "", func(job *admin.ListedJob, _ time.Time) cell { return linked("queue", job.QueueName) }},
	{"key", "Key", true, "", func(job *admin.ListedJob, _ time.Time) cell { return cell{Text: deref(job.Key)} }},
	{"priority", "Priority", false, admin.ByPriority, func(job *admin.ListedJob, _ time.Time) cell { return cell{Text: fmt.Sprint(job.Priority)} }},
	{"run_at", "Run at", true, admin.ByRunAt, func(job *admin.ListedJob, now time.Time) cell { return cell{Moment: new(showRunAt(job.RunAt, now))} }},
	{"attempts", "Attempts", true, admin.ByAttempts, func(job *admin.ListedJob, _ time.Time) cell {
		return cell{Text: fmt.Sprintf("%d of %d", job.Attempts, job.MaxAttempts)}
	}},
	{"error", "Last error", true, "", func(job *admin.ListedJob, _ time.Time) cell {
		return cell{Text: firstLine(deref(job.LastError)), Long: true}
	}},
	{"created_at", "Created", false, admin.ByCreatedAt, func(job *admin.ListedJob, now time.Time) cell { return cell{Moment: ago(job.CreatedAt, now)} }},
	{"updated_at", "Updated", false, "", func(job *admin.ListedJob, now time.Time) cell { return cell{Moment: ago(job.UpdatedAt, now)} }},
	{"locked_by", "Worker", false, "", func(job *admin.ListedJob, _ time.Time) cell { return linked("worker", job.LockedBy) }},
	{"flags", "Flags", false, "", func(job *admin.ListedJob, _ time.Time) cell { return cell{Text: strings.Join(job.Flags, ", ")} }},
	{"payload", "Payload", false, "", func(job *admin.ListedJob, _ time.Time) cell {
		if job.Payload == nil {
			return cell{Text: number(job.PayloadBytes) + " bytes", Long: true}
		}
		return cell{Text: firstLine(string(job.Payload)), Long: true}
	}},
}

// A cell is what a column shows of a job: a state, a moment, or a text.
type cell struct {
	Title  string // of the column
	State  admin.State
	Moment *moment
	Text   string
	Search string // the address of the jobs that have this text here; empty: it leads nowhere
	Long   bool   // a text that may take several lines
}

// linked is a text that leads to the jobs that have it in the field.
func linked(field string, text *string) cell {
	if text == nil {
		return cell{}
	}
	return cell{Text: *text, Search: search(field, *text)}
}

// Cells are the cells of a job in the columns that are shown.
func (l *jobList) Cells(job admin.ListedJob, now time.Time) []cell {
	cells := make([]cell, 0, len(l.Columns))
	for _, c := range l.Columns {
		if l.Shown[c.Name] {
			cell := c.cell(&job, now)
			cell.Title = c.Title
			cells = append(cells, cell)
		}
	}
	return cells
}
