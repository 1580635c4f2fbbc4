package main

import (
	"context"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/migrations"
)

func migrateStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Say which migrations are applied and which are pending",
		Example: "  gwadmin migrate status\n  gwadmin migrate status --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.onMigrators(cmd.Context(), limits{}, func(ctx context.Context, a *app, migrator *migrations.Migrator) error {
				read, err := migrator.Status(ctx)
				if err != nil {
					return err
				}
				if err := a.print(migrationStatus{read}); err != nil {
					return err
				}
				if err := read.Supported(); err != nil {
					return err
				}
				if read.Newer() {
					a.say("the schema is at revision %d, newer than this gwadmin knows; up leaves it unchanged", read.Revision)
				}
				if n := len(read.Pending()); n > 0 {
					a.say("%s", pending(n))
					return status(exitPending)
				}
				if !read.Newer() {
					a.say("up to date at revision %d", read.Revision)
				}
				return nil
			})
		},
	}
}

// migrationStatus prints the status of a schema.
type migrationStatus struct{ *migrations.Status }

func (s migrationStatus) lines() []any { return []any{s} }

func (s migrationStatus) tables(a *app) []table.Writer {
	t := a.table("MIGRATIONS OF "+s.Schema, "migration", "name", "applied at")
	for _, m := range s.Migrations {
		at := "pending"
		if m.AppliedAt != nil {
			at = string(a.moment(m.AppliedAt))
		}
		t.AppendRow(table.Row{m.Version, m.Name, at})
	}
	return []table.Writer{t}
}
