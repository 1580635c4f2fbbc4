package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gwadmin/gwadmin/db"
	"github.com/gwadmin/gwadmin/internal/spelling"
)

// ErrUndeclared matches an [*UndeclaredError].
var ErrUndeclared = errors.New("jobs of undeclared tasks")

// An UndeclaredError lists the undeclared tasks that have jobs. It matches [ErrUndeclared].
type UndeclaredError struct {
	Tasks []UndeclaredTask
}

func (e *UndeclaredError) Error() string {
	const most = 5
	tasks := make([]string, 0, most+1)
	for i, task := range e.Tasks {
		if i == most {
			tasks = append(tasks, fmt.Sprintf("and %d more tasks", len(e.Tasks)-most))
			break
		}
		tasks = append(tasks, task.String())
	}
	return fmt.Sprintf("%v: %s", ErrUndeclared, strings.Join(tasks, ", "))
}

func (e *UndeclaredError) Unwrap() error { return ErrUndeclared }

// An UndeclaredTask is a task that has jobs and is not declared. Its identifier may be
// misspelled, or the task may be retired. If no worker knows the task, no worker runs its
// jobs.
type UndeclaredTask struct {
	Identifier string    `json:"identifier"`
	Jobs       int64     `json:"jobs"`
	Pending    int64     `json:"pending"` // how many of the jobs have attempts left
	Oldest     time.Time `json:"oldest"`  // when the oldest of the jobs was added
	// DidYouMean is the declared identifier that is spelled most alike; nil: none is close.
	DidYouMean *string `json:"did_you_mean"`
}

func (t UndeclaredTask) String() string {
	hint := ""
	if t.DidYouMean != nil {
		hint = fmt.Sprintf("; did you mean %q?", *t.DidYouMean)
	}
	if t.Jobs == 1 {
		return fmt.Sprintf("%q (1 job%s)", t.Identifier, hint)
	}
	return fmt.Sprintf("%q (%d jobs%s)", t.Identifier, t.Jobs, hint)
}

// UndeclaredTasks lists the tasks that have jobs and are not among the declared
// identifiers, sorted by identifier. Identifiers are compared with their case. [Identifiers]
// returns the identifiers of typed tasks. UndeclaredTasks takes no lock. If all tasks are
// declared, it reads no job; otherwise it reads all jobs. [Client.Check] returns these tasks
// as an error.
func (c *Client) UndeclaredTasks(ctx context.Context, declared []string) ([]UndeclaredTask, error) {
	const call = "undeclared tasks"
	var f faults
	for i, identifier := range declared {
		f.text(fmt.Sprintf("declared[%d]", i), identifier, 128)
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	if err := c.onReader().ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.TaskListUndeclared(ctx, c.reading(), db.TaskListUndeclaredParams{Declared: declared})
	if err == nil && len(rows) == 0 {
		err = c.onReader().recheck(ctx, readJobs)
	}
	if err != nil {
		return nil, c.failure(call, err)
	}
	tasks := make([]UndeclaredTask, len(rows))
	for i, row := range rows {
		tasks[i] = UndeclaredTask{
			Identifier: row.Identifier, Jobs: row.Jobs, Pending: row.Pending,
			Oldest: newTime(row.Oldest), DidYouMean: nearest(row.Identifier, declared),
		}
	}
	return tasks, nil
}

// nearest returns the name that is spelled most like the given one, or nil if no name is
// similar.
func nearest(name string, names []string) *string {
	if near := spelling.Near(name, names); len(near) > 0 {
		return &near[0]
	}
	return nil
}
