package migrations_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/catalog"
	"github.com/gwadmin/gwadmin/internal/graphile"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/internal/upstream"
	"github.com/gwadmin/gwadmin/migrations"
)

// checkValid compares the differences that Validate finds with the expected ones.
func (b *bench) checkValid(want ...migrations.Difference) {
	b.Helper()
	got, err := b.migrator.Validate(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	if got.Newer() || len(got.Unknown) > 0 {
		b.Errorf("newer: %+v", got)
	}
	if diff := cmp.Diff(want, got.Differences); diff != "" {
		b.Errorf("differences: -want +got\n%s", diff)
	}
}

// definition returns the expected definition of an object.
func definition(object string) string {
	facts := catalog.Expected(graphile.DefaultSchema).Facts
	i := slices.IndexFunc(facts, func(f catalog.Fact) bool { return f.Object == object })
	if i < 0 {
		panic("nothing is called " + object)
	}
	return facts[i].Definition
}

func missing(object string) migrations.Difference {
	return migrations.Difference{Kind: migrations.Missing, Object: object, Want: definition(object)}
}

func unexpected(object, got string) migrations.Difference {
	return migrations.Difference{Kind: migrations.Unexpected, Object: object, Got: got}
}

// changed is the difference of an object whose definition differs in one place.
func changed(object, was, is string) migrations.Difference {
	want := definition(object)
	got := strings.Replace(want, was, is, 1)
	if got == want {
		panic(fmt.Sprintf("%q is not in %q", was, want))
	}
	return migrations.Difference{Kind: migrations.Changed, Object: object, Want: want, Got: got}
}

func otherBody(function, language, source string) migrations.Difference {
	return migrations.Difference{
		Kind:   migrations.Changed,
		Object: "body of function " + function,
		Want:   "that of gwadmin or of Graphile Worker 0.16.6, 0.17.3 or 0.18.0",
		Got:    fmt.Sprintf("another, in %s, with SHA-256 %x", language, sha256.Sum256([]byte(source))),
	}
}

// A breakage is a statement, and the differences that it makes.
type breakage struct {
	name string
	sql  string
	want []migrations.Difference
}

var breakages = []breakage{{
	name: "index dropped",
	sql:  "drop index graphile_worker.jobs_main_index",
	want: []migrations.Difference{missing("index jobs_main_index")},
}, {
	name: "index added",
	sql:  "create index by_task on graphile_worker._private_jobs (task_id) with (fillfactor = 70) where key is null",
	want: []migrations.Difference{unexpected("index by_task",
		"CREATE INDEX by_task ON graphile_worker._private_jobs USING btree (task_id) WHERE (key IS NULL)")},
}, {
	name: "index replaced",
	sql: `do $$ begin
		drop index graphile_worker.jobs_no_queue_index;
		create index jobs_no_queue_index on graphile_worker._private_jobs (priority, run_at) include (id, task_id)
			where is_available and job_queue_id is null;
	end $$`,
	want: []migrations.Difference{changed("index jobs_no_queue_index", "(is_available = true)", "is_available")},
}, {
	name: "index renamed",
	sql:  "alter index graphile_worker.jobs_main_index rename to jobs_other_index",
	want: []migrations.Difference{
		missing("index jobs_main_index"),
		unexpected("index jobs_other_index", strings.Replace(definition("index jobs_main_index"), "main", "other", 1)),
	},
}, {
	name: "index invalid",
	sql:  "update pg_catalog.pg_index set indisvalid = false where indexrelid = 'graphile_worker.jobs_main_index'::regclass",
	want: []migrations.Difference{changed("index jobs_main_index", "(is_available = true)", "(is_available = true), invalid")},
}, {
	name: "index of a key invalid",
	sql:  "update pg_catalog.pg_index set indisvalid = false where indexrelid = 'graphile_worker.jobs_key_key1'::regclass",
	want: []migrations.Difference{changed("constraint _private_jobs.jobs_key_key1", "(key)", "(key), invalid index")},
}, {
	name: "default changed",
	sql:  "alter table graphile_worker._private_jobs alter priority set default 1",
	want: []migrations.Difference{changed("column _private_jobs.priority", "default 0", "default 1")},
}, {
	name: "default dropped",
	sql:  "alter table graphile_worker._private_jobs alter max_attempts drop default",
	want: []migrations.Difference{changed("column _private_jobs.max_attempts", " default 25", "")},
}, {
	name: "null allowed",
	sql:  "alter table graphile_worker._private_job_queues alter queue_name drop not null",
	want: []migrations.Difference{changed("column _private_job_queues.queue_name", " not null", "")},
}, {
	name: "column added",
	sql:  `alter table graphile_worker._private_jobs add "Tenant" int not null default 7`,
	want: []migrations.Difference{unexpected(`column _private_jobs."Tenant"`, "integer not null default 7, position 18")},
}, {
	name: "column dropped with all that needs it",
	sql:  "alter table graphile_worker._private_jobs drop priority cascade",
	want: []migrations.Difference{
		missing("column _private_jobs.priority"),
		missing("index jobs_main_index"),
		missing("index jobs_no_queue_index"),
		missing("view jobs"),
	},
}, {
	name: "column moved",
	sql: `do $$ begin
		alter table graphile_worker._private_known_crontabs drop last_execution;
		alter table graphile_worker._private_known_crontabs add last_execution timestamptz;
	end $$`,
	want: []migrations.Difference{changed("column _private_known_crontabs.last_execution", "position 3", "position 4")},
}, {
	name: "column renamed",
	sql:  "alter table graphile_worker._private_jobs rename flags to tags",
	want: []migrations.Difference{
		missing("column _private_jobs.flags"),
		unexpected("column _private_jobs.tags", definition("column _private_jobs.flags")),
		changed("view jobs", "jobs.flags", "jobs.tags AS flags"),
	},
}, {
	name: "column of another type",
	sql:  "alter table graphile_worker._private_known_crontabs alter known_since type timestamptz(3)",
	want: []migrations.Difference{changed("column _private_known_crontabs.known_since", "timestamp with", "timestamp(3) with")},
}, {
	name: "column of another collation",
	sql:  `alter table graphile_worker._private_known_crontabs alter identifier type text collate "C"`,
	want: []migrations.Difference{changed("column _private_known_crontabs.identifier", "text", `text collate "C"`)},
}, {
	name: "column no longer generated",
	sql:  "alter table graphile_worker._private_job_queues alter is_available drop expression",
	want: []migrations.Difference{
		changed("column _private_job_queues.is_available", " generated always as (locked_at IS NULL) stored", "")},
}, {
	name: "identity by default",
	sql:  "alter table graphile_worker._private_jobs alter id set generated by default",
	want: []migrations.Difference{changed("column _private_jobs.id", "always", "by default")},
}, {
	name: "identity dropped",
	sql:  "alter table graphile_worker._private_jobs alter id drop identity",
	want: []migrations.Difference{
		changed("column _private_jobs.id", " generated always as identity", ""),
		missing("sequence jobs_id_seq1"),
	},
}, {
	name: "serial in place of identity",
	sql: `do $$ begin
		alter table graphile_worker._private_tasks alter id drop identity;
		create sequence graphile_worker.tasks_id_seq as int owned by graphile_worker._private_tasks.id;
		alter table graphile_worker._private_tasks alter id set default nextval('graphile_worker.tasks_id_seq');
	end $$`,
	want: []migrations.Difference{
		changed("column _private_tasks.id", "generated always as identity",
			"default nextval('graphile_worker.tasks_id_seq'::regclass)"),
		changed("sequence tasks_id_seq", "identity of", "owned by"),
	},
}, {
	name: "sequence changed",
	sql:  "alter sequence graphile_worker.jobs_id_seq1 increment by 2 maxvalue 9 cache 3 cycle",
	want: []migrations.Difference{changed("sequence jobs_id_seq1",
		"increment 1 from 1 to 9223372036854775807 cache 1", "increment 2 from 1 to 9 cache 3 cycle")},
}, {
	name: "sequence added",
	sql:  "create sequence graphile_worker.tickets as smallint",
	want: []migrations.Difference{unexpected("sequence tickets", "smallint start 1 increment 1 from 1 to 32767 cache 1")},
}, {
	name: "key dropped",
	sql:  "alter table graphile_worker._private_jobs drop constraint jobs_key_key1",
	want: []migrations.Difference{missing("constraint _private_jobs.jobs_key_key1")},
}, {
	name: "constraint added",
	sql:  "alter table graphile_worker._private_jobs add constraint urgent check (priority <= 0) not valid",
	want: []migrations.Difference{unexpected("constraint _private_jobs.urgent", "CHECK ((priority <= 0)) NOT VALID")},
}, {
	name: "constraint relaxed",
	sql: `alter table graphile_worker._private_jobs drop constraint jobs_max_attempts_check,
		add constraint jobs_max_attempts_check check (max_attempts >= 0)`,
	want: []migrations.Difference{changed("constraint _private_jobs.jobs_max_attempts_check", ">= 1", ">= 0")},
}, {
	name: "constraint renamed",
	sql:  "alter table graphile_worker._private_tasks rename constraint tasks_pkey to tasks_primary",
	want: []migrations.Difference{
		missing("constraint _private_tasks.tasks_pkey"),
		unexpected("constraint _private_tasks.tasks_primary", "PRIMARY KEY (id)"),
	},
}, {
	name: "foreign key between the tables",
	sql: `alter table graphile_worker._private_jobs add constraint jobs_task_id_fkey
		foreign key (task_id) references graphile_worker._private_tasks`,
	want: []migrations.Difference{unexpected("constraint _private_jobs.jobs_task_id_fkey",
		"FOREIGN KEY (task_id) REFERENCES graphile_worker._private_tasks(id)")},
}, {
	name: "foreign key from another schema",
	sql:  "create table public.orders (job_id bigint references graphile_worker._private_jobs)",
	want: []migrations.Difference{unexpected("constraint public.orders.orders_job_id_fkey",
		"FOREIGN KEY (job_id) REFERENCES graphile_worker._private_jobs(id)")},
}, {
	name: "table dropped",
	sql:  "drop table graphile_worker._private_known_crontabs",
	want: []migrations.Difference{missing("table _private_known_crontabs")},
}, {
	name: "table added",
	sql:  "create table graphile_worker.archive (id bigserial primary key, job json check (job is not null))",
	want: []migrations.Difference{unexpected("table archive", "row security disabled")},
}, {
	name: "table renamed",
	sql:  "alter table graphile_worker._private_known_crontabs rename to known_crontabs",
	want: []migrations.Difference{
		missing("table _private_known_crontabs"),
		unexpected("table known_crontabs", "row security enabled"),
	},
}, {
	name: "table unlogged",
	sql:  "alter table graphile_worker._private_known_crontabs set unlogged",
	want: []migrations.Difference{changed("table _private_known_crontabs", "row", "unlogged, row")},
}, {
	name: "table inherited from",
	sql:  "create table public.more_jobs () inherits (graphile_worker._private_jobs)",
	want: []migrations.Difference{changed("table _private_jobs", "enabled", "enabled, inherited by public.more_jobs")},
}, {
	name: "row security off",
	sql:  "alter table graphile_worker._private_jobs disable row level security",
	want: []migrations.Difference{changed("table _private_jobs", "enabled", "disabled")},
}, {
	name: "row security forced",
	sql:  "alter table graphile_worker._private_tasks force row level security",
	want: []migrations.Difference{changed("table _private_tasks", "enabled", "enabled, forced on the owner")},
}, {
	name: "policy added",
	sql: `create policy mine on graphile_worker._private_jobs as restrictive for update
		to pg_read_all_stats, pg_monitor using (locked_by is null) with check (priority > 0)`,
	want: []migrations.Difference{unexpected("policy _private_jobs.mine",
		"restrictive for update to pg_monitor, pg_read_all_stats using ((locked_by IS NULL)) with check ((priority > 0))")},
}, {
	name: "trigger added",
	sql: `create trigger skip before update on graphile_worker._private_jobs
		for each row execute function suppress_redundant_updates_trigger()`,
	want: []migrations.Difference{unexpected("trigger _private_jobs.skip",
		"CREATE TRIGGER skip BEFORE UPDATE ON graphile_worker._private_jobs FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()")},
}, {
	name: "trigger added and disabled",
	sql: `do $$ begin
		create constraint trigger later after delete on graphile_worker._private_tasks deferrable
			for each row execute function suppress_redundant_updates_trigger();
		alter table graphile_worker._private_tasks disable trigger later;
	end $$`,
	want: []migrations.Difference{unexpected("trigger _private_tasks.later",
		"CREATE CONSTRAINT TRIGGER later AFTER DELETE ON graphile_worker._private_tasks DEFERRABLE INITIALLY IMMEDIATE "+
			"FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger(), disabled")},
}, {
	name: "rule added",
	sql:  "create rule keep as on delete to graphile_worker._private_jobs do instead nothing",
	want: []migrations.Difference{unexpected("rule _private_jobs.keep",
		"CREATE RULE keep AS ON DELETE TO graphile_worker._private_jobs DO INSTEAD NOTHING;")},
}, {
	name: "view dropped",
	sql:  "drop view graphile_worker.jobs",
	want: []migrations.Difference{missing("view jobs")},
}, {
	name: "view with another join",
	sql: `create or replace view graphile_worker.jobs as
		select jobs.id, job_queues.queue_name, tasks.identifier as task_identifier, jobs.priority, jobs.run_at, jobs.attempts,
			jobs.max_attempts, jobs.last_error, jobs.created_at, jobs.updated_at, jobs.key, jobs.locked_at, jobs.locked_by,
			jobs.revision, jobs.flags
		from graphile_worker._private_jobs as jobs
		join graphile_worker._private_tasks as tasks on tasks.id = jobs.task_id
		join graphile_worker._private_job_queues as job_queues on job_queues.id = jobs.job_queue_id`,
	want: []migrations.Difference{changed("view jobs", "LEFT JOIN", "JOIN")},
}, {
	name: "view with an option",
	sql:  "alter view graphile_worker.jobs set (security_barrier = true)",
	want: []migrations.Difference{changed("view jobs", "SELECT", "with (security_barrier=true) SELECT")},
}, {
	name: "view's column with a default",
	sql:  "alter view graphile_worker.jobs alter priority set default 3",
	want: []migrations.Difference{unexpected("column jobs.priority", "smallint default 3, position 4")},
}, {
	name: "table in place of the view",
	sql:  "do $$ begin drop view graphile_worker.jobs; create table graphile_worker.jobs (id bigint); end $$",
	want: []migrations.Difference{unexpected("table jobs", "row security disabled"), missing("view jobs")},
}, {
	name: "materialized view added",
	sql:  "create materialized view graphile_worker.counts as select count(*) from graphile_worker.jobs",
	want: []migrations.Difference{
		unexpected("materialized view counts", "SELECT count(*) AS count FROM graphile_worker.jobs")},
}, {
	name: "type dropped with the function that needs it",
	sql:  "drop type graphile_worker.job_spec cascade",
	want: []migrations.Difference{missing("function add_jobs"), missing("type job_spec")},
}, {
	name: "type with one more attribute",
	sql:  "alter type graphile_worker.job_spec add attribute tenant text",
	want: []migrations.Difference{unexpected("column job_spec.tenant", "text, position 9")},
}, {
	name: "types added",
	sql: `do $$ begin
		create type graphile_worker.state as enum ('ready', 'locked');
		create domain graphile_worker.identifier as varchar(128);
	end $$`,
	want: []migrations.Difference{
		unexpected("type identifier", "domain over character varying(128)"),
		unexpected("type state", "enum of 'ready', 'locked'"),
	},
}, {
	name: "function dropped",
	sql:  "drop function graphile_worker.remove_job",
	want: []migrations.Difference{missing("function remove_job")},
}, {
	name: "function moved",
	sql:  "alter function graphile_worker.complete_jobs set schema public",
	want: []migrations.Difference{missing("function complete_jobs")},
}, {
	name: "function of the same name added",
	sql: `create function graphile_worker.add_job(identifier text, delay interval) returns void
		language sql security definer as ''`,
	want: []migrations.Difference{unexpected("function add_job", "(identifier text, delay interval) returns void")},
}, {
	name: "function with another signature",
	sql: `do $$ begin
		drop function graphile_worker.force_unlock_workers;
		create function graphile_worker.force_unlock_workers(worker_ids text[], since interval default '4h') returns void
			language plpgsql as 'begin end';
	end $$`,
	want: []migrations.Difference{
		otherBody("force_unlock_workers", "plpgsql", "begin end"),
		changed("function force_unlock_workers", "text[])", "text[], since interval DEFAULT '04:00:00'::interval)"),
	},
}, {
	name: "function with another body",
	sql: `create or replace function graphile_worker.remove_job(job_key text) returns graphile_worker._private_jobs
		language plpgsql strict as 'begin return null; end'`,
	want: []migrations.Difference{otherBody("remove_job", "plpgsql", "begin return null; end")},
}, {
	name: "function in another language",
	sql: `create or replace function graphile_worker.force_unlock_workers(worker_ids text[]) returns void
		language sql as ''`,
	want: []migrations.Difference{otherBody("force_unlock_workers", "sql", "")},
}, {
	name: "function with its owner's rights",
	sql:  "alter function graphile_worker.add_job security definer set search_path = public, pg_temp",
	want: []migrations.Difference{changed("attributes of function add_job",
		"security invoker, parallel unsafe", "security definer, parallel unsafe, set search_path=public, pg_temp")},
}, {
	name: "function with other promises",
	sql:  "alter function graphile_worker.complete_jobs stable strict leakproof parallel safe",
	want: []migrations.Difference{changed("attributes of function complete_jobs",
		"volatile, called on null input, security invoker, parallel unsafe",
		"stable, strict, security invoker, leakproof, parallel safe")},
}, {
	name: "functions of other kinds added",
	sql: `do $$ begin
		create procedure graphile_worker.tidy(inout n int) language plpgsql as 'begin end';
		create aggregate graphile_worker.total(int) (sfunc = int4pl, stype = int);
	end $$`,
	want: []migrations.Difference{
		unexpected("aggregate total", "(integer) returns integer"),
		unexpected("procedure tidy", "(INOUT n integer)"),
	},
}, {
	name: "ledger without a revision",
	sql:  "delete from graphile_worker.migrations where id in (1, 19)",
	want: []migrations.Difference{missing("revision 1"), missing("revision 19")},
}, {
	name: "ledger that calls a breaking revision harmless",
	sql:  "update graphile_worker.migrations set breaking = id = 18 where id in (18, 19)",
	want: []migrations.Difference{
		changed("revision 18", "not breaking", "breaking"), changed("revision 19", "breaking", "not breaking")},
}, {
	name: "ledger renamed",
	sql:  "alter table graphile_worker.migrations rename to migrations_old",
	want: []migrations.Difference{missing("table migrations"), unexpected("table migrations_old", "row security disabled")},
}, {
	name: "ledger that knows nothing of breaking revisions",
	sql:  "alter table graphile_worker.migrations drop breaking",
	want: []migrations.Difference{
		missing("column migrations.breaking"),
		changed("revision 1", "breaking", "not breaking"), changed("revision 11", "breaking", "not breaking"),
		changed("revision 13", "breaking", "not breaking"), changed("revision 14", "breaking", "not breaking"),
		changed("revision 16", "breaking", "not breaking"), changed("revision 19", "breaking", "not breaking"),
		changed("revision 3", "breaking", "not breaking"),
	},
}}

func TestValidateFinds(t *testing.T) {
	t.Parallel()
	for _, tc := range breakages {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			testBreakage(benchOn(t, pgtest.Pool(t, testdb.Ours("")), graphile.DefaultSchema), tc)
		})
	}
}

