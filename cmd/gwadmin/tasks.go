package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func tasksCommand(a *app) *cobra.Command {
	var declared []string
	var file string
	cmd := a.reading(&cobra.Command{
		Use:   "tasks",
		Short: "List the tasks, and their jobs by state",
		Long: `List the tasks, and their jobs by state.

With --declared or --declared-file it says which tasks are declared, and exits with 4
when there are jobs of another task: its identifier may be misspelled, and then no
worker ever runs them. The declared identifier that is spelled most alike is named.`,
		Example: "  gwadmin tasks\n  gwadmin tasks --declared send_receipt,ship_order\n  gwadmin tasks --declared-file tasks.txt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("declared-file") {
				lines, err := a.readDeclared(file)
				if err != nil {
					return err
				}
				declared = append(declared, lines...)
			}
			if cmd.Flags().Changed("declared") && len(declared) == 0 {
				return usage(errors.New("--declared is empty: leave it out to list the tasks alone"))
			}
			return nil
		},
	}, func(ctx context.Context, client *admin.Client) (printable, error) {
		tasks, err := client.Tasks(ctx)
		if declared == nil || err != nil {
			return shownTasks(tasks), err
		}
		undeclared, err := client.UndeclaredTasks(ctx, declared)
		shown := comparedTasks{}
		for _, task := range tasks {
			compared := comparedTask{Task: task, Declared: slices.Contains(declared, task.Identifier)}
			for _, other := range undeclared {
				if other.Identifier == task.Identifier {
					compared.DidYouMean, compared.undeclared = other.DidYouMean, &other
				}
			}
			shown = append(shown, compared)
		}
		return shown, err
	})
	cmd.Flags().StringSliceVar(&declared, "declared", nil, "say which tasks are among these identifiers, with commas in between")
	cmd.Flags().StringVar(&file, "declared-file", "", "the same with the identifiers in a file, one a line; - is standard input")
	return cmd
}

// readDeclared reads identifiers, one a line.
func (a *app) readDeclared(file string) ([]string, error) {
	if file == "" {
		return nil, usage(errors.New("--declared-file is empty: name a file, or - for standard input"))
	}
	name, text, err := a.readCopy(file)
	if err != nil {
		return nil, fmt.Errorf("read the declared tasks: %w", err)
	}
	identifiers := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	if len(identifiers) == 0 {
		return nil, usage(fmt.Errorf("%s declares no task", name))
	}
	return identifiers, nil
}

type shownTasks []admin.Task

func (s shownTasks) lines() []any { return anys(s) }

func (s shownTasks) notes(*app) []string { return noneOf(s, "no tasks") }

func (s shownTasks) tables(a *app) []table.Writer {
	t := a.countsTable("", "task")
	for _, task := range s {
		t.AppendRow(countsRow(task.Jobs, task.Identifier))
	}
	return []table.Writer{t}
}

// A comparedTask is declared or not.
type comparedTask struct {
	admin.Task
	Declared   bool    `json:"declared"`
	DidYouMean *string `json:"did_you_mean"`
	undeclared *admin.UndeclaredTask
}

type comparedTasks []comparedTask

func (s comparedTasks) lines() []any { return anys(s) }

func (s comparedTasks) tables(a *app) []table.Writer {
	t := a.countsTable("", "task", "declared")
	for _, task := range s {
		declared := "yes"
		if !task.Declared {
			declared = "no"
		}
		t.AppendRow(countsRow(task.Jobs, task.Identifier, declared))
	}
	return []table.Writer{t}
}

func (s comparedTasks) notes(*app) []string {
	if err := s.fault(); err != nil {
		return []string{err.Error()}
	}
	return noneOf(s, "no tasks")
}

func (s comparedTasks) status() error {
	if s.fault() != nil {
		return status(exitDrifted)
	}
	return nil
}

// fault is an [*admin.UndeclaredError], or nil.
func (s comparedTasks) fault() error {
	var undeclared []admin.UndeclaredTask
	for _, task := range s {
		if task.undeclared != nil {
			undeclared = append(undeclared, *task.undeclared)
		}
	}
	if undeclared == nil {
		return nil
	}
	return &admin.UndeclaredError{Tasks: undeclared}
}
