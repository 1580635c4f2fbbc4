package migrations_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

const (
	weirdSchema = `Weird "Name"`
	weirdRole   = `graphile_worker 'rôle' "x"; $gwadmin$ -- `
)

var roleKinds = []migrations.RoleKind{migrations.Producer, migrations.Admin, migrations.Reader}

// onEverySchema runs a test on the schemas that the rights are made for.
func onEverySchema(t *testing.T, test func(*bench)) {
	for _, on := range []struct {
		name, schema string
		template     func(testing.TB) *pgtest.Template
	}{
		{"ours", graphile.DefaultSchema, func(testing.TB) *pgtest.Template { return testdb.Ours("") }},
		{"weird", weirdSchema, func(testing.TB) *pgtest.Template { return testdb.Ours(weirdSchema) }},
		{"npm 0.16.6", graphile.DefaultSchema, func(tb testing.TB) *pgtest.Template { return testdb.Upstream(tb, "0.16.6", "") }},
		{"npm 0.18.0", graphile.DefaultSchema, func(tb testing.TB) *pgtest.Template { return testdb.Upstream(tb, "0.18.0", "") }},
	} {
		t.Run(on.name, func(t *testing.T) {
			t.Parallel()
			test(benchOn(t, pgtest.Pool(t, on.template(t)), on.schema))
		})
	}
}

const rolePassword = "of a role that lives for one test"

// role creates a role of the test's own, which is dropped with it: roles belong
// to the server.
func (b *bench) role(name string) string {
	b.Helper()
	suffix := strings.ToLower(rand.Text()[:10])
	name = name[:min(len(name), 63-len(suffix))] + suffix
	quoted := pgx.Identifier{name}.Sanitize()
	if _, err := b.pool.Exec(b.ctx, "create role "+quoted+" login password '"+rolePassword+"'"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := b.pool.Exec(ctx, "drop owned by "+quoted+"; drop role "+quoted); err != nil {
			b.Errorf("drop role %s: %v", quoted, err)
		}
	})
	return name
}