func testBreakage(b *bench, tc breakage) {
	b.Helper()
	b.exec(tc.sql)
	b.checkValid(tc.want...)
}

// A newer revision is no difference, nor is what it may have added or replaced.
func TestValidateNewer(t *testing.T) {
	t.Parallel()
	function := func(name, definition string) string {
		return `create or replace function graphile_worker.` + name + ` language plpgsql as '` + definition + `'`
	}
	for _, tc := range []struct {
		reason, sql string
		differences []migrations.Difference
		unknown     []migrations.Difference
	}{
		{reason: "the revision alone", sql: "select"},
		{
			reason: "what it may have added",
			sql: `alter table graphile_worker._private_jobs add tenant text;
				create index by_task on graphile_worker._private_jobs (task_id)`,
			unknown: []migrations.Difference{
				unexpected("column _private_jobs.tenant", "text, position 18"),
				unexpected("index by_task", "CREATE INDEX by_task ON graphile_worker._private_jobs USING btree (task_id)"),
			},
		},
		{
			reason:  "what it may have replaced",
			sql:     function("force_unlock_workers(worker_ids text[]) returns void", "begin end"),
			unknown: []migrations.Difference{otherBody("force_unlock_workers", "plpgsql", "begin end")},
		},
		{
			reason: "what is known and differs",
			sql: `drop index graphile_worker.jobs_main_index;
				drop function graphile_worker.remove_job;
				delete from graphile_worker.migrations where id = 20;
				alter table graphile_worker._private_jobs alter priority set default 1`,
			differences: []migrations.Difference{
				changed("column _private_jobs.priority", "default 0", "default 1"),
				missing("function remove_job"),
				missing("index jobs_main_index"),
				missing("revision 20"),
			},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			b.exec("insert into graphile_worker.migrations (id) values (21);" + tc.sql)
			got, err := b.migrator.Validate(b.ctx)
			if err != nil {
				t.Fatal(err)
			}
			want := &migrations.Validation{Revision: 21, Differences: tc.differences, Unknown: tc.unknown}
			if diff := cmp.Diff(want, got, equateEmpty); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if !got.Newer() {
				t.Error("it is not said to be newer")
			}
		})
	}
}

