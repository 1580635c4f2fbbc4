package migrations_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/migrations"
)

var update = flag.Bool("update", false, "write the tables of docs/security.md")

// A clientCall is a call of package admin on the rows of [deedsSetup] and [strandedJob].
type clientCall struct {
	name  string // the method, and after a space what is special
	roles string // the kinds of roles that may make the call
	call  func(context.Context, *admin.Client) error
}

const strandedJob = "insert into graphile_worker._private_jobs (task_id, job_queue_id) values (1, 404)"

// clientCalls has every method of admin.Client. Where a role may not make a call, PostgreSQL
// refuses it, or package admin does with ErrRowSecurity.
var clientCalls = []clientCall{
	{"AddJob", "producer admin", func(ctx context.Context, c *admin.Client) error {
		_, err := c.AddJob(ctx, "new", []int{1}, &admin.AddJobOptions{QueueName: new("new"), JobKey: new("k"), Flags: []string{"f"}})
		return err
	}},
	{"AddJob for the key of a job", "producer admin", func(ctx context.Context, c *admin.Client) error {
		_, err := c.AddJob(ctx, "t", []int{1}, &admin.AddJobOptions{QueueName: new("q"), JobKey: new("keyed"), JobKeyMode: admin.PreserveRunAt})
		return err
	}},
	{"AddJob with UnsafeDedupe", "producer admin", func(ctx context.Context, c *admin.Client) error {
		job, err := c.AddJob(ctx, "x", nil, &admin.AddJobOptions{JobKey: new("held"), JobKeyMode: admin.UnsafeDedupe})
		return gotten(err, func() bool { return job.ID == 3 && job.TaskIdentifier == "t" && *job.QueueName == "held" })
	}},
	{"AddJobs", "producer admin", func(ctx context.Context, c *admin.Client) error {
		jobs, err := c.AddJobs(ctx, []admin.JobSpec{
			{TaskIdentifier: "new2", QueueName: new("new2")}, {TaskIdentifier: "t", JobKey: new("held")},
		}, nil)
		return gotten(err, func() bool { return len(jobs) == 2 })
	}},
	{"AddJobsIDs", "producer admin", func(ctx context.Context, c *admin.Client) error {
		ids, err := c.AddJobsIDs(ctx, []admin.JobSpec{{TaskIdentifier: "t"}, {TaskIdentifier: "t", Flags: []string{"f"}}}, nil)
		return gotten(err, func() bool { return len(ids) == 2 })
	}},
	{"AllJobs", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		n := 0
		for _, err := range c.AllJobs(ctx, admin.Filter{}, &admin.ListOptions{PageSize: 2}) {
			if err != nil {
				return err
			}
			n++
		}
		return gotten(nil, func() bool { return n == 5 })
	}},
	{"Check", "producer admin reader", func(ctx context.Context, c *admin.Client) error { return c.Check(ctx, "t") }},
	{"Cleanup", "admin", func(ctx context.Context, c *admin.Client) error {
		result, err := c.Cleanup(ctx, admin.CleanupOptions{Tasks: []admin.CleanupTask{
			admin.DeletePermafailedJobs, admin.GCTaskIdentifiers, admin.GCJobQueues,
		}})
		return gotten(err, func() bool { return len(result.Deleted) == 3 && result.Deleted[admin.DeletePermafailedJobs] == 1 })
	}},
	{"Cleanup as a dry run", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		result, err := c.Cleanup(ctx, admin.CleanupOptions{DryRun: true})
		return gotten(err, func() bool { return result.Deleted[admin.GCJobQueues] > 0 })
	}},
	{"CompleteJobs", "admin", func(ctx context.Context, c *admin.Client) error {
		return changing(2)(c.CompleteJobs(ctx, []int64{1, 4}, nil))
	}},
	{"CompleteJobs as a dry run", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		return changing(2)(c.CompleteJobs(ctx, []int64{1, 2, 3}, &admin.ChangeOptions{DryRun: true}))
	}},
	{"CompleteWhere", "admin", func(ctx context.Context, c *admin.Client) error {
		return changing(4)(c.CompleteWhere(ctx, admin.Filter{TaskIdentifiers: []string{"t"}}, nil))
	}},
	{"CompleteWhere as a dry run", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		return changing(4)(c.CompleteWhere(ctx, admin.Filter{}, &admin.WhereOptions{All: true, DryRun: true}))
	}},
	{"Crontabs", "admin reader", func(ctx context.Context, c *admin.Client) error {
		crontabs, err := c.Crontabs(ctx)
		return gotten(err, func() bool { return len(crontabs) == 1 })
	}},
	{"DB", "", nil},
	{"Explain", "admin reader", func(ctx context.Context, c *admin.Client) error {
		_, err := c.Explain(ctx, 2)
		return err
	}},
	{"FailJobs", "admin", func(ctx context.Context, c *admin.Client) error {
		return changing(1)(c.FailJobs(ctx, []int64{1}, nil, nil))
	}},
	{"FailWhere", "admin", func(ctx context.Context, c *admin.Client) error {
		return changing(1)(c.FailWhere(ctx, admin.Filter{IDs: []int64{1}}, nil, nil))
	}},
	{"ForceUnlockWorkers", "admin", func(ctx context.Context, c *admin.Client) error {
		result, err := c.ForceUnlockWorkers(ctx, []string{"w"}, nil)
		return gotten(err, func() bool { return len(result.Unlocked) == 1 })
	}},
	{"ForceUnlockWorkers as a dry run", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		result, err := c.ForceUnlockWorkers(ctx, []string{"w"}, &admin.UnlockOptions{DryRun: true})
		return gotten(err, func() bool { return len(result.Unlocked) == 1 })
	}},
	{"GetJob", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		_, err := c.GetJob(ctx, 1)
		return err
	}},
	{"GetJobByKey", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		_, err := c.GetJobByKey(ctx, "held")
		return err
	}},
	{"HoldJobs", "admin", func(ctx context.Context, c *admin.Client) error {
		return changing(1)(c.HoldJobs(ctx, []int64{1}, nil))
	}},
	{"HoldWhere", "admin", func(ctx context.Context, c *admin.Client) error {
		return changing(1)(c.HoldWhere(ctx, admin.Filter{IDs: []int64{1}}, nil))
	}},
	{"ListJobs", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		before := admin.TimeRange{Before: new(time.Now().Add(time.Hour))}
		page, err := c.ListJobs(ctx, admin.Filter{
			IDs: []int64{2}, States: []admin.State{admin.Ready, admin.Scheduled}, TaskIdentifiers: []string{"t"}, Keys: []string{"keyed"}, KeyPrefix: new("k"),
			Priority: admin.IntRange{From: new(-1), To: new(1)}, Attempts: admin.IntRange{From: new(0), To: new(1)},
			RunAt: before, CreatedAt: before, UpdatedAt: before, PayloadContains: []byte("[1]"), PayloadPath: new("$[*] ? (@ == 1)"),
		}, &admin.ListOptions{SortBy: admin.ByPriority, PayloadBytes: 10})
		return gotten(err, func() bool { return len(page.Jobs) == 1 })
	}},
	{"ListJobs by all other filters", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		_, err := c.ListJobs(ctx, admin.Filter{
			States: []admin.State{admin.Waiting}, TaskIdentifiers: []string{"t", "u"}, QueueNames: []string{"q", "held"}, WorkerIDs: []string{"w"},
			Flags: []string{"f"}, LockedAt: admin.TimeRange{Before: new(time.Now())}, ErrorText: new("no"),
		}, &admin.ListOptions{SortBy: admin.ByRunAt, Descending: true})
		return err
	}},
	{"ListQueues", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		_, err := c.ListQueues(ctx, nil)
		return err
	}},
	{"Now", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		_, err := c.Now(ctx)
		return err
	}},
	{"PauseQueue", "admin", func(ctx context.Context, c *admin.Client) error {
		_, err := c.PauseQueue(ctx, "q", nil)
		return err
	}},
	{"PauseQueue as a dry run", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		_, err := c.PauseQueue(ctx, "q", &admin.PauseOptions{DryRun: true})
		return err
	}},
	{"QueueNames", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		names, err := c.QueueNames(ctx, "", 10)
		return gotten(err, func() bool { return len(names) == 3 })
	}},
	{"Queues", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		queues, err := c.Queues(ctx)
		return gotten(err, func() bool { return len(queues) == 3 })
	}},
	{"Reader", "", nil},
	{"ReleaseJobs", "admin", func(ctx context.Context, c *admin.Client) error {
		if _, err := c.HoldJobs(ctx, []int64{1}, nil); err != nil {
			return err
		}
		return changing(1)(c.ReleaseJobs(ctx, []int64{1}, nil))
	}},
	{"ReleaseWhere", "admin", func(ctx context.Context, c *admin.Client) error {
		if _, err := c.HoldWhere(ctx, admin.Filter{IDs: []int64{1}}, nil); err != nil {
			return err
		}
		return changing(1)(c.ReleaseWhere(ctx, admin.Filter{IDs: []int64{1}}, nil))
	}},
	{"RemoveJob", "producer admin", func(ctx context.Context, c *admin.Client) error {
		result, err := c.RemoveJob(ctx, "keyed", nil)
		return gotten(err, func() bool { return result.Outcome == admin.Removed })
	}},
	{"RemoveJob with DetachLocked", "producer admin", func(ctx context.Context, c *admin.Client) error {
		result, err := c.RemoveJob(ctx, "held", &admin.RemoveOptions{DetachLocked: true})
		return gotten(err, func() bool { return result.Outcome == admin.Detached })
	}},
	{"RemoveJob of a locked job", "producer admin", func(ctx context.Context, c *admin.Client) error {
		result, err := c.RemoveJob(ctx, "held", nil)
		return gotten(err, func() bool { return result.Outcome == admin.Left })
	}},
	{"RemoveJob as a dry run", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		result, err := c.RemoveJob(ctx, "keyed", &admin.RemoveOptions{DryRun: true})
		return gotten(err, func() bool { return result.Outcome == admin.Removed })
	}},
	{"RescheduleJobs", "admin", func(ctx context.Context, c *admin.Client) error {
		return changing(1)(c.RescheduleJobs(ctx, []int64{1}, admin.RescheduleValues{
			RunAt: admin.Never(), Priority: new(0), Attempts: new(0), MaxAttempts: new(1),
		}, nil))
	}},
	{"RescheduleWhere", "admin", func(ctx context.Context, c *admin.Client) error {
		return changing(1)(c.RescheduleWhere(ctx, admin.Filter{IDs: []int64{1}}, admin.RescheduleValues{RunAt: admin.In(0)}, nil))
	}},
	{"RestoreQueues", "", func(ctx context.Context, c *admin.Client) error { // it sets ids
		_, err := c.RestoreQueues(ctx, nil)
		return err
	}},
	{"RestoreQueues with QueueName", "admin", func(ctx context.Context, c *admin.Client) error {
		result, err := c.RestoreQueues(ctx, &admin.RestoreOptions{QueueName: new("new")})
		return gotten(err, func() bool { return result.Jobs == 1 })
	}},
	{"RestoreQueues as a dry run", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		result, err := c.RestoreQueues(ctx, &admin.RestoreOptions{DryRun: true})
		return gotten(err, func() bool { return result.Jobs == 1 })
	}},
	{"ResumeQueue", "admin", func(ctx context.Context, c *admin.Client) error {
		if _, err := c.PauseQueue(ctx, "q", nil); err != nil {
			return err
		}
		_, err := c.ResumeQueue(ctx, "q", nil)
		return err
	}},
	{"ResumeQueue as a dry run", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		_, err := c.ResumeQueue(ctx, "q", &admin.ResumeOptions{DryRun: true})
		return err
	}},
	{"RetryJobs", "admin", func(ctx context.Context, c *admin.Client) error {
		return changing(1)(c.RetryJobs(ctx, []int64{4}, nil))
	}},
	{"RetryWhere", "admin", func(ctx context.Context, c *admin.Client) error {
		return changing(1)(c.RetryWhere(ctx, admin.Filter{States: []admin.State{admin.Permafailed}}, nil))
	}},
	{"Schema", "", nil},
	{"Stats", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		stats, err := c.Stats(ctx, &admin.StatsOptions{ErrorShapes: 3})
		return gotten(err, func() bool { return stats.Jobs.Total() == 5 })
	}},
	{"Stats as an estimate", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		stats, err := c.Stats(ctx, &admin.StatsOptions{Estimate: true})
		return gotten(err, func() bool { return stats.Jobs.Total() == 5 })
	}},
	{"TaskIdentifiers", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		_, err := c.TaskIdentifiers(ctx)
		return err
	}},
	{"Tasks", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		tasks, err := c.Tasks(ctx)
		return gotten(err, func() bool { return len(tasks) == 2 })
	}},
	{"UndeclaredTasks", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		tasks, err := c.UndeclaredTasks(ctx, []string{})
		return gotten(err, func() bool { return len(tasks) == 1 })
	}},
	{"WithTx", "", nil},
	{"Workers", "producer admin reader", func(ctx context.Context, c *admin.Client) error {
		workers, err := c.Workers(ctx)
		return gotten(err, func() bool { return len(workers) == 1 })
	}},
}

