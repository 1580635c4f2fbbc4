package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/migrations"
)

func migrateGrantsCommand(a *app) *cobra.Command {
	var l limits
	var c consent
	var apply, revoke, offline bool
	cmd := &cobra.Command{
		Use:   "grants producer|admin|reader ROLE",
		Short: "Print, or apply, what a role other than the owner needs",
		Long: `Print, or apply, what a role other than the owner of the tables needs:

  producer  adds and removes jobs
  admin     does everything that gwadmin's other verbs do
  reader    lists and counts

Graphile Worker's tables have row-level security without a policy: to other roles they
look empty, without an error. So the output has policies, too. They are named
gwadmin_…, and --revoke takes everything back. Workers, which connect as the owner,
are not affected. The role must exist.`,
		Example: `  gwadmin migrate grants producer web_app
  gwadmin migrate grants reader dashboard --apply --yes
  gwadmin migrate grants reader dashboard --revoke --apply --yes`,
		Args:      takes(2, 2),
		ValidArgs: []string{string(migrations.Producer), string(migrations.Admin), string(migrations.Reader)},
		RunE: func(cmd *cobra.Command, args []string) error {
			if apply && offline {
				return usage(errors.New("--apply needs a connection: leave out --offline"))
			}
			kind, err := migrations.ParseRoleKind(args[0])
			if err != nil {
				return usage(err)
			}
			ctx, role := cmd.Context(), args[1]
			return a.withMigrator(ctx, l, func(migrator *migrations.Migrator) error {
				grants := migrator.Grants()
				question, run, sql := "Grant role %[2]s the rights of a %[1]s?", grants.Grant, grants.GrantSQL
				if revoke {
					question, run, sql = "Take the rights of a %s from role %s?", grants.Revoke, grants.RevokeSQL
				}
				statements, err := sql(kind, role)
				if err != nil {
					return usage(err)
				}
				if !apply {
					if !offline {
						if err := checkInstalled(ctx, migrator); err != nil {
							return err
						}
					}
					return a.print(rights{kind, role, revoke, false, statements})
				}
				if err := c.ask(a, fmt.Sprintf(question, kind, role)); err != nil {
					return err
				}
				if err := run(ctx, kind, role); err != nil {
					return err
				}
				if a.format == formatTable {
					a.say("done")
					return nil
				}
				return a.print(rights{kind, role, revoke, true, nil})
			})
		},
	}
	cmd.Flags().BoolVar(&apply, "apply", false, "run the statements instead of printing them")
	cmd.Flags().BoolVar(&revoke, "revoke", false, "take the rights back")
	cmd.Flags().BoolVar(&offline, "offline", false, "print the statements without connecting: nothing checks that they fit the schema")
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask for confirmation; needed with --apply where there is no terminal")
	l.flags(cmd.Flags())
	return cmd
}

// checkInstalled returns an error if a supported schema is not installed.
func checkInstalled(ctx context.Context, migrator *migrations.Migrator) error {
	read, err := migrator.Status(ctx)
	if err != nil {
		return err
	}
	if read.Revision == 0 && !read.Foreign {
		return graphile.NotInstalled(read.Schema)
	}
	return read.Supported()
}

// rights prints the statements unchanged.
type rights struct {
	Kind       migrations.RoleKind `json:"kind"`
	Role       string              `json:"role"`
	Revoke     bool                `json:"revoke"`
	Applied    bool                `json:"applied"`
	Statements []string            `json:"statements,omitempty"`
}

func (r rights) lines() []any { return []any{r} }

func (r rights) tables(a *app) []table.Writer {
	fmt.Fprintln(a.stdout, strings.Join(r.Statements, "\n"))
	return nil
}