func TestValidateEmptyLedger(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.exec("truncate graphile_worker.migrations")
	var want []migrations.Difference
	for id := 1; id <= graphile.NewestRevision; id++ {
		want = append(want, missing("revision "+strconv.Itoa(id)))
	}
	slices.SortFunc(want, func(a, b migrations.Difference) int { return strings.Compare(a.Object, b.Object) })
	b.checkValid(want...)
}

// What gwadmin adds and operators tune is no difference.
func TestValidateIgnores(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	role := newRole(b)
	b.exec(`
		create index gwadmin_by_task on graphile_worker._private_jobs (task_id);
		create policy gwadmin_reader on graphile_worker._private_jobs for select using (true);
		create function graphile_worker.gwadmin_count() returns bigint language sql as 'select 1::bigint';
		create function graphile_worker.gwadmin_watch() returns trigger language plpgsql as 'begin return null; end';
		create trigger gwadmin_watch after insert on graphile_worker._private_jobs
			for each row execute function graphile_worker.gwadmin_watch();
		create type graphile_worker.gwadmin_state as enum ('ready');
		create table graphile_worker.gwadmin_archive (
			id bigserial primary key, job bigint references graphile_worker._private_jobs, state graphile_worker.gwadmin_state);
		create index archive_state on graphile_worker.gwadmin_archive (state);
		create view graphile_worker.gwadmin_counts as select count(*) from graphile_worker.jobs;
		create table graphile_worker.goose_other (id int);
		create view public.jobs as select * from graphile_worker.jobs;

		alter table graphile_worker._private_jobs set (fillfactor = 50, autovacuum_enabled = false);
		alter index graphile_worker.jobs_main_index set (fillfactor = 70);
		alter index graphile_worker.jobs_key_key1 set (fillfactor = 70);
		alter table graphile_worker._private_jobs cluster on jobs_pkey1;
		alter table graphile_worker._private_jobs replica identity full;
		alter table graphile_worker._private_jobs alter payload set storage external, alter task_id set statistics 500;
		alter table graphile_worker._private_jobs alter task_id set (n_distinct = 7);
		create statistics graphile_worker.task_queue on task_id, job_queue_id from graphile_worker._private_jobs;
		alter function graphile_worker.add_job cost 1;
		alter function graphile_worker.add_jobs rows 1;
		comment on table graphile_worker._private_jobs is 'jobs';
		comment on function graphile_worker.add_job is 'add';
		alter table graphile_worker.migrations owner to ` + role + `;
		alter function graphile_worker.add_job owner to ` + role + `;
		grant usage on schema graphile_worker to ` + role + `;
		grant select on graphile_worker.jobs to public;
		revoke execute on function graphile_worker.add_jobs from public;
		select graphile_worker.add_job('t', queue_name => 'q')`)
	b.checkValid()
}

