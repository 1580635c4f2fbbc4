-- The tables, the job_spec type and the ledger of revisions.
--
-- On an empty database it creates everything. On one that Graphile Worker (revision 18
-- or later) installed it only adds the missing rows of the ledger, and so locks no table
-- of a live queue. If two installers run at once, the one that inserts the ledger's row
-- of revision 1 creates the tables, and the other waits.

-- +goose Up
-- +goose StatementBegin
do $body$
declare
  oldest constant int := 18;
  newest constant int := 20;
  breaking constant int[] := array[1, 3, 11, 13, 14, 16, 19];
  building boolean := false;
  revision int;
  progress int;
  latest timestamp with time zone;
  stalled int := 0;
begin
  if pg_catalog.current_setting('server_version_num')::int < 120000 then
    raise exception 'Graphile Worker needs PostgreSQL 12 or newer' using errcode = '0A000';
  end if;

  -- Another installer may create these at the same time.
  if not exists (select from pg_catalog.pg_namespace as n where n.nspname = 'graphile_worker') then
    begin
      create schema graphile_worker;
    exception when unique_violation or duplicate_schema then null;
    end;
  end if;
  begin
    create table if not exists graphile_worker.migrations (
      id integer not null,
      ts timestamp with time zone not null default pg_catalog.now(),
      breaking boolean not null default false,
      constraint migrations_pkey primary key (id)
    );
  exception when unique_violation or duplicate_table or duplicate_object then null;
  end;

  -- Another installer that is at work commits a revision every few milliseconds: wait as
  -- long as it makes progress. Each look is a subtransaction that is rolled back, which
  -- unlocks the ledger: the installer must not wait for this transaction.
  loop
    begin
      select pg_catalog.max(m.id), pg_catalog.max(m.ts) into progress, latest from graphile_worker.migrations as m;
      if progress is null then
        insert into graphile_worker.migrations (id, breaking) values (1, true) on conflict do nothing;
        building := found;
      end if;
      exit when building or progress >= oldest;
      raise exception using errcode = 'GWLET';
    exception when sqlstate 'GWLET' then null;
    end;
    stalled := case when progress is distinct from revision then 0 else stalled + 1 end;
    revision := progress;
    if stalled > 30 or latest < pg_catalog.clock_timestamp() - interval '1 minute' then
      raise exception 'the schema is at Graphile Worker revision %, older than % which gwadmin can take over', revision, oldest
        using errcode = 'GWOLD', hint = 'Upgrade it first with Graphile Worker 0.16.6 or newer: graphile-worker --schema-only.';
    end if;
    perform pg_catalog.pg_sleep(0.1);
  end loop;
  if progress > newest then
    raise exception 'the schema is at Graphile Worker revision %, newer than % which gwadmin knows', progress, newest
      using errcode = 'GWNEW', hint = 'Use a gwadmin that knows this revision.';
  end if;
  if building then
    perform pg_catalog.pg_notify('worker:migrate', '{"migrationNumber":1,"breaking":true}');
  end if;

  for n in 1 .. newest loop
    insert into graphile_worker.migrations (id, breaking) values (n, n = any (breaking)) on conflict do nothing;
    if found then
      perform pg_catalog.pg_notify('worker:migrate', pg_catalog.format(
        '{"migrationNumber":%s,"breaking":%s}', n, case when n = any (breaking) then 'true' else 'false' end));
    end if;
  end loop;

  if not building then
    return;
  end if;

  create table graphile_worker._private_job_queues (
    id integer not null generated always as identity (sequence name graphile_worker.job_queues_id_seq),
    queue_name text not null,
    locked_at timestamp with time zone,
    locked_by text,
    is_available boolean not null generated always as (locked_at is null) stored,
    constraint job_queues_pkey1 primary key (id),
    constraint job_queues_queue_name_check check (pg_catalog.length(queue_name) <= 128),
    constraint job_queues_queue_name_key unique (queue_name)
  );
  alter table graphile_worker._private_job_queues enable row level security;

  create table graphile_worker._private_tasks (
    id integer not null generated always as identity (sequence name graphile_worker.tasks_id_seq),
    identifier text not null,
    constraint tasks_pkey primary key (id),
    constraint tasks_identifier_check check (pg_catalog.length(identifier) <= 128),
    constraint tasks_identifier_key unique (identifier)
  );
  alter table graphile_worker._private_tasks enable row level security;

  create table graphile_worker._private_jobs (
    id bigint not null generated always as identity (sequence name graphile_worker.jobs_id_seq1),
    job_queue_id integer,
    task_id integer not null,
    payload json not null default '{}'::json,
    priority smallint not null default 0,
    run_at timestamp with time zone not null default pg_catalog.now(),
    attempts smallint not null default 0,
    max_attempts smallint not null default 25,
    last_error text,
    created_at timestamp with time zone not null default pg_catalog.now(),
    updated_at timestamp with time zone not null default pg_catalog.now(),
    key text,
    locked_at timestamp with time zone,
    locked_by text,
    revision integer not null default 0,
    flags jsonb,
    is_available boolean not null generated always as (locked_at is null and attempts < max_attempts) stored,
    constraint jobs_pkey1 primary key (id),
    constraint jobs_key_key1 unique (key),
    constraint jobs_key_check check (pg_catalog.length(key) > 0 and pg_catalog.length(key) <= 512),
    constraint jobs_max_attempts_check check (max_attempts >= 1)
  );
  alter table graphile_worker._private_jobs enable row level security;
  create index jobs_main_index on graphile_worker._private_jobs
    using btree (priority, run_at) include (id, task_id, job_queue_id) where (is_available = true);
  create index jobs_no_queue_index on graphile_worker._private_jobs
    using btree (priority, run_at) include (id, task_id) where (is_available = true and job_queue_id is null);

  create table graphile_worker._private_known_crontabs (
    identifier text not null,
    known_since timestamp with time zone not null,
    last_execution timestamp with time zone,
    constraint known_crontabs_pkey primary key (identifier)
  );
  alter table graphile_worker._private_known_crontabs enable row level security;

  create type graphile_worker.job_spec as (
    identifier text,
    payload json,
    queue_name text,
    run_at timestamp with time zone,
    max_attempts smallint,
    job_key text,
    priority smallint,
    flags text[]
  );
end;
$body$;
-- +goose StatementEnd

-- +goose Down
drop type graphile_worker.job_spec;
drop table graphile_worker._private_known_crontabs;
drop table graphile_worker._private_jobs;
drop table graphile_worker._private_tasks;
drop table graphile_worker._private_job_queues;
drop table graphile_worker.migrations;
