package migrations

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

// A RoleKind is what a role may do with a schema that another role owns.
//
// Graphile Worker's tables have row-level security without a policy, so that a role that
// does not own them sees no row, whatever it is granted. Its functions run with the rights
// of the caller. So each kind consists of privileges on the tables, policies for the
// commands, and privileges on the functions. By default everybody may call the functions:
// the privileges on the tables are what limits a role.
type RoleKind string

const (
	// Reader lists and counts: it selects from every table and view that the schema has
	// at the time of the grant, and changes nothing.
	Reader RoleKind = "reader"

	// Producer adds and removes jobs, by add_job, add_jobs and remove_job, from any
	// language. It reads the ledger of revisions, as clients do first, but not the
	// crontabs. It also reads all jobs with their payloads, whoever added them, since
	// these functions return whole rows. Of tasks and queues it reads the names, and who
	// holds a queue, which is part of the state of its jobs.
	//
	// The functions act with the rights of the role, so that it can do by hand what they
	// do: insert jobs, tasks and queues; set any column that add_job sets on a job that
	// has a key, even while a worker runs it; delete a job that has a key, unless a worker
	// holds it; and lock the table of jobs, as any role that may delete from it. It can do
	// what complete_jobs, permanently_fail_jobs and reschedule_jobs do, to jobs with a
	// key. It can only read jobs without a key, which these functions skip. It cannot set
	// or clear a worker's lock, an id or created_at, or change or delete tasks and queues.
	Producer RoleKind = "producer"

	// Admin does what the other two do, to all jobs, and what package admin and the
	// administrative functions do: complete, fail, reschedule, retry, unlock and clean up.
	// It cannot set an id or created_at, rename tasks or queues, write to the crontabs or
	// the ledger, or alter the schema.
	Admin RoleKind = "admin"
)

// ParseRoleKind returns the kind of that name.
func ParseRoleKind(name string) (RoleKind, error) {
	kind := RoleKind(name)
	if _, ok := rights[kind]; !ok {
		return "", fmt.Errorf("unknown kind of role %q: want %s, %s or %s", name, Producer, Admin, Reader)
	}
	return kind, nil
}

// rights are what each kind of role is granted. A test shows that a producer needs each
// of its rights.
var rights = map[RoleKind]struct {
	privileges []privilege
	policies   []policy
}{
	Producer: {
		privileges: []privilege{
			{"usage", "schema graphile_worker"},
			{"execute", "function graphile_worker.add_job, graphile_worker.add_jobs, graphile_worker.remove_job"},
			{"select", "table graphile_worker.migrations"},
			{"select (id, identifier), insert (identifier)", "table graphile_worker._private_tasks"},
			{"select (id, queue_name, " + lockColumns + "), insert (queue_name)", "table graphile_worker._private_job_queues"},
			{"select, insert (" + addedColumns + "), update (" + keyedColumns + "), delete", "table graphile_worker._private_jobs"},
		},
		policies: []policy{
			{table: "_private_tasks", command: "select", using: "true"},
			{table: "_private_tasks", command: "insert", check: "true"},
			{table: "_private_job_queues", command: "select", using: "true"},
			{table: "_private_job_queues", command: "insert", check: "true"},
			{table: "_private_jobs", command: "select", using: "true"},
			{table: "_private_jobs", command: "insert", check: "true"},
			{table: "_private_jobs", command: "update", using: "key is not null", check: "true"},
			{table: "_private_jobs", command: "delete", using: "key is not null and " +
				"(locked_at is null or locked_at < pg_catalog.now() - interval '4 hours')"},
		},
	},
	Admin: {
		privileges: []privilege{
			{"usage", "schema graphile_worker"},
			{"execute", "function graphile_worker.add_job, graphile_worker.add_jobs, graphile_worker.remove_job, " +
				"graphile_worker.complete_jobs, graphile_worker.permanently_fail_jobs, " +
				"graphile_worker.reschedule_jobs, graphile_worker.force_unlock_workers"},
			{"select", "all tables in schema graphile_worker"},
			{"insert (identifier), delete", "table graphile_worker._private_tasks"},
			{"insert (queue_name), update (" + lockColumns + "), delete", "table graphile_worker._private_job_queues"},
			{"insert (" + addedColumns + "), update (" + keyedColumns + ", " + lockColumns + "), delete", "table graphile_worker._private_jobs"},
		},
		policies: []policy{
			{table: "_private_tasks", command: "all", using: "true"},
			{table: "_private_job_queues", command: "all", using: "true"},
			{table: "_private_jobs", command: "all", using: "true"},
			{table: "_private_known_crontabs", command: "select", using: "true"},
		},
	},
	Reader: {
		privileges: []privilege{
			{"usage", "schema graphile_worker"},
			{"select", "all tables in schema graphile_worker"},
		},
		policies: []policy{
			{table: "_private_tasks", command: "select", using: "true"},
			{table: "_private_job_queues", command: "select", using: "true"},
			{table: "_private_jobs", command: "select", using: "true"},
			{table: "_private_known_crontabs", command: "select", using: "true"},
		},
	},
}

