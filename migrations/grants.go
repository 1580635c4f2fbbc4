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

// A RoleKind is what a role is let do with a schema that another role owns.
//
// Graphile Worker's tables have row-level security and no policy, so that whoever
// does not own them sees no row, whatever is granted; its functions run with the
// rights of their caller. So each kind is privileges on the tables, a policy for
// each command, and the functions, if by default anybody may call them: the
// privileges on the tables are what keeps a role from what it may not do.
type RoleKind string

const (
	// Reader lists and counts: it selects from every table and view that the
	// schema has at the time of the grant, and changes nothing.
	Reader RoleKind = "reader"

	// Producer adds and removes jobs, by add_job, add_jobs and remove_job, from
	// any language. It reads the ledger of revisions, as clients do first, but
	// not the crontabs. It also reads every job, whoever added it, payload
	// included, since these functions return whole rows; of tasks and queues it
	// reads the names, and who holds a queue, which is a part of its jobs' state.
	//
	// The functions act with the role's own rights, so what they do it can do by
	// hand: insert jobs, tasks and queues; set any column that add_job sets on a
	// job that has a key, even one that is running; delete a job that has a key,
	// unless a worker holds it; and, as whoever may delete from a table, lock the
	// table of jobs. To jobs with a key it can do what complete_jobs,
	// permanently_fail_jobs and reschedule_jobs do. Jobs without a key it can only
	// read: these functions pass them over. It cannot set or clear a worker's lock,
	// an id or created_at, or change or delete tasks and queues.
	Producer RoleKind = "producer"

	// Admin does all that the other two do, to any job, and what package admin
	// and the administrative functions do: complete, fail, reschedule, retry,
	// unlock and clean up. It cannot set an id or created_at, rename tasks or
	// queues, write to the crontabs or the ledger, or alter the schema.
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

// rights are what the kinds of roles are given. The tests show that each right of
// a producer is needed: without it a call fails.
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

// The columns of a job: those that adding it writes, those that adding it again or
// removing it by its key writes, and those that a worker's lock is made of.
const (
	addedColumns = "job_queue_id, task_id, payload, run_at, max_attempts, key, priority, flags"
	keyedColumns = addedColumns + ", revision, attempts, last_error, updated_at"
	lockColumns  = "locked_at, locked_by"
)

type privilege struct{ what, on string }

type policy struct{ table, command, using, check string }

// maxRightsLock bounds how long a try to change policies waits for a table. For all
// four of them that is less than PostgreSQL's default deadlock_timeout: when a
// worker and the try wait for each other, it is the try that is cancelled.
const maxRightsLock = 200 * time.Millisecond

// Grant lets a role do what the kind says. The role may have another kind, too,
// and may be a group, whose members then have its rights. Granting again changes
// nothing. The migrator's own role must own the tables or be a superuser; of
// Graphile Worker's objects only the privileges change, and its workers, which
// own them, are not affected. What is added is named gwadmin_… and belongs to
// this role alone; [Migrator.Revoke] removes it.
//
// It is one transaction. A new policy needs its table to itself for a moment, and
// while it waits everybody else waits behind it: so it waits for each table for 0.2
// seconds at most, less if Options.LockTimeout is, then gives way and tries again,
// up to ten times. When other transactions hold the tables at every try, nothing
// is changed, and the error is PostgreSQL's 55P03.
//
// The error matches [ErrNotInstalled] where the schema is not there, [ErrForeign]
// where its ledger is not Graphile Worker's, and is a [*RevisionError] for an
// unsupported one. A role that does not exist, that owns
// the schema or something in it, or that is PUBLIC, is refused.
func (m *Migrator) Grant(ctx context.Context, kind RoleKind, role string) error {
	return m.setRights(ctx, grantTitle(kind, role), kind, role, grantStatements)
}

// Revoke takes back what [Migrator.Grant] gave the role for this kind, and nothing
// that another kind gave it; the same rights granted by hand go, too. Revoking
// again changes nothing. Rename or drop a role only afterwards: its policies are
// found by its name. A revision of Graphile Worker that alters a job's columns key
// or locked_at needs producers to be revoked before, as their policies name these.
// Transaction, locks and errors are those of Grant.
func (m *Migrator) Revoke(ctx context.Context, kind RoleKind, role string) error {
	return m.setRights(ctx, revokeTitle(kind, role), kind, role, revokeStatements)
}

// GrantSQL returns what [Migrator.Grant] runs, from begin to commit, as statements
// for psql -X -v ON_ERROR_STOP=1. It connects to nothing. On a busy queue the
// script may end with a lock timeout, having changed nothing: run it again.
func (m *Migrator) GrantSQL(kind RoleKind, role string) ([]string, error) {
	return m.rightsSQL(grantTitle(kind, role), kind, role, grantStatements)
}

// RevokeSQL returns what [Migrator.Revoke] runs, as [Migrator.GrantSQL] does.
func (m *Migrator) RevokeSQL(kind RoleKind, role string) ([]string, error) {
	return m.rightsSQL(revokeTitle(kind, role), kind, role, revokeStatements)
}

func grantTitle(kind RoleKind, role string) string {
	return fmt.Sprintf("grant %s to role %q", kind, role)
}

func revokeTitle(kind RoleKind, role string) string {
	return fmt.Sprintf("revoke %s from role %q", kind, role)
}

func (m *Migrator) setRights(ctx context.Context, title string, kind RoleKind, role string, statements func(grantee) []string) error {
	g, err := newGrantee(m.schema, kind, role)
	if err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	err = m.change(ctx, func(s *session) error {
		state, err := m.state(ctx, s.tx)
		if err != nil {
			return err
		}
		if state.foreign {
			return m.foreign()
		}
		if state.Revision == 0 {
			return fmt.Errorf("%w: schema %q", ErrNotInstalled, m.schema)
		}
		if err := graphile.CheckRevision(m.schema, state.Revision, state.Breaking); err != nil {
			return err
		}
		if err := limit(ctx, s.tx, "lock_timeout", m.rightsLock()); err != nil {
			return err
		}
		for _, statement := range statements(g) {
			if _, err := s.tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	return nil
}

func (m *Migrator) rightsSQL(title string, kind RoleKind, role string, statements func(grantee) []string) ([]string, error) {
	g, err := newGrantee(m.schema, kind, role)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	limit := fmt.Sprintf("set local lock_timeout = '%dms';", max(1, m.rightsLock().Milliseconds()))
	return slices.Concat([]string{"begin;", limit}, statements(g), []string{"commit;"}), nil
}

func (m *Migrator) rightsLock() time.Duration { return min(m.options.LockTimeout, maxRightsLock) }

// A grantee is a role to be given, or to lose, the rights of a kind.
type grantee struct {
	kind         RoleKind
	schema, role string
	toRole       string // the role as SQL
}

func newGrantee(schema string, kind RoleKind, role string) (grantee, error) {
	if _, err := ParseRoleKind(string(kind)); err != nil {
		return grantee{}, err
	}
	switch {
	case role == "":
		return grantee{}, errors.New("the role has no name")
	case strings.EqualFold(role, "public"):
		return grantee{}, errors.New("PUBLIC is everybody: name a role")
	case len(role) > 63:
		return grantee{}, fmt.Errorf("the role's name has %d bytes: PostgreSQL keeps only 63", len(role))
	case !utf8.ValidString(role):
		return grantee{}, errors.New("the role's name is not UTF-8")
	case strings.ContainsFunc(role, unicode.IsControl):
		return grantee{}, errors.New("the role's name has a control character")
	}
	return grantee{kind, schema, role, pgx.Identifier{role}.Sanitize()}, nil
}

func grantStatements(g grantee) []string {
	statements := []string{g.guard()}
	for _, p := range rights[g.kind].privileges {
		statements = append(statements, g.privilege("grant", p, "to"))
	}
	return append(statements, g.block(
		"-- Row security hides every row from a role that no policy lets in.", g.policies(func(p policy, name string) []string {
			return []string{"if not " + g.hasPolicy(p.table, name) + " then", "  " + g.createPolicy(p, name), "end if;"}
		})))
}

func revokeStatements(g grantee) []string {
	statements := []string{g.guard(), g.block("", g.policies(func(p policy, name string) []string {
		return []string{"if " + g.hasPolicy(p.table, name) + " then", "  drop policy " + name + " on " + g.table(p.table) + ";", "end if;"}
	}))}
	for _, p := range rights[g.kind].privileges {
		statements = append(statements, g.privilege("revoke", p, "from"))
	}
	var kept []string
	for _, kind := range []RoleKind{Producer, Admin, Reader} {
		if kind == g.kind {
			continue
		}
		other := g
		other.kind = kind
		first := rights[kind].policies[0]
		kept = append(kept, "if "+g.hasPolicy(first.table, other.policyName(first))+" then")
		for _, p := range rights[kind].privileges {
			kept = append(kept, "  "+g.privilege("grant", p, "to"))
		}
		kept = append(kept, "end if;")
	}
	return append(statements, g.block("-- What the role has by another kind stays.", kept))
}

// guard refuses a role that does not exist and one that owns things here: it needs
// no rights, and revoking them would take its own.
func (g grantee) guard() string {
	role := quoteLiteral(g.toRole) + "::pg_catalog.regrole"
	return g.block("", []string{
		"if exists (",
		"  select from pg_catalog.pg_namespace as n where n.nspname = " + quoteLiteral(g.schema) + " and n.nspowner = " + role,
		"  union all",
		"  select from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace",
		"  where n.nspname = " + quoteLiteral(g.schema) + " and c.relowner = " + role,
		") then",
		"  raise exception 'the role owns the schema or tables in it: it has every right' using errcode = '0LP01';",
		"end if;",
	})
}

func (g grantee) privilege(verb string, p privilege, preposition string) string {
	return fmt.Sprintf("%s %s on %s %s %s;",
		verb, strings.ReplaceAll(p.what, "), ", "),\n    "), graphile.Rename(p.on, g.schema), preposition, g.toRole)
}

func (g grantee) createPolicy(p policy, name string) string {
	sql := fmt.Sprintf("create policy %s on %s for %s to %s", name, g.table(p.table), p.command, g.toRole)
	if p.using != "" {
		sql += " using (" + p.using + ")"
	}
	if p.check != "" {
		sql += " with check (" + p.check + ")"
	}
	return sql + ";"
}

func (g grantee) policies(sql func(p policy, name string) []string) []string {
	var lines []string
	for _, p := range rights[g.kind].policies {
		lines = append(lines, sql(p, g.policyName(p))...)
	}
	return lines
}

// policyName is unique on the table among all kinds, roles and commands.
func (g grantee) policyName(p policy) string {
	return fmt.Sprintf("gwadmin_%s_%s_%.8x", g.kind, p.command, sha256.Sum256([]byte(g.role)))
}

func (g grantee) hasPolicy(table, name string) string {
	return fmt.Sprintf("exists (select from pg_catalog.pg_policy\n      where polrelid = %s::pg_catalog.regclass and polname = '%s')",
		quoteLiteral(g.table(table)), name)
}

func (g grantee) table(name string) string {
	return graphile.Rename(graphile.DefaultSchema+"."+name, g.schema)
}

// block is a DO statement under a comment. Its quotes end at their own tag, which
// must be in no name.
func (g grantee) block(comment string, lines []string) string {
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