// as is a pool of connections as the role.
func (b *bench) as(role string) *pgxpool.Pool {
	b.Helper()
	config := pgtest.Config(b, b.url)
	config.ConnConfig.User, config.ConnConfig.Password = role, rolePassword
	pool, err := pgxpool.NewWithConfig(b.ctx, config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return pool
}

func (b *bench) grant(kind migrations.RoleKind, role string) {
	b.Helper()
	if err := b.migrator.Grants().Grant(b.ctx, kind, role); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) revoke(kind migrations.RoleKind, role string) {
	b.Helper()
	if err := b.migrator.Grants().Revoke(b.ctx, kind, role); err != nil {
		b.Fatal(err)
	}
}

// rights are all privileges in the schema, defaults included, and all policies.
func (b *bench) rights() []string {
	b.Helper()
	return rowsOf[string](b, `
		select pg_catalog.concat_ws(' ', kind, object, acl) from (
			select 'schema' as kind, n.nspname::text as object,
				pg_catalog.unnest(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)))::text as acl
			from pg_catalog.pg_namespace as n where n.nspname = $1
			union all
			select 'relation', c.relname, pg_catalog.unnest(coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner)))::text
			from pg_catalog.pg_class as c where c.relnamespace = (select oid from pg_catalog.pg_namespace where nspname = $1)
			union all
			select 'column', c.relname || '.' || a.attname, pg_catalog.unnest(a.attacl)::text
			from pg_catalog.pg_attribute as a join pg_catalog.pg_class as c on c.oid = a.attrelid
			where c.relnamespace = (select oid from pg_catalog.pg_namespace where nspname = $1)
			union all
			select 'function', p.proname, pg_catalog.unnest(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)))::text
			from pg_catalog.pg_proc as p where p.pronamespace = (select oid from pg_catalog.pg_namespace where nspname = $1)
			union all
			select 'type', t.typname, pg_catalog.unnest(coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner)))::text
			from pg_catalog.pg_type as t where t.typnamespace = (select oid from pg_catalog.pg_namespace where nspname = $1)
			union all
			select 'policy', pg_catalog.concat_ws(' ', p.oid, c.relname, p.polname, p.polcmd, p.polpermissive, p.polroles,
				pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)), null
			from pg_catalog.pg_policy as p join pg_catalog.pg_class as c on c.oid = p.polrelid
		) as rights
		order by 1`, b.schema)
}

func (b *bench) checkRights(what string, want []string) {
	b.Helper()
	if diff := cmp.Diff(want, b.rights()); diff != "" {
		b.Errorf("rights %s: -want +got\n%s", what, diff)
	}
}

// A deed is a statement that a role may do or not.
type deed struct {
	name                    string
	sql                     string
	producer, admin, reader string // how many rows it touches or reads, or the SQLSTATE
}

const (
	denied = "42501"
	// Nobody can change rows that a policy hides.
	unseen = "0"
)

// deeds are the statements to try in a schema filled with [deedsSetup].
var deeds = []deed{
	// What producers are for.
	{"add_job", "select 1 from graphile_worker.add_job('t') as job where job.id is not null", "1", "1", denied},
	{"add_job with all", `select 1 from graphile_worker.add_job('t', '[1]', 'q', now(), 3, 'new', -5, '{f}', 'preserve_run_at') as job
		where job.key = 'new'`, "1", "1", denied},
	{"add_job with new names", "select 1 from graphile_worker.add_job('new', queue_name => 'new') as job where job.id is not null", "1", "1", denied},
	{"add_job again", `select 1 from graphile_worker.add_job('unused', '[2]', 'unused', now(), 3, 'keyed', -5, '{f}') as job where job.id = 2`, "1", "1", denied},
	{"add_job beside a running one", "select 1 from graphile_worker.add_job('t', job_key => 'held') as job where job.key = 'held' and job.id > 4", "1", "1", denied},
	{"add_job unless there", `select 1 from graphile_worker.add_job('t', job_key => 'keyed', job_key_mode => 'unsafe_dedupe') as job
		where job.revision = 1`, "1", "1", denied},
	{"add_job unless running", `select 1 from graphile_worker.add_job('t', job_key => 'held', job_key_mode => 'unsafe_dedupe') as job
		where job.id = 3`, "1", "1", denied},
	{"add_job, deduplicated and new", `select 1 from graphile_worker.add_job('new', queue_name => 'new', job_key => 'new',
		job_key_mode => 'unsafe_dedupe') as job where job.revision = 0`, "1", "1", denied},
	{"add_jobs", `select 1 from graphile_worker.add_jobs(array[('t', '{}', 'q', null, 3, null, 1, '{f}'), ('new', null, 'new', null, null, null, null, null),
		('t', '[]', null, now(), null, 'keyed', null, null), ('t', null, null, null, null, 'held', null, null)
		]::graphile_worker.job_spec[], true)`, "4", "4", denied},
	{"remove_job", "select 1 from graphile_worker.remove_job('keyed') as job where job.id = 2 and job.key = 'keyed'", "1", "1", denied},
	{"remove_job of a running one", "select 1 from graphile_worker.remove_job('held') as job where job.id = 3 and job.key is null", "1", "1", denied},

	// What readers are for.
	{"list jobs", "select * from graphile_worker._private_jobs", "4", "4", "4"},
	{"list tasks", "select id, identifier from graphile_worker._private_tasks", "2", "2", "2"},
	{"list queues", "select id, queue_name from graphile_worker._private_job_queues", "3", "3", "3"},
	{"list locked queues", "select * from graphile_worker._private_job_queues where not is_available", denied, "1", "1"},
	{"list crontabs", "select * from graphile_worker._private_known_crontabs", denied, "1", "1"},
	{"list the view", "select * from graphile_worker.jobs", denied, "4", "4"},
	{"read the ledger", "select * from graphile_worker.migrations where id = 18", "1", "1", "1"},

	// What admins are for. A job with a key, and no other, is a producer's to remove.
	{"complete_jobs", "select 1 from graphile_worker.complete_jobs(array[1])", unseen, "1", denied},
	{"complete_jobs with a key", "select 1 from graphile_worker.complete_jobs(array[2])", "1", "1", denied},
	{"permanently_fail_jobs", "select 1 from graphile_worker.permanently_fail_jobs(array[1], 'no')", unseen, "1", denied},
	{"permanently_fail_jobs with a key", "select 1 from graphile_worker.permanently_fail_jobs(array[2])", "1", "1", denied},
	{"reschedule_jobs", "select 1 from graphile_worker.reschedule_jobs(array[1], now(), 1, 1, 1)", unseen, "1", denied},
	{"reschedule_jobs with a key", "select 1 from graphile_worker.reschedule_jobs(array[2], now(), 1, 1, 1)", "1", "1", denied},
	{"force_unlock_workers", "select graphile_worker.force_unlock_workers(array['w'])", denied, "1", denied},
	{"delete permafailed jobs", "delete from graphile_worker._private_jobs where attempts >= max_attempts and locked_at is null", unseen, "1", denied},
	{"delete unused tasks", "delete from graphile_worker._private_tasks where identifier = 'unused'", denied, "1", denied},
	{"delete unused queues", "delete from graphile_worker._private_job_queues where queue_name = 'unused'", denied, "1", denied},

	// The same by hand, and what goes further.
	{"insert a job", "insert into graphile_worker._private_jobs (task_id, payload) values (1, '{}')", "1", "1", denied},
	{"insert a locked job", "insert into graphile_worker._private_jobs (task_id, locked_at) values (1, now())", denied, denied, denied},
	{"choose an id", "insert into graphile_worker._private_jobs (id, task_id) overriding system value values (99, 1)", denied, denied, denied},
	{"spend an id", "select pg_catalog.nextval('graphile_worker.jobs_id_seq1')", denied, denied, denied},
	{"change a job", "update graphile_worker._private_jobs set payload = '1' where id = 1", unseen, "1", denied},
	{"change a job with a key", "update graphile_worker._private_jobs set payload = '1', attempts = 0 where id = 3", "1", "1", denied},
	{"lock a job", "update graphile_worker._private_jobs set locked_at = now(), locked_by = 'me' where id = 2", denied, "1", denied},
	{"backdate a job", "update graphile_worker._private_jobs set created_at = now() where id = 2", denied, denied, denied},
	{"delete a job", "delete from graphile_worker._private_jobs where id = 1", unseen, "1", denied},
	{"delete a running job", "delete from graphile_worker._private_jobs where id = 3", unseen, "1", denied},
	{"select for update", "select 1 from graphile_worker._private_jobs where id in (1, 2) for update", "1", "2", denied},
	{"lock the table", "lock table graphile_worker._private_jobs in access exclusive mode", "0", "0", denied},
	{"empty the table", "truncate graphile_worker._private_jobs", denied, denied, denied},
	{"rename a task", "update graphile_worker._private_tasks set identifier = 'x' where id = 1", denied, denied, denied},
	{"rename a queue", "update graphile_worker._private_job_queues set queue_name = 'x' where id = 1", denied, denied, denied},
	{"unlock a queue", "update graphile_worker._private_job_queues set locked_at = null, locked_by = null where id = 3", denied, "1", denied},
	{"write a crontab", "insert into graphile_worker._private_known_crontabs values ('x', now())", denied, denied, denied},
	{"change a crontab", "update graphile_worker._private_known_crontabs set last_execution = now()", denied, denied, denied},
	{"delete a crontab", "delete from graphile_worker._private_known_crontabs", denied, denied, denied},
	{"write the ledger", "insert into graphile_worker.migrations (id) values (99)", denied, denied, denied},
	{"delete the ledger", "delete from graphile_worker.migrations", denied, denied, denied},
	{"create a table", "create table graphile_worker.mine ()", denied, denied, denied},
	{"replace a function", "create or replace function graphile_worker.remove_job(text) returns int language sql as 'select 1'", denied, denied, denied},
	{"switch row security off", "alter table graphile_worker._private_jobs disable row level security", denied, denied, denied},
	{"open up", "create policy mine on graphile_worker._private_jobs using (true)", denied, denied, denied},
	{"ask for errors instead of silence", "set local row_security = off; select 1 from graphile_worker._private_jobs", denied, denied, denied},
}

const deedsSetup = `
	insert into graphile_worker._private_tasks (identifier) values ('t'), ('unused');
	insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by)
		values ('q', null, null), ('unused', null, null), ('held', now(), 'w');
	insert into graphile_worker._private_jobs (task_id, job_queue_id, payload, key, attempts, locked_at, locked_by) values
		(1, 1, '{}', null, 0, null, null),
		(1, null, '[1]', 'keyed', 0, null, null),
		(1, 3, '{}', 'held', 1, now(), 'w'),
		(1, null, '{}', null, 25, null, null);
	insert into graphile_worker._private_known_crontabs (identifier, known_since) values ('c', now())`

func (d deed) want(kind migrations.RoleKind) string {
	return map[migrations.RoleKind]string{
		migrations.Producer: d.producer, migrations.Admin: d.admin, migrations.Reader: d.reader,
	}[kind]
}

// try runs the deed in a transaction and rolls it back.
func (d deed) try(b *bench, pool *pgxpool.Pool) (outcome string, err error) {
	b.Helper()
	tx, err := pool.Begin(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tx.Rollback(b.ctx) }()
	return d.in(b, tx)
}

func (d deed) in(b *bench, tx pgx.Tx) (outcome string, err error) {
	tag, err := tx.Exec(b.ctx, graphile.Rename(d.sql, b.schema))
	if err == nil {
		return strconv.FormatInt(tag.RowsAffected(), 10), nil
	}
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		b.Fatalf("%s: %v", d.name, err)
	}
	return pgErr.Code, err
}