// The columns of a job that adding it writes, that adding it again or removing it by its
// key writes, and that make up a worker's lock.
const (
	addedColumns = "job_queue_id, task_id, payload, run_at, max_attempts, key, priority, flags"
	keyedColumns = addedColumns + ", revision, attempts, last_error, updated_at"
	lockColumns  = "locked_at, locked_by"
)

type privilege struct{ what, on string }

type policy struct{ table, command, using, check string }

// maxRightsLock is how long a grant waits for a table. For all four tables together that
// is less than PostgreSQL's default deadlock_timeout, so that in a deadlock with a worker
// the grant is cancelled.
const maxRightsLock = 200 * time.Millisecond

// Grants lets roles other than the owner use a schema. It is safe for concurrent use.
type Grants struct{ m *Migrator }

// Grants returns the grants on the migrator's schema. It does not connect.
func (m *Migrator) Grants() *Grants { return &Grants{m} }

// Grant lets a role do what the kind says. The role may have another kind, too, and may be
// a group, whose members then have its rights. Granting again changes nothing. The
// migrator's role must own the tables or be a superuser. Of Graphile Worker's objects only
// the privileges change, and workers, which connect as the owner, are not affected. What
// is added is named gwadmin_… and belongs to this role alone; [Grants.Revoke] removes it.
//
// It is one transaction. A new policy needs an exclusive lock on its table for a moment,
// and while it waits for that others wait behind it. So it waits at most 0.2 seconds for
// each table, or Options.LockTimeout if that is shorter, then rolls back and tries again,
// up to ten times. If the tables are locked at every try, nothing is changed and the error
// wraps PostgreSQL's 55P03.
//
// The error is [ErrNotInstalled] if nothing is installed, [ErrForeign] if the table
// migrations is not Graphile Worker's, and a [*RevisionError] for an unsupported revision.
// Refused are a role that does not exist, that owns the schema or something in it, and
// PUBLIC.
func (g *Grants) Grant(ctx context.Context, kind RoleKind, role string) error {
	return g.run(ctx, roleChange{g.m.schema, kind, role, false})
}

// Revoke takes back what [Grants.Grant] granted to the role for this kind, and nothing
// that it has by another kind. It also takes back the same rights if they were granted by
// hand. Revoking again changes nothing. Revoke before you rename or drop a role, since its
// policies are found by its name, and before a revision of Graphile Worker that alters a
// job's columns key or locked_at, which the policies of producers name. Transaction, locks
// and errors are those of Grant.
func (g *Grants) Revoke(ctx context.Context, kind RoleKind, role string) error {
	return g.run(ctx, roleChange{g.m.schema, kind, role, true})
}

// GrantSQL returns what [Grants.Grant] runs, from begin to commit, as statements for
// psql -X -v ON_ERROR_STOP=1. It does not connect. On a busy queue the script may end with
// a lock timeout and no change: then run it again.
func (g *Grants) GrantSQL(kind RoleKind, role string) ([]string, error) {
	return g.script(roleChange{g.m.schema, kind, role, false})
}

// RevokeSQL returns what [Grants.Revoke] runs, as [Grants.GrantSQL] does.
func (g *Grants) RevokeSQL(kind RoleKind, role string) ([]string, error) {
	return g.script(roleChange{g.m.schema, kind, role, true})
}

func (g *Grants) lockTimeout() time.Duration { return min(g.m.options.LockTimeout, maxRightsLock) }