func TestValidate(t *testing.T) {
	t.Parallel()
	testValidate(t, func(tb testing.TB) *pgxpool.Pool { return pgtest.Pool(tb, nil) })
}

func TestValidateOnEveryServer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("may download servers")
	}
	for major := 13; major <= 18; major++ {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			server := pgtest.Server(t, major)
			testValidate(t, func(tb testing.TB) *pgxpool.Pool { return server.Pool(tb, nil) })
			cases := breakages
			switch major {
			case 14, 15, 16, 17:
				cases = nil // which takes long, and the outermost say enough
			case 18:
				cases = append(slices.Clip(cases), breakage{
					name: "null forbidden from now on",
					sql:  "alter table graphile_worker._private_jobs add constraint keyed not null key not valid",
					want: []migrations.Difference{
						changed("column _private_jobs.key", "text", "text not null"),
						unexpected("constraint _private_jobs.keyed", "NOT NULL key NOT VALID"),
					},
				})
			}
			for _, tc := range cases {
				t.Run(tc.name, func(t *testing.T) {
					testBreakage(benchOn(t, server.Pool(t, testdb.Ours("")), graphile.DefaultSchema), tc)
				})
			}
		})
	}
}

func testValidate(t *testing.T, pool func(testing.TB) *pgxpool.Pool) {
	for _, schema := range append(slices.Clone(schemaNames), "jobs", "user") {
		t.Run(schema, func(t *testing.T) {
			b := benchOn(t, pool(t), schema)
			b.up()
			b.checkValid()
		})
	}
	for _, schema := range schemaNames[:2] {
		t.Run("npm/"+schema, func(t *testing.T) {
			upstream.Ensure(t)
			b := benchOn(t, pool(t), schema)
			b.install("0.18.0")
			b.checkValid()
		})
	}
}