func TestGrantAndRevoke(t *testing.T) {
	t.Parallel()
	onEverySchema(t, func(b *bench) {
		b.exec(deedsSetup)
		before, rowsBefore, catalog := b.rights(), b.allRows(), b.catalog()
		for _, kind := range roleKinds {
			role := b.role(weirdRole)
			pool := b.as(role)
			refused := func(when string) {
				b.Helper()
				for _, d := range deeds {
					if got, err := d.try(b, pool); got != denied {
						b.Errorf("%s %s: %s: want %s, got %s: %v", kind, when, d.name, denied, got, err)
					}
				}
			}
			refused("before the grant")
			b.grant(kind, role)
			for _, d := range deeds {
				if got, err := d.try(b, pool); got != d.want(kind) {
					b.Errorf("%s: %s: want %s, got %s: %v", kind, d.name, d.want(kind), got, err)
				}
			}
			granted := b.rights()
			b.grant(kind, role)
			b.checkRights("after granting twice", granted)
			if diff := cmp.Diff(catalog, linesWithout(b.catalog(), "policy ")); diff != "" {
				b.Errorf("catalog but for policies: -before +after\n%s", diff)
			}

			b.revoke(kind, role)
			refused("after the revoke")
			b.checkRights("after revoking", before)
			b.revoke(kind, role)
			b.checkRights("after revoking twice", before)
		}
		if diff := cmp.Diff(rowsBefore["_private_jobs"], b.allRows()["_private_jobs"]); diff != "" {
			b.Errorf("jobs: -before +after\n%s", diff)
		}
	})
}