func (g *Grants) run(ctx context.Context, c roleChange) error {
	statements, err := c.statements()
	if err == nil {
		err = g.m.write(ctx, func(s *session) error {
			ledger, err := graphile.ReadLedger(ctx, s.tx, g.m.schema)
			if err != nil {
				return err
			}
			if err := ledger.Check(); err != nil {
				return err
			}
			if err := set(ctx, s.tx, "lock_timeout", milliseconds(g.lockTimeout())); err != nil {
				return err
			}
			for _, statement := range statements {
				if _, err := s.tx.Exec(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}

func (g *Grants) script(c roleChange) ([]string, error) {
	statements, err := c.statements()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	limit := fmt.Sprintf("set local lock_timeout = '%sms';", milliseconds(g.lockTimeout()))
	return slices.Concat([]string{"begin;", limit}, statements, []string{"commit;"}), nil
}

// A roleChange grants the rights of a kind to a role, or revokes them.
type roleChange struct {
	schema string
	kind   RoleKind
	role   string
	revoke bool
}

func (c roleChange) String() string {
	if c.revoke {
		return fmt.Sprintf("revoke %s from role %q", c.kind, c.role)
	}
	return fmt.Sprintf("grant %s to role %q", c.kind, c.role)
}

// statements returns the SQL of the change, or an error if the kind or the name of the
// role is invalid.
func (c roleChange) statements() ([]string, error) {
	if _, err := ParseRoleKind(string(c.kind)); err != nil {
		return nil, err
	}
	switch {
	case c.role == "":
		return nil, errors.New("the role has no name")
	case strings.EqualFold(c.role, "public"):
		return nil, errors.New("PUBLIC is everybody: name a role")
	case len(c.role) > 63:
		return nil, fmt.Errorf("the role's name has %d bytes: PostgreSQL keeps only 63", len(c.role))
	case !utf8.ValidString(c.role):
		return nil, errors.New("the role's name is not UTF-8")
	case strings.ContainsFunc(c.role, unicode.IsControl):
		return nil, errors.New("the role's name has a control character")
	}
	if c.revoke {
		return c.revokeStatements(), nil
	}
	return c.grantStatements(), nil
}

func (c roleChange) grantStatements() []string {
	statements := []string{c.guard()}
	for _, p := range rights[c.kind].privileges {
		statements = append(statements, c.privilege("grant", p))
	}
	var lines []string
	for _, p := range rights[c.kind].policies {
		lines = append(lines, "if not "+c.hasPolicy(p)+" then", "  "+c.createPolicy(p), "end if;")
	}
	return append(statements, block("-- Row security hides every row from a role without a policy.", lines))
}

func (c roleChange) revokeStatements() []string {
	var lines []string
	for _, p := range rights[c.kind].policies {
		lines = append(lines, "if "+c.hasPolicy(p)+" then", "  drop policy "+c.policyName(p)+" on "+c.table(p.table)+";", "end if;")
	}
	statements := []string{c.guard(), block("", lines)}
	for _, p := range rights[c.kind].privileges {
		statements = append(statements, c.privilege("revoke", p))
	}
	lines = nil
	for _, kind := range []RoleKind{Producer, Admin, Reader} {
		if kind == c.kind {
			continue
		}
		other := roleChange{c.schema, kind, c.role, false}
		lines = append(lines, "if "+other.hasPolicy(rights[kind].policies[0])+" then")
		for _, p := range rights[kind].privileges {
			lines = append(lines, "  "+other.privilege("grant", p))
		}
		lines = append(lines, "end if;")
	}
	return append(statements, block("-- What the role has by another kind stays.", lines))
}

// guard refuses a role that does not exist, and one that owns something here: it needs no
// rights, and would lose its own when they are revoked.
func (c roleChange) guard() string {
	role := quoteLiteral(c.quotedRole()) + "::pg_catalog.regrole"
	return block("", []string{
		"if exists (",
		"  select from pg_catalog.pg_namespace as n where n.nspname = " + quoteLiteral(c.schema) + " and n.nspowner = " + role,
		"  union all",
		"  select from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace",
		"  where n.nspname = " + quoteLiteral(c.schema) + " and c.relowner = " + role,
		") then",
		"  raise exception 'the role owns the schema or tables in it: it has every right' using errcode = '0LP01';",
		"end if;",
	})
}

func (c roleChange) privilege(verb string, p privilege) string {
	preposition := map[string]string{"grant": "to", "revoke": "from"}[verb]
	return fmt.Sprintf("%s %s on %s %s %s;",
		verb, strings.ReplaceAll(p.what, "), ", "),\n    "), graphile.Rename(p.on, c.schema), preposition, c.quotedRole())
}

func (c roleChange) createPolicy(p policy) string {
	sql := fmt.Sprintf("create policy %s on %s for %s to %s", c.policyName(p), c.table(p.table), p.command, c.quotedRole())
	if p.using != "" {
		sql += " using (" + p.using + ")"
	}
	if p.check != "" {
		sql += " with check (" + p.check + ")"
	}
	return sql + ";"
}

// policyName is unique on the table among all kinds, roles and commands.
func (c roleChange) policyName(p policy) string {
	return fmt.Sprintf("gwadmin_%s_%s_%.8x", c.kind, p.command, sha256.Sum256([]byte(c.role)))
}

func (c roleChange) hasPolicy(p policy) string {
	return fmt.Sprintf("exists (select from pg_catalog.pg_policy\n      where polrelid = %s::pg_catalog.regclass and polname = '%s')",
		quoteLiteral(c.table(p.table)), c.policyName(p))
}

func (c roleChange) table(name string) string {
	return graphile.Rename(graphile.DefaultSchema+"."+name, c.schema)
}

func (c roleChange) quotedRole() string { return pgx.Identifier{c.role}.Sanitize() }

// block returns a DO statement under a comment. It quotes the lines with a tag that none
// of them contains.
func block(comment string, lines []string) string {
	body := "begin\n  " + strings.Join(lines, "\n  ") + "\nend\n"
	tag := "$gwadmin$"
	for strings.Contains(body, tag) {
		tag = tag[:len(tag)-1] + "_$"
	}
	if comment != "" {
		comment += "\n"
	}
	return comment + "do " + tag + "\n" + body + tag + ";"
}

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
