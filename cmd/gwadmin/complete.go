package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/shell"
)

// A lister lists the values that the shell may complete. Those that do not begin with what
// is typed are ignored.
type lister func(typed string) []string

func listOf[T ~string](values ...T) lister {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return func(string) []string { return texts }
}

// complete registers what the shell completes for the flags and arguments of all verbs.
// File names are completed only for flags and arguments that take one.
func (a *app) complete(root *cobra.Command) {
	flags := map[string]lister{
		"columns":  listOf(columnNames...),
		"keep":     a.taskIdentifiers,
		"key-mode": listOf(admin.Replace, admin.PreserveRunAt, admin.UnsafeDedupe),
		"queue":    a.queueNames,
		"run-at":   listOf("now", "infinity"),
		"sort":     listOf(sortKeys...),
		"state":    listOf(admin.States...),
		"task":     a.taskIdentifiers,
		"target":   a.targetNames,
		"tasks":    listOf(admin.DeletePermafailedJobs, admin.GCTaskIdentifiers, admin.GCJobQueues),
		"worker":   a.workerIDs,
	}
	arguments := map[string]lister{
		"jobs add":       a.taskIdentifiers,
		"workers unlock": a.workerIDs,
		"queues pause":   a.queueNames,
		"queues resume":  a.queueNames,
	}
	takesFile := map[string]bool{"file": true, "save": true, "check": true, "declared-file": true, "to": true, "jobs import": true}
	walk(root, func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			list := flags[flag.Name]
			if format, ok := flag.Value.(interface{ names() []string }); ok {
				list = listOf(format.names()...)
			}
			_, commas := flag.Value.(pflag.SliceValue)
			switch {
			case list != nil:
				_ = cmd.RegisterFlagCompletionFunc(flag.Name, completeFrom(list, commas))
			case !takesFile[flag.Name]:
				_ = cmd.RegisterFlagCompletionFunc(flag.Name, cobra.NoFileCompletions)
			}
		})
		switch list := arguments[verbOf(cmd)]; {
		case list != nil:
			cmd.ValidArgsFunction = completeFrom(list, false)
		case cmd.ValidArgs == nil && !takesFile[verbOf(cmd)]:
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
	})
}

// completeFrom completes from the list. With commas the flag takes several values, and the
// last one is completed. A value with a comma or a quote is put in quotes.
func completeFrom(list lister, commas bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		given, start, quoted := slices.Clone(args), 0, false
		for i, c := range []byte(typed) {
			switch {
			case c == '"':
				quoted = !quoted
			case c == ',' && commas && !quoted:
				given = append(given, typed[start:i])
				start = i + 1
			}
		}
		before, typed := typed[:start], typed[start:]
		begins := typed
		if rest, ok := strings.CutPrefix(typed, `"`); ok && commas {
			begins = strings.ReplaceAll(rest, `""`, `"`)
		}
		var found []string
		for _, value := range list(begins) {
			if commas {
				value = shell.Element(value)
			}
			if strings.HasPrefix(value, typed) && !slices.Contains(given, value) {
				found = append(found, before+value)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// walk visits a command and all below it.
func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		walk(sub, visit)
	}
}

// fromDatabase reads values from the database, or from all targets. It ignores errors, which
// the shell could not show.
func (a *app) fromDatabase(read func(context.Context, *admin.Client) ([]string, error)) (values []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if a.findTargets() != nil {
		return nil
	}
	apps, done, err := a.eachTarget(ctx)
	if err != nil {
		return nil
	}
	defer done()
	found := make([][]string, len(apps))
	_, _ = collect(ctx, apps, func(ctx context.Context, one *app) error {
		return one.withClient(ctx, func(client *admin.Client) (err error) {
			i := slices.IndexFunc(apps, func(a *app) bool { return a.name == one.name })
			found[i], err = read(ctx, client)
			return err
		})
	})
	for _, value := range slices.Concat(found...) {
		if !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	return values
}

// targetNames are the names in GWADMIN_TARGETS.
func (a *app) targetNames(string) []string {
	known, _ := a.envTargets()
	return namesOf(known)
}

func (a *app) taskIdentifiers(string) []string {
	return a.fromDatabase(func(ctx context.Context, client *admin.Client) ([]string, error) { return client.TaskIdentifiers(ctx) })
}

func (a *app) queueNames(typed string) []string {
	return a.fromDatabase(func(ctx context.Context, client *admin.Client) ([]string, error) {
		return client.QueueNames(ctx, typed, 100)
	})
}

func (a *app) workerIDs(string) []string {
	return a.fromDatabase(func(ctx context.Context, client *admin.Client) (ids []string, err error) {
		workers, err := client.Workers(ctx)
		for _, worker := range workers {
			ids = append(ids, worker.ID)
		}
		return ids, err
	})
}