// A producer needs each of its privileges and policies: without it some call of a
// producer fails on one of the schemas.
func TestGrantProducerIsMinimal(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	needed := map[string]string{} // right to the first call that needs it, or to ""
	t.Run("schemas", func(t *testing.T) {
		onEverySchema(t, func(b *bench) {
			if b.schema != graphile.DefaultSchema {
				b.Skip("as ours")
			}
			b.exec(deedsSetup)
			// Everybody has this by default.
			b.exec("revoke execute on all functions in schema graphile_worker from public; " +
				"revoke usage on type graphile_worker.job_spec from public")
			role := b.role("minimal ")
			b.grant(migrations.Producer, role)
			owned := "'" + strings.ReplaceAll(pgx.Identifier{role}.Sanitize(), "'", "''") + "'::pg_catalog.regrole"
			revokes := rowsOf[string](b, `
				select pg_catalog.format('revoke usage on schema %I', n.nspname)
				from pg_catalog.pg_namespace as n, pg_catalog.aclexplode(n.nspacl) as a where a.grantee = `+owned+`
				union all
				select pg_catalog.format('revoke %s on %s', a.privilege_type, c.oid::pg_catalog.regclass)
				from pg_catalog.pg_class as c, pg_catalog.aclexplode(c.relacl) as a where a.grantee = `+owned+`
				union all
				select pg_catalog.format('revoke %s (%I) on %s', a.privilege_type, c.attname, c.attrelid::pg_catalog.regclass)
				from pg_catalog.pg_attribute as c, pg_catalog.aclexplode(c.attacl) as a where a.grantee = `+owned+`
				union all
				select pg_catalog.format('revoke execute on function %s', p.oid::pg_catalog.regprocedure)
				from pg_catalog.pg_proc as p, pg_catalog.aclexplode(p.proacl) as a where a.grantee = `+owned+`
				union all
				select pg_catalog.format('drop policy %I on %s', p.polname, p.polrelid::pg_catalog.regclass)
				from pg_catalog.pg_policy as p`)
			for _, revoke := range revokes {
				call := b.fails(role, revoke)
				mu.Lock()
				if right := policyHash.ReplaceAllString(revoke, ""); needed[right] == "" {
					needed[right] = call
				}
				mu.Unlock()
			}
		})
	})
	t.Logf("looked at %d rights", len(needed))
	for right, call := range needed {
		if call == "" {
			t.Errorf("no call fails after: %s", right)
		}
	}
}

