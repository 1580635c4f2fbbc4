package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/migrations"
)

func migrateGrantsCommand(a *app) *cobra.Command {
	var l limits
	var c consent
	var apply, revoke bool
	cmd := &cobra.Command{
		Use:   "grants producer|admin|reader ROLE",
		Short: "Print, or apply, what a role other than the owner needs",
		Long: `Print, or apply, what a role other than the owner of the tables needs:

  producer  adds and removes jobs
  admin     does everything that gwadmin's other verbs do
  reader    lists and counts

Graphile Worker's tables have row-level security without a policy, so that other
roles see them empty and hear of no error: policies are part of what is printed.
They are named gwadmin_…, and --revoke takes everything back. Workers, which are
the owner, are not affected. The role must exist.`,
		Example: `  gwadmin migrate grants producer web_app
  gwadmin migrate grants reader dashboard --apply --yes
  gwadmin migrate grants reader dashboard --revoke --apply --yes`,
		Args:      cobra.ExactArgs(2),
		ValidArgs: []string{string(migrations.Producer), string(migrations.Admin), string(migrations.Reader)},
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := migrations.ParseRoleKind(args[0])
			if err != nil {
				return usage(err)
			}
			ctx, role := cmd.Context(), args[1]
			if !apply {
				return a.printRights(ctx, kind, role, revoke)
			}
			return a.withMigrator(ctx, l, func(migrator *migrations.Migrator) error {
				if _, err := migrator.GrantSQL(kind, role); err != nil {
					return usage(err)
				}
				question, do := fmt.Sprintf("Grant role %s the rights of a %s?", role, kind), migrator.Grant
				if revoke {
					question, do = fmt.Sprintf("Take the rights of a %s from role %s?", kind, role), migrator.Revoke
				}
				if err := c.ask(a, question); err != nil {
					return err
				}
				if err := do(ctx, kind, role); err != nil {
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
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask for confirmation; needed with --apply where there is no terminal")
	l.flags(cmd.Flags())
	return cmd
}

// printRights prints the statements; it connects to nothing.
func (a *app) printRights(ctx context.Context, kind migrations.RoleKind, role string, revoke bool) error {
	pool, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	migrator, err := a.migrator(pool, limits{})
	if err != nil {
		return err
	}
	statements, err := migrator.GrantSQL(kind, role)
	if revoke {
		statements, err = migrator.RevokeSQL(kind, role)
	}
	if err != nil {
		return usage(err)
	}
	return a.print(rights{kind, role, revoke, false, statements})
}

// rights prints the statements as they are.
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
