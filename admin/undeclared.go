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

// An UndeclaredError lists the tasks that have jobs and that nobody declares. It matches
// [ErrUndeclared].
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

// An UndeclaredTask is a task that has jobs and that nobody declares: its identifier is
// misspelled, say, or the task is retired. Where no worker knows it, its jobs wait for ever.
type UndeclaredTask struct {
	Identifier string    `json:"identifier"`
	Jobs       int64     `json:"jobs"`
	Pending    int64     `json:"pending"` // those of the jobs that have not used up their attempts
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

// UndeclaredTasks lists by identifier the tasks that have jobs and are not among the
// declared identifiers, such as those of [Identifiers]. Upper and lower case differ. It
// takes no lock, and reads no job where all tasks are declared; otherwise it goes through
// all jobs. [Client.Check] makes an error of them.
func (c *Client) UndeclaredTasks(ctx context.Context, declared []string) ([]UndeclaredTask, error) {
	const call = "undeclared tasks"
	var f faults
	for i, identifier := range declared {
		f.text(fmt.Sprintf("declared[%d]", i), identifier, 128)
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	if err := c.ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := c.queries.TaskListUndeclared(ctx, c.reading(), db.TaskListUndeclaredParams{Declared: declared})
	if err == nil && len(rows) == 0 {
		err = c.recheck(ctx, readJobs)
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

// nearest returns the name that is spelled most like another; nil: none is.
func nearest(name string, names []string) *string {
	if near := spelling.Near(name, names); len(near) > 0 {
		return &near[0]
	}
	return nil
}