func TestValidateReleases(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		version string
		want    []migrations.Difference // before Up; each release has all its bodies
	}{
		{"0.16.6", []migrations.Difference{missing("revision 19"), missing("revision 20")}},
		{"0.17.3", []migrations.Difference{missing("revision 20")}},
		{"0.18.0", nil},
	} {
		t.Run(tc.version, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, seeded(t, tc.version))
			b.checkValid(tc.want...)
			b.up()
			b.checkValid()
		})
	}
}

func TestValidateBodies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ reason, sql, schema string }{
		{
			"white space counts",
			"update pg_catalog.pg_proc set prosrc = prosrc || ' ' where pronamespace = 'graphile_worker'::regnamespace",
			"graphile_worker",
		}, {
			"the bodies of a renamed schema still name the old one",
			"alter schema graphile_worker rename to jobs",
			"jobs",
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			b.exec(tc.sql)
			got, err := benchOn(t, b.pool, tc.schema).migrator.Validate(b.ctx)
			if err != nil {
				t.Fatal(err)
			}
			var objects []string
			for _, d := range got.Differences {
				objects = append(objects, d.Object)
			}
			if diff := cmp.Diff([]string{
				"body of function add_job", "body of function add_jobs", "body of function complete_jobs",
				"body of function force_unlock_workers", "body of function permanently_fail_jobs",
				"body of function remove_job", "body of function reschedule_jobs",
			}, objects); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// Function bodies may have the schema's name without quotes.
func TestValidateUnquoted(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	b.exec(`alter schema graphile_worker rename to jobs;
		update pg_catalog.pg_proc set prosrc = replace(prosrc, 'graphile_worker.', 'jobs.') where pronamespace = 'jobs'::regnamespace`)
	benchOn(t, b.pool, "jobs").checkValid()
}

func TestValidateNotInstalled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ reason, sql string }{
		{"the database is empty", ""},
		{"the schema is empty", "create schema graphile_worker"},
		{"something else is in the schema", "create schema graphile_worker; create table graphile_worker.jobs ()"},
		{"an installer has begun", `create schema graphile_worker;
			create table graphile_worker.migrations (id int primary key, ts timestamptz not null default now())`},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			if tc.sql != "" {
				b.exec(tc.sql)
			}
			got, err := b.migrator.Validate(b.ctx)
			if !errors.Is(err, migrations.ErrNotInstalled) || got != nil {
				t.Fatalf("got %v, %v", got, err)
			}
			const want = `validate: schema of Graphile Worker is not installed: schema "graphile_worker": ` +
				"install it with gwadmin migrate up or graphile-worker --schema-only"
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestValidateRefusesRevisions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		sql  string
		want migrations.RevisionError
	}{
		{"delete from graphile_worker.migrations where id > 17",
			migrations.RevisionError{Revision: 17, Breaking: 16, Err: migrations.ErrRevisionTooOld}},
		{"delete from graphile_worker.migrations where id > 10; alter table graphile_worker.migrations drop breaking",
			migrations.RevisionError{Revision: 10, Err: migrations.ErrRevisionTooOld}},
		{"insert into graphile_worker.migrations (id, breaking) values (21, true), (22, false)",
			migrations.RevisionError{Revision: 22, Breaking: 21, Err: migrations.ErrRevisionTooNew}},
	} {
		t.Run(tc.sql, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			b.exec(tc.sql)
			_, err := b.migrator.Validate(b.ctx)
			var got *migrations.RevisionError
			if !errors.As(err, &got) || !errors.Is(err, tc.want.Err) {
				t.Fatalf("got %v, want a RevisionError", err)
			}
			tc.want.Schema = b.schema
			if *got != tc.want {
				t.Errorf("got %+v, want %+v", *got, tc.want)
			}
		})
	}
}

