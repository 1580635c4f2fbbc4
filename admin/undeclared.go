package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/gwadmin/gwadmin/db"
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

// nearest returns the name that is spelled most like another, whatever their case and
// what separates their words; nil: none is close.
func nearest(name string, names []string) *string {
	word := letters(name)
	var found *string
	least := 2 + len(word)/10
	for i, other := range names {
		if d := distance(word, letters(other), least); d <= least && 2*d < max(len(word), 1) {
			found, least = &names[i], d-1
		}
	}
	if found == nil {
		return nil
	}
	return new(*found)
}

func letters(name string) []rune {
	return []rune(strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name))
}

// distance is how many letters are to be added, left out or replaced to make one word
// of another; more than most where it is more.
func distance(a, b []rune, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		before := row[0]
		row[0] = i + 1
		for j := range b {
			cost := before
			if a[i] != b[j] {
				cost = 1 + min(before, row[j], row[j+1])
			}
			before, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
