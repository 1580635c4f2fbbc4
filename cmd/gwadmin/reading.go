package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

// noted is a printable with notes for people, which go to standard error.
type noted interface{ notes(a *app) []string }

// judged is a printable that may end the command with an exit code. --watch ignores it.
type judged interface{ status() error }

func (a *app) notes(data printable) []string {
	if data, ok := data.(noted); ok {
		return data.notes(a)
	}
	return nil
}

// reading adds a RunE that prints what the verb reads, and repeats it with --watch. If the
// verb has a RunE already, that runs first, before it connects.
func (a *app) reading(cmd *cobra.Command, read func(context.Context, *admin.Client) (printable, error)) *cobra.Command {
	var every watchFlag
	every.flag(cmd.Flags())
	cmd.Args = every.args
	check := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if check != nil {
			if err := check(cmd, args); err != nil {
				return err
			}
		}
		once := func(ctx context.Context, a *app) error {
			return a.withClient(ctx, func(client *admin.Client) error {
				data, err := read(ctx, client)
				if err != nil {
					return err
				}
				return a.report(data)
			})
		}
		ctx, period := cmd.Context(), time.Duration(every)
		a.watching = period != 0
		switch {
		case !a.watching:
			return a.onTargets(ctx, once)
		case len(a.targets) == 0:
			return a.withClient(ctx, func(client *admin.Client) error {
				return a.watch(ctx, period, func() (printable, error) { return read(ctx, client) })
			})
		}
		apps, done, err := a.eachTarget(ctx)
		if err != nil {
			return err
		}
		defer done()
		return a.watch(ctx, period, func() (printable, error) {
			all, err := collect(ctx, apps, once)
			if err != nil {
				return nil, err
			}
			return all, all.failure()
		})
	}
	return cmd
}

// report prints what a verb has read, and its notes. It returns the exit code.
func (a *app) report(data printable) error {
	if err := a.print(data); err != nil {
		return err
	}
	for _, note := range a.notes(data) {
		a.say("%s", note)
	}
	if data, ok := data.(judged); ok {
		return data.status()
	}
	return nil
}