var policyHash = regexp.MustCompile("_[0-9a-f]{16} ")

// fails returns the name of a producer's call that does not work without a right.
func (b *bench) fails(role, revoke string) string {
	b.Helper()
	tx := b.begin()
	defer func() { _ = tx.Rollback(b.ctx) }()
	quoted := pgx.Identifier{role}.Sanitize()
	if !strings.HasPrefix(revoke, "drop") {
		revoke += " from " + quoted
	}
	if _, err := tx.Exec(b.ctx, revoke+"; set local role "+quoted); err != nil {
		b.Fatalf("%s: %v", revoke, err)
	}
	calls := append([]deed{
		{name: "ledger", sql: "select id, breaking from graphile_worker.migrations where id = 18", producer: "1"},
		{name: "holder of a queue, which GetJob tells", sql: "select locked_at, locked_by from graphile_worker._private_job_queues", producer: "3"},
	}, deeds[:11]...)
	for _, d := range calls {
		savepoint, err := tx.Begin(b.ctx)
		if err != nil {
			b.Fatal(err)
		}
		got, _ := d.in(b, savepoint)
		if err := savepoint.Rollback(b.ctx); err != nil {
			b.Fatal(err)
		}
		if got != d.producer {
			return d.name
		}
	}
	return ""
}