// Validate does not depend on the session's settings, and does not change them.
func TestValidateInAnySession(t *testing.T) {
	t.Parallel()
	b := benchOn(t, pgtest.Pool(t, testdb.Ours(`Weird "Name"`)), `Weird "Name"`)
	b.exec(`alter table graphile_worker._private_jobs alter priority set default 1;
		drop index graphile_worker.jobs_no_queue_index`)
	want := []migrations.Difference{
		changed("column _private_jobs.priority", "default 0", "default 1"), missing("index jobs_no_queue_index")}
	want[1].Want = strings.Replace(want[1].Want, "graphile_worker.", `"Weird ""Name""".`, 1)
	session := func(name string, set func(*pgxpool.Config)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{t, b.ctx, nil, b.url, b.schema, nil}
			b = b.another(set, func(c *pgxpool.Config) { c.MaxConns = 1 })
			settings := func() []string {
				return rowsOf[string](b, "select name || ' ' || setting from pg_settings where source <> 'default' order by 1")
			}
			before := settings()
			b.checkValid(want...)
			if diff := cmp.Diff(before, settings()); diff != "" {
				t.Errorf("settings: -before +after\n%s", diff)
			}
		})
	}
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		session(mode.String(), func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode })
	}
	for name, value := range map[string]string{
		"search_path":                   `"Weird ""Name""", public, pg_catalog`,
		"quote_all_identifiers":         "on",
		"datestyle":                     "German",
		"intervalstyle":                 "sql_standard",
		"default_transaction_isolation": "serializable",
		"default_transaction_read_only": "on",
	} {
		session(name, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams[name] = value })
	}
}