var errUnexpected = errors.New("unexpected result")

// gotten returns the error of a call, or one for a wrong result.
func gotten(err error, good func() bool) error {
	if err == nil && !good() {
		return errUnexpected
	}
	return err
}

// changing is gotten for a call that changes n jobs.
func changing(n int64) func(*admin.ChangeResult, error) error {
	return func(result *admin.ChangeResult, err error) error {
		return gotten(err, func() bool { return result.Changed == n })
	}
}

func isDenied(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == denied
}

// tryCall makes a call as a role, in a transaction that is rolled back.
func (b *bench) tryCall(pool *pgxpool.Pool, c clientCall) error {
	b.Helper()
	tx, err := pool.Begin(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tx.Rollback(b.ctx) }()
	return c.call(b.ctx, admin.New(tx, admin.WithSchema(b.schema)))
}

// Every call of the client, as each kind of role: what the role may do works, and anything
// else is refused.
func TestRolesCallClient(t *testing.T) {
	t.Parallel()
	client := reflect.TypeFor[*admin.Client]()
	for i := range client.NumMethod() {
		name := client.Method(i).Name
		if !slices.ContainsFunc(clientCalls, func(c clientCall) bool { return c.method() == name }) {
			t.Errorf("clientCalls has no %s: add what each role may do", name)
		}
	}
	for _, c := range clientCalls {
		if _, ok := client.MethodByName(c.method()); !ok {
			t.Errorf("clientCalls has %s, which is no method", c.name)
		}
	}
	onEverySchema(t, func(b *bench) {
		b.exec(deedsSetup + ";" + strandedJob)
		for _, kind := range roleKinds {
			role := b.role("client ")
			pool := b.as(role)
			refused := func(when string) {
				b.Helper()
				for _, c := range clientCalls {
					if c.call == nil || c.method() == "Now" { // which reads no table
						continue
					}
					if err := b.tryCall(pool, c); !errors.Is(err, admin.ErrRowSecurity) && !isDenied(err) {
						b.Errorf("%s %s: %s: want a refusal, got %v", kind, when, c.name, err)
					}
				}
			}
			refused("before the grant")
			b.grant(kind, role)
			for _, c := range clientCalls {
				if c.call == nil {
					continue
				}
				err := b.tryCall(pool, c)
				switch may := strings.Contains(c.roles, string(kind)); {
				case may && err != nil:
					b.Errorf("%s: %s: %v", kind, c.name, err)
				case !may && !isDenied(err) && !errors.Is(err, admin.ErrRowSecurity):
					b.Errorf("%s: %s: want a refusal, got %v", kind, c.name, err)
				}
			}
			b.revoke(kind, role)
			refused("after the revoke")
		}
	})
}