// A JavaScript worker runs what producers add from Go, SQL and JavaScript.
func TestGrantInterop(t *testing.T) {
	t.Parallel()
	onEverySchema(t, func(b *bench) {
		version := "0.18.0"
		if strings.HasSuffix(b.Name(), "0.16.6") {
			version = "0.16.6"
		}
		role := b.role("js ")
		for _, kind := range roleKinds {
			b.grant(kind, b.role(weirdRole))
		}
		b.grant(migrations.Producer, role)

		address, err := url.Parse(b.url)
		if err != nil {
			b.Fatal(err)
		}
		address.User = url.UserPassword(role, rolePassword)
		producer := upstream.Start(b, version, address.String(), b.schema)
		var job struct{ ID string }
		spec := map[string]any{"queueName": "q", "jobKey": "k", "maxAttempts": 2, "runAt": time.Now()}
		for range 2 {
			if err := producer.Call(b.ctx, "addJob", []any{"t", []int{1}, spec}, &job); err != nil {
				b.Fatal(err)
			}
		}
		jobs := 3
		if version != "0.16.6" {
			specs := []map[string]any{{"identifier": "t", "payload": 1}, {"identifier": "t", "payload": 2, "queueName": "q2"}}
			if err := producer.Call(b.ctx, "addJobs", []any{specs}, nil); err != nil {
				b.Fatal(err)
			}
			jobs += len(specs)
		}
		client := admin.New(b.as(role), admin.WithSchema(b.schema))
		for _, queue := range []*string{nil, new("q")} {
			if _, err := client.AddJob(b.ctx, "t", nil, &admin.AddJobOptions{QueueName: queue}); err != nil {
				b.Fatal(err)
			}
		}
		var thrown *upstream.Error
		if err := producer.Call(b.ctx, "forceUnlockWorkers", []any{[]string{"w"}}, nil); !errors.As(err, &thrown) || thrown.Code != denied {
			b.Errorf("forceUnlockWorkers of a producer: want %s, got %v", denied, err)
		}

		owner := upstream.Start(b, version, b.url, b.schema)
		worker, err := owner.StartWorker(b.ctx, upstream.WorkerOptions{Tasks: []string{"t"}})
		if err != nil {
			b.Fatal(err)
		}
		for range jobs {
			if done, err := worker.Finished(b.ctx); err != nil || done.Error != "" {
				b.Fatalf("job %d: %v %s", done.ID, err, done.Error)
			}
		}
		if err := worker.Stop(b.ctx); err != nil {
			b.Error(err)
		}
		if left := rowsOf[int64](b, "select id from graphile_worker._private_jobs"); len(left) > 0 {
			b.Errorf("jobs %v were not run", left)
		}
	})
}

func TestGrantOfTwo(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.exec(deedsSetup)
	before := b.rights()

	// Two roles of one kind share nothing.
	one, two := b.role("one "), b.role("two ")
	b.grant(migrations.Reader, one)
	only := b.rights()
	b.grant(migrations.Reader, two)
	b.revoke(migrations.Reader, two)
	b.checkRights("of the one after the other's", only)
	b.revoke(migrations.Reader, one)
	b.checkRights("after both", before)

	// A role of two kinds keeps what the other kind gives it, whichever goes first.
	for _, first := range roleKinds {
		for _, second := range roleKinds {
			if first == second {
				continue
			}
			b.grant(second, one)
			alone := b.rights()
			b.grant(first, one)
			pool := b.as(one)
			for _, d := range deeds {
				want := max(d.want(first), d.want(second))
				if d.want(first) == denied || d.want(second) == denied {
					want = min(d.want(first), d.want(second))
				}
				if got, err := d.try(b, pool); got != want {
					b.Errorf("%s and %s: %s: want %s, got %s: %v", first, second, d.name, want, got, err)
				}
			}
			b.revoke(first, one)
			b.checkRights(fmt.Sprintf("of %s after %s", second, first), alone)
			b.revoke(second, one)
			b.checkRights(fmt.Sprintf("after %s and %s", first, second), before)
		}
	}
}