// newRole is a role that owns nothing, gone when the test ends.
func newRole(b *bench) string {
	b.Helper()
	role := "gwadmin_test_" + strings.ToLower(rand.Text())
	b.exec("create role " + role)
	b.Cleanup(func() {
		_, err := b.pool.Exec(context.Background(), "reassign owned by "+role+" to current_user; drop owned by "+role+"; drop role "+role,
			pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			b.Errorf("drop the role: %v", err)
		}
	})
	return role
}

func TestValidateAsAnotherRole(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		sql    string // where %s is the role
		want   []migrations.Difference
		code   string // the SQLSTATE
		text   string
	}{
		{
			reason: "select on the ledger is enough",
			sql: `grant usage on schema graphile_worker to %[1]s; grant select on graphile_worker.migrations to %[1]s;
				drop view graphile_worker.jobs`,
			want: []migrations.Difference{missing("view jobs")},
		}, {
			reason: "without it nobody knows the revision",
			sql:    "grant usage on schema graphile_worker to %s",
			code:   "42501",
			text:   "validate: read the revisions: ERROR: permission denied for table migrations (SQLSTATE 42501)",
		}, {
			reason: "rows that a policy hides are not missing",
			sql: `grant usage on schema graphile_worker to %[1]s; grant select on graphile_worker.migrations to %[1]s;
				alter table graphile_worker.migrations enable row level security`,
			code: "42501",
			text: `validate: read the revisions: ERROR: query would be affected by row-level security policy for table "migrations" (SQLSTATE 42501)`,
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testdb.Ours(""))
			role := newRole(b)
			b.exec(fmt.Sprintf(tc.sql, role))
			other := b.another(func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["role"] = role })
			if tc.code == "" {
				other.checkValid(tc.want...)
				return
			}
			_, err := other.migrator.Validate(b.ctx)
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || pgErr.Code != tc.code || err.Error() != tc.text {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Validate does not wait for workers, and changes nothing.
func TestValidateBesideWorkers(t *testing.T) {
	t.Parallel()
	b := newBench(t, seeded(t, "0.18.0"))
	unchanged := b.unchanged()
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	tx := b.begin()
	if _, err := tx.Exec(ctx, `lock table graphile_worker._private_jobs, graphile_worker._private_tasks,
		graphile_worker._private_job_queues, graphile_worker.migrations in exclusive mode`); err != nil {
		t.Fatal(err)
	}
	if got, err := b.migrator.Validate(ctx); err != nil || got.Differences != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	unchanged()
}

func TestDifferenceText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		d          migrations.Difference
		text, json string
	}{
		{
			missing("constraint _private_tasks.tasks_pkey"),
			"constraint _private_tasks.tasks_pkey is missing: PRIMARY KEY (id)",
			`{"kind":"missing","object":"constraint _private_tasks.tasks_pkey","want":"PRIMARY KEY (id)"}`,
		}, {
			unexpected("revision 21", "not breaking"),
			"revision 21 is unexpected: not breaking",
			`{"kind":"unexpected","object":"revision 21","got":"not breaking"}`,
		}, {
			changed("column _private_jobs.priority", "0", "1"),
			"column _private_jobs.priority is changed: want smallint not null default 0, position 5; got smallint not null default 1, position 5",
			`{"kind":"changed","object":"column _private_jobs.priority",` +
				`"want":"smallint not null default 0, position 5","got":"smallint not null default 1, position 5"}`,
		}, {
			d: changed("view jobs", "jobs.run_at,", ""),
			text: "view jobs is changed: want … AS task_identifier, jobs.priority, jobs.run_at, jobs.attempts, jobs.max_attempts, jobs.last_error, …; " +
				"got … AS task_identifier, jobs.priority, jobs.attempts, jobs.max_attempts, jobs.last_error, …",
		}, {
			d:    changed("attributes of function add_job", "parallel unsafe", "parallel unsafe, set search_path=public"),
			text: "attributes of function add_job is changed: want … security invoker, parallel unsafe; got … security invoker, parallel unsafe, set search_path=public",
		},
	} {
		if diff := cmp.Diff(tc.text, tc.d.String()); diff != "" {
			t.Errorf("%s: -want +got\n%s", tc.d.Object, diff)
		}
		if tc.json == "" {
			continue
		}
		got, err := json.Marshal(tc.d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.json, string(got)); diff != "" {
			t.Errorf("%s: -want +got\n%s", tc.d.Object, diff)
		}
	}
}