func (c clientCall) method() string {
	method, _, _ := strings.Cut(c.name, " ")
	return method
}

// A probe is a statement that needs one privilege on one object and touches no row. The
// column is empty if the privilege is on the whole object.
type probe struct{ object, privilege, column, sql string }

// privileges are the names of what probes try, in the order of the documentation.
var privileges = []string{
	"create", "select", "insert", "update", "delete", "truncate", "reference", "create triggers", "nextval", "setval", "execute", "usage",
}

// probes returns the statements for every privilege on every object of the schema, as the
// catalog lists them.
func (b *bench) probes() (probes []probe) {
	b.Helper()
	add := func(object, privilege, column, sql string, args ...any) {
		probes = append(probes, probe{object, privilege, column, fmt.Sprintf(sql, args...)})
	}
	add("schema", "create", "", "create table %s.mine ()", pgx.Identifier{b.schema}.Sanitize())
	type column struct {
		Table, Kind, Name, Type, On string
		Fixed, Generated, Key       bool // it takes only its default; even when inserted; primary key
	}
	columns := structs[column](b, `
		select
			c.relname::text, c.relkind::text, pg_catalog.quote_ident(a.attname), pg_catalog.format_type(a.atttypid, a.atttypmod),
			pg_catalog.format('%I.%I', n.nspname, c.relname), a.attidentity <> '' or a.attgenerated <> '', a.attgenerated <> '',
			exists (select from pg_catalog.pg_index as i where i.indrelid = c.oid and i.indisprimary and a.attnum = any (i.indkey))
		from pg_catalog.pg_class as c
		join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
		join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		where n.nspname = $1 and c.relkind in ('r', 'p', 'v', 'm', 'f')
		order by c.relname collate "C", a.attnum`)
	for i, c := range columns {
		if c.Kind == "v" { // no view can be changed
			add("view "+c.Table, "select", c.Name, "select %s from %s where false", c.Name, c.On)
			continue
		}
		object := "table " + c.Table
		if i == 0 || columns[i-1].Table != c.Table {
			add(object, "delete", "", "delete from %s where false", c.On)
			add(object, "truncate", "", "truncate %s", c.On)
			add(object, "create triggers", "", "create trigger mine before insert on %s execute function pg_catalog.suppress_redundant_updates_trigger()", c.On)
		}
		if c.Key {
			add(object, "reference", "", "create table public.mine (c %s references %s)", c.Type, c.On)
		}
		value := "null"
		if c.Fixed {
			value = "default"
		}
		add(object, "select", c.Name, "select %s from %s where false", c.Name, c.On)
		if !c.Generated {
			add(object, "insert", c.Name, "insert into %s (%s) overriding system value select null::%s where false", c.On, c.Name, c.Type)
		}
		add(object, "update", c.Name, "update %s set %s = %s where false", c.On, c.Name, value)
	}
	for _, o := range structs[struct{ Kind, Name, SQL string }](b, `
		select 'sequence', c.relname::text, pg_catalog.format('%I.%I', n.nspname, c.relname)
		from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
		where n.nspname = $1 and c.relkind = 'S'
		union all
		select 'function', p.proname::text, pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, (
			select pg_catalog.string_agg('null::' || pg_catalog.format_type(a.type, null), ', ' order by a.place)
			from pg_catalog.unnest(p.proargtypes) with ordinality as a (type, place)
		))
		from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
		where n.nspname = $1
		union all
		select 'type', t.typname::text, pg_catalog.format('%I.%I', n.nspname, t.typname)
		from pg_catalog.pg_type as t join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
		where n.nspname = $1 and t.typcategory <> 'A'
		and not exists (select from pg_catalog.pg_class as c where c.oid = t.typrelid and c.relkind <> 'c')`) {
		object := o.Kind + " " + o.Name
		switch o.Kind {
		case "sequence":
			add(object, "select", "", "select last_value from %s", o.SQL)
			add(object, "nextval", "", "select pg_catalog.nextval($q$%s$q$)", o.SQL)
			add(object, "setval", "", "select pg_catalog.setval($q$%s$q$, 1)", o.SQL)
		case "function":
			add(object, "execute", "", "select %s where false", o.SQL)
		case "type":
			add(object, "usage", "", "create table public.mine (c %s)", o.SQL)
		}
	}
	return probes
}