// Members of a group have what the group is granted.
func TestGrantToGroup(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	group, member := b.role("group "), b.role("member ")
	b.exec(fmt.Sprintf("grant %s to %s", pgx.Identifier{group}.Sanitize(), pgx.Identifier{member}.Sanitize()))
	b.grant(migrations.Producer, group)
	client := admin.New(b.as(member))
	if _, err := client.AddJob(b.ctx, "t", nil, nil); err != nil {
		t.Error(err)
	}
	if err := client.Check(b.ctx); err != nil {
		t.Error(err)
	}
}

// The printed statements have the same effect, run by psql.
func TestGrantSQL(t *testing.T) {
	t.Parallel()
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip(err)
	}
	for _, schema := range []string{graphile.DefaultSchema, weirdSchema, `$gwadmin$ 'it''s' \`} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			b := benchOn(t, pgtest.Pool(t, testdb.Ours(schema)), schema)
			role := b.role(weirdRole)
			run := func(script []string, err error) {
				b.Helper()
				if err != nil {
					b.Fatal(err)
				}
				for _, statement := range script {
					if !strings.HasSuffix(statement, ";") {
						b.Errorf("no semicolon ends %q", statement)
					}
				}
				cmd := exec.CommandContext(b.ctx, psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", b.url)
				cmd.Stdin = strings.NewReader(strings.Join(script, "\n"))
				if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
					b.Fatalf("psql: %v\n%s", err, out)
				}
			}
			before := b.rights()
			for _, kind := range roleKinds {
				run(b.migrator.Grants().GrantSQL(kind, role))
				granted := b.rights()
				b.grant(kind, role)
				b.checkRights("after the script and Grant", granted)
				run(b.migrator.Grants().RevokeSQL(kind, role))
				b.checkRights("after the script of Revoke", before)
			}
		})
	}
}

func TestGrantRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	owner := rowsOf[string](b, "select tableowner::text from pg_catalog.pg_tables where tablename = '_private_jobs'")[0]
	other := b.role("other ")
	empty := newBench(t, nil)
	old := newBench(t, testdb.Ours(""))
	old.exec("delete from graphile_worker.migrations where id > 17")
	future := newBench(t, testdb.Ours(""))
	future.exec("insert into graphile_worker.migrations (id, breaking) values (21, true)")

	for _, test := range []struct {
		name   string
		on     *bench
		kind   migrations.RoleKind
		role   string
		is     error
		errors string
	}{
		{"kind", b, "owner", other, nil, `unknown kind of role "owner": want producer, admin or reader`},
		{"no kind", b, "", other, nil, `unknown kind of role "": want producer, admin or reader`},
		{"public", b, migrations.Reader, "public", nil, "PUBLIC is everybody: name a role"},
		{"PUBLIC", b, migrations.Reader, "PUBLIC", nil, "PUBLIC is everybody: name a role"},
		{"no role", b, migrations.Reader, "", nil, "the role has no name"},
		{"long", b, migrations.Reader, strings.Repeat("ö", 32), nil, "the role's name has 64 bytes: PostgreSQL keeps only 63"},
		{"control", b, migrations.Reader, "a\nb", nil, "the role's name has a control character"},
		{"not UTF-8", b, migrations.Reader, "a\xff", nil, "the role's name is not UTF-8"},
		{"unknown role", b, migrations.Reader, `no "such" role's`, nil, `role "no "such" role's" does not exist`},
		{"owner", b, migrations.Producer, owner, nil, "the role owns the schema or tables in it: it has every right"},
		{"not installed", empty, migrations.Admin, other, migrations.ErrNotInstalled, `schema "graphile_worker"`},
		{"too old", old, migrations.Admin, other, migrations.ErrRevisionTooOld, "revision 17"},
		{"too new", future, migrations.Admin, other, migrations.ErrRevisionTooNew, "revision 21"},
	} {
		unchanged := test.on.unchanged()
		for verb, call := range map[string]func(context.Context, migrations.RoleKind, string) error{
			"grant " + string(test.kind) + " to":    test.on.migrator.Grants().Grant,
			"revoke " + string(test.kind) + " from": test.on.migrator.Grants().Revoke,
		} {
			err := call(test.on.ctx, test.kind, test.role)
			if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("%s role %q: ", verb, test.role)) ||
				!strings.Contains(err.Error(), test.errors) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%s: got %v", test.name, err)
			}
		}
		unchanged()
	}
	for _, kind := range roleKinds {
		if got, err := migrations.ParseRoleKind(string(kind)); err != nil || got != kind {
			t.Errorf("ParseRoleKind(%q): %q, %v", kind, got, err)
		}
	}
	if _, err := b.migrator.Grants().GrantSQL(migrations.Reader, "public"); err == nil {
		t.Error("GrantSQL for PUBLIC: no error")
	}
	if _, err := b.migrator.Grants().RevokeSQL("x", other); err == nil {
		t.Error("RevokeSQL of an unknown kind: no error")
	}

	// A role that owns nothing is refused.
	stranger, err := migrations.New(b.as(other), nil)
	if err != nil {
		t.Fatal(err)
	}
	unchanged := b.unchanged()
	if err := stranger.Grants().Grant(b.ctx, migrations.Admin, other); !isDenied(err) {
		t.Errorf("grant as a stranger: got %v", err)
	}
	unchanged()
}

// Grant gives way to transactions that hold the tables, and tries again.
func TestGrantGivesWay(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	patient, err := migrations.New(b.pool, &migrations.Options{LockTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	role := b.role("patient ")
	before := b.rights()
	holder := b.begin()
	if _, err := holder.Exec(b.ctx, "select from graphile_worker._private_jobs"); err != nil {
		t.Fatal(err)
	}

	var pgErr *pgconn.PgError
	if err := patient.Grants().Grant(b.ctx, migrations.Admin, role); !errors.As(err, &pgErr) || pgErr.Code != "55P03" {
		t.Errorf("grant beside a long transaction: got %v", err)
	}
	b.checkRights("after a grant in vain", before)

	done := make(chan error, 1)
	go func() { done <- patient.Grants().Grant(b.ctx, migrations.Admin, role) }()
	b.awaitLocks(1)
	// Meanwhile work goes on.
	for range 5 {
		ctx, cancel := context.WithTimeout(b.ctx, time.Second)
		if _, err := b.pool.Exec(ctx, "select graphile_worker.add_job('t')"); err != nil {
			t.Error(err)
		}
		cancel()
	}
	if err := holder.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}

	// Policies that exist are neither locked nor waited for.
	holder = b.begin()
	if _, err := holder.Exec(b.ctx, "lock table graphile_worker._private_jobs in share mode"); err != nil {
		t.Fatal(err)
	}
	if err := patient.Grants().Grant(b.ctx, migrations.Admin, role); err != nil {
		t.Errorf("grant again beside a long transaction: %v", err)
	}
}

func TestGrantAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	before := b.rights()
	role := b.role("busy ")
	for _, call := range []func(context.Context, migrations.RoleKind, string) error{b.migrator.Grants().Grant, b.migrator.Grants().Revoke} {
		var wg sync.WaitGroup
		for range 2 {
			for _, kind := range roleKinds {
				wg.Go(func() {
					if err := call(b.ctx, kind, role); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
	}
	b.checkRights("after all", before)
}

// Down drops the rights with the schema: nothing keeps the roles from being dropped.
func TestGrantAndDown(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	role := b.role("down ")
	for _, kind := range roleKinds {
		b.grant(kind, role)
	}
	b.down(migrations.DownOptions{})
	if left := rowsOf[int64](b, `select count(*) from pg_catalog.pg_shdepend
		where refobjid = $1::text::pg_catalog.regrole and deptype in ('a', 'r')`, pgx.Identifier{role}.Sanitize())[0]; left != 0 {
		t.Errorf("%d things depend on the role", left)
	}
}