// structs reads rows into structs. The parameter $1 is the schema.
func structs[T any](b *bench, sql string) []T {
	b.Helper()
	rows, err := b.pool.Query(b.ctx, sql, b.schema)
	if err != nil {
		b.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	if err != nil {
		b.Fatal(err)
	}
	return values
}

// access tries the probes and returns what they show that the role may do with each object.
func (b *bench) access(role string, probes []probe) map[string]string {
	b.Helper()
	pool := b.as(role)
	allowed, tried := map[string]map[string][]string{}, map[string]map[string]int{}
	for _, p := range probes {
		if allowed[p.object] == nil {
			allowed[p.object], tried[p.object] = map[string][]string{}, map[string]int{}
		}
		tried[p.object][p.privilege]++
		tx, err := pool.Begin(b.ctx)
		if err != nil {
			b.Fatal(err)
		}
		_, err = tx.Exec(b.ctx, p.sql)
		if rollback := tx.Rollback(b.ctx); rollback != nil {
			b.Fatal(rollback)
		}
		if err == nil {
			allowed[p.object][p.privilege] = append(allowed[p.object][p.privilege], p.column)
		} else if !isDenied(err) {
			b.Errorf("%s on %s: %s: %v", p.privilege, p.object, p.sql, err)
		}
	}
	access := map[string]string{}
	for object := range tried {
		var may []string
		for privilege, n := range tried[object] {
			if !slices.Contains(privileges, privilege) {
				b.Errorf("privileges has no %s", privilege)
			}
			if columns := allowed[object][privilege]; len(columns) == n {
				may = append(may, privilege)
			} else if len(columns) > 0 {
				may = append(may, fmt.Sprintf("%s (%s)", privilege, strings.Join(columns, ", ")))
			}
		}
		slices.SortFunc(may, func(x, y string) int { return place(x) - place(y) })
		access[object] = strings.Join(may, "; ")
	}
	return access
}

// place is the index in privileges of what a text begins with.
func place(text string) int {
	return slices.IndexFunc(privileges, func(p string) bool { return text == p || strings.HasPrefix(text, p+" (") })
}

// Each kind of role has exactly the access to the objects of the schema that
// docs/security.md has in a table. A role without a grant has none.
func TestRolesAccess(t *testing.T) {
	t.Parallel()
	documented := documentedTable(t, "access", func() [][]string { return newBench(t, testdb.Ours("")).accessRows() })
	onEverySchema(t, func(b *bench) {
		want := slices.Clone(documented)
		if strings.Contains(b.Name(), "npm") { // goose's table is ours
			want = slices.DeleteFunc(want, func(row []string) bool { return strings.Contains(row[0], "goose") })
		}
		if diff := cmp.Diff(want, b.accessRows()); diff != "" {
			b.Errorf("-docs/security.md, which -update writes, +tried\n%s", diff)
		}
		for object, may := range b.access(b.role("stranger "), b.probes()) {
			if may != "" && !strings.HasPrefix(object, "type ") { // USAGE of the schema is not needed
				b.Errorf("a role without a grant may %s %s", may, object)
			}
		}
	})
}

// accessRows are the rows of the documented table: an object, and what each kind of role may
// do with it.
func (b *bench) accessRows() (rows [][]string) {
	b.Helper()
	b.exec("grant create on schema public to public") // for the tables of probes
	probes := b.probes()
	found := map[migrations.RoleKind]map[string]string{}
	for _, kind := range roleKinds {
		role := b.role("access ")
		b.grant(kind, role)
		found[kind] = b.access(role, probes)
		b.revoke(kind, role)
	}
	var objects []string
	for _, p := range probes {
		if !slices.Contains(objects, p.object) {
			objects = append(objects, p.object)
		}
	}
	for _, object := range objects {
		row := []string{object}
		for _, kind := range roleKinds {
			row = append(row, found[kind][object])
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(x, y []string) int { return strings.Compare(x[0], y[0]) })
	return rows
}

// docs/security.md has the calls of package admin that each kind of role may make.
func TestRolesCallsDocumented(t *testing.T) {
	t.Parallel()
	rows := func() (rows [][]string) {
		for _, c := range clientCalls {
			if c.call == nil {
				continue
			}
			row := []string{c.name}
			for _, kind := range roleKinds {
				row = append(row, map[bool]string{true: "yes", false: ""}[strings.Contains(c.roles, string(kind))])
			}
			rows = append(rows, row)
		}
		return rows
	}
	if diff := cmp.Diff(documentedTable(t, "calls", rows), rows()); diff != "" {
		t.Errorf("-docs/security.md, which -update writes, +clientCalls\n%s", diff)
	}
}

// documentedTable reads the rows of a table of docs/security.md. With -update it first
// writes them there.
func documentedTable(t *testing.T, name string, rows func() [][]string) (documented [][]string) {
	t.Helper()
	const file = "../docs/security.md"
	documents.Lock()
	defer documents.Unlock()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
	before, rest, ok := strings.Cut(string(text), begin)
	table, after, closed := strings.Cut(rest, end)
	head := strings.SplitAfterN(table, "\n", 3)
	if !ok || !closed || len(head) < 3 {
		t.Fatalf("%s has no table between %s and %s", file, begin, end)
	}
	if *update {
		table = head[0] + head[1]
		for _, row := range rows() {
			table += "| " + strings.Join(row, " | ") + " |\n"
		}
		if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(table), "\n")[2:] {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		documented = append(documented, cells)
	}
	return documented
}

var documents sync.Mutex
