-- What migrations/ builds, written by go run ./internal/generate. Do not edit.

create schema graphile_worker;

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

create table graphile_worker._private_job_queues (
  id integer generated always as identity not null,
  queue_name text not null,
  locked_at timestamp with time zone,
  locked_by text,
  is_available boolean generated always as ((locked_at IS NULL)) stored not null,
  constraint job_queues_pkey1 PRIMARY KEY (id),
  constraint job_queues_queue_name_check CHECK ((length(queue_name) <= 128)),
  constraint job_queues_queue_name_key UNIQUE (queue_name)
);

create table graphile_worker._private_jobs (
  id bigint generated always as identity not null,
  job_queue_id integer,
  task_id integer not null,
  payload json default '{}'::json not null,
  priority smallint default 0 not null,
  run_at timestamp with time zone default now() not null,
  attempts smallint default 0 not null,
  max_attempts smallint default 25 not null,
  last_error text,
  created_at timestamp with time zone default now() not null,
  updated_at timestamp with time zone default now() not null,
  key text,
  locked_at timestamp with time zone,
  locked_by text,
  revision integer default 0 not null,
  flags jsonb,
  is_available boolean generated always as (((locked_at IS NULL) AND (attempts < max_attempts))) stored not null,
  constraint jobs_key_check CHECK (((length(key) > 0) AND (length(key) <= 512))),
  constraint jobs_key_key1 UNIQUE (key),
  constraint jobs_max_attempts_check CHECK ((max_attempts >= 1)),
  constraint jobs_pkey1 PRIMARY KEY (id)
);

create table graphile_worker._private_known_crontabs (
  identifier text not null,
  known_since timestamp with time zone not null,
  last_execution timestamp with time zone,
  constraint known_crontabs_pkey PRIMARY KEY (identifier)
);

create table graphile_worker._private_tasks (
  id integer generated always as identity not null,
  identifier text not null,
  constraint tasks_identifier_check CHECK ((length(identifier) <= 128)),
  constraint tasks_identifier_key UNIQUE (identifier),
  constraint tasks_pkey PRIMARY KEY (id)
);

create table graphile_worker.migrations (
  id integer not null,
  ts timestamp with time zone default now() not null,
  breaking boolean default false not null,
  constraint migrations_pkey PRIMARY KEY (id)
);

alter table graphile_worker._private_job_queues enable row level security;

alter table graphile_worker._private_jobs enable row level security;

alter table graphile_worker._private_known_crontabs enable row level security;

alter table graphile_worker._private_tasks enable row level security;

CREATE INDEX jobs_main_index ON graphile_worker._private_jobs USING btree (priority, run_at) INCLUDE (id, task_id, job_queue_id) WHERE (is_available = true);

CREATE INDEX jobs_no_queue_index ON graphile_worker._private_jobs USING btree (priority, run_at) INCLUDE (id, task_id) WHERE ((is_available = true) AND (job_queue_id IS NULL));

create view graphile_worker.jobs as
 SELECT jobs.id,
    job_queues.queue_name,
    tasks.identifier AS task_identifier,
    jobs.priority,
    jobs.run_at,
    jobs.attempts,
    jobs.max_attempts,
    jobs.last_error,
    jobs.created_at,
    jobs.updated_at,
    jobs.key,
    jobs.locked_at,
    jobs.locked_by,
    jobs.revision,
    jobs.flags
   FROM graphile_worker._private_jobs jobs
     JOIN graphile_worker._private_tasks tasks ON tasks.id = jobs.task_id
     LEFT JOIN graphile_worker._private_job_queues job_queues ON job_queues.id = jobs.job_queue_id;

CREATE OR REPLACE FUNCTION graphile_worker.add_job(identifier text, payload json DEFAULT NULL::json, queue_name text DEFAULT NULL::text, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, max_attempts integer DEFAULT NULL::integer, job_key text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, flags text[] DEFAULT NULL::text[], job_key_mode text DEFAULT 'replace'::text)
 RETURNS graphile_worker._private_jobs
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare
  dedupe constant boolean := add_job.job_key is not null and coalesce(add_job.job_key_mode = 'unsafe_dedupe', false);
  task integer;
  queue integer;
  flag_set jsonb;
  most smallint;
  rank smallint;
  job graphile_worker._private_jobs;
begin
  if add_job.job_key is not null and add_job.job_key_mode not in ('replace', 'preserve_run_at', 'unsafe_dedupe') then
    raise exception 'Invalid job_key_mode value, expected ''replace'', ''preserve_run_at'' or ''unsafe_dedupe''.'
      using errcode = 'GWBKM';
  end if;

  -- A number out of range is an error before anything is written.
  if not dedupe then
    most := coalesce(add_job.max_attempts, 25);
    rank := coalesce(add_job.priority, 0);
  end if;

  -- Existing tasks and queues are only read: no lock on them, no identity value spent.
  select t.id into task from graphile_worker._private_tasks as t where t.identifier = add_job.identifier;
  if task is null then
    insert into graphile_worker._private_tasks as t (identifier) values (add_job.identifier)
      on conflict do nothing
      returning t.id into task;
    if task is null then
      select t.id into task from graphile_worker._private_tasks as t where t.identifier = add_job.identifier;
    end if;
  end if;
  if add_job.queue_name is not null then
    select q.id into queue from graphile_worker._private_job_queues as q where q.queue_name = add_job.queue_name;
    if queue is null then
      insert into graphile_worker._private_job_queues as q (queue_name) values (add_job.queue_name)
        on conflict do nothing
        returning q.id into queue;
      if queue is null then
        select q.id into queue from graphile_worker._private_job_queues as q where q.queue_name = add_job.queue_name;
      end if;
    end if;
  end if;
  if add_job.flags is not null then
    select pg_catalog.jsonb_object_agg(item.flag, true) into flag_set from pg_catalog.unnest(add_job.flags) as item (flag);
  end if;

  if dedupe then
    insert into graphile_worker._private_jobs as jobs
      (job_queue_id, task_id, payload, run_at, max_attempts, key, priority, flags)
    values (
      queue,
      task,
      coalesce(add_job.payload, '{}'::json),
      coalesce(add_job.run_at, pg_catalog.now()),
      coalesce(add_job.max_attempts, 25)::smallint,
      add_job.job_key,
      coalesce(add_job.priority, 0)::smallint,
      flag_set
    )
    on conflict (key) do update set
      revision = jobs.revision + 1,
      updated_at = pg_catalog.now()
    returning jobs.* into job;
    if job.revision = 0 then
      perform pg_catalog.pg_notify('jobs:insert', '{"r":' || pg_catalog.random()::text || ',"count":1}');
    end if;
    return job;
  end if;

  perform pg_catalog.pg_notify('jobs:insert', '{"r":' || pg_catalog.random()::text || ',"count":1}');

  -- Without a key there is no conflict to be ready for, which an insert pays for.
  if add_job.job_key is null then
    insert into graphile_worker._private_jobs as jobs
      (job_queue_id, task_id, payload, run_at, max_attempts, priority, flags)
    values (
      queue,
      task,
      coalesce(add_job.payload, '{}'::json),
      coalesce(add_job.run_at, pg_catalog.now()),
      most,
      rank,
      flag_set
    )
    returning jobs.* into job;
    return job;
  end if;

  -- A job that has started, or failed for good, keeps its work but loses its key.
  update graphile_worker._private_jobs as jobs
  set key = null, attempts = jobs.max_attempts, updated_at = pg_catalog.now()
  where jobs.key = add_job.job_key and jobs.is_available is not true;

  insert into graphile_worker._private_jobs as jobs
    (job_queue_id, task_id, payload, run_at, max_attempts, key, priority, flags)
  values (
    queue,
    task,
    coalesce(add_job.payload, '{}'::json),
    coalesce(add_job.run_at, pg_catalog.now()),
    most,
    add_job.job_key,
    rank,
    flag_set
  )
  on conflict (key) do update set
    job_queue_id = excluded.job_queue_id,
    task_id = excluded.task_id,
    payload = case
      when pg_catalog.json_typeof(jobs.payload) = 'array' and pg_catalog.json_typeof(excluded.payload) = 'array'
        then (jobs.payload::jsonb || excluded.payload::jsonb)::json
      else excluded.payload
    end,
    run_at = case
      when add_job.job_key_mode = 'preserve_run_at' and jobs.attempts = 0 then jobs.run_at
      else excluded.run_at
    end,
    max_attempts = excluded.max_attempts,
    priority = excluded.priority,
    flags = excluded.flags,
    revision = jobs.revision + 1,
    attempts = 0,
    last_error = null,
    updated_at = pg_catalog.now()
  where jobs.locked_at is null
  returning jobs.* into job;
  return job;
end;
$function$;

CREATE OR REPLACE FUNCTION graphile_worker.add_jobs(specs graphile_worker.job_spec[], job_key_preserve_run_at boolean DEFAULT false)
 RETURNS SETOF graphile_worker._private_jobs
 LANGUAGE plpgsql
AS $function$
begin
  insert into graphile_worker._private_tasks (identifier)
  select distinct spec.identifier
  from pg_catalog.unnest(specs) as spec
  where not exists (
    select from graphile_worker._private_tasks as tasks where tasks.identifier = spec.identifier
  )
  on conflict do nothing;

  insert into graphile_worker._private_job_queues (queue_name)
  select distinct spec.queue_name
  from pg_catalog.unnest(specs) as spec
  where spec.queue_name is not null
  and not exists (
    select from graphile_worker._private_job_queues as queues where queues.queue_name = spec.queue_name
  )
  on conflict do nothing;

  perform pg_catalog.pg_notify('jobs:insert',
    '{"r":' || pg_catalog.random()::text || ',"count":' || pg_catalog.array_length(specs, 1)::text || '}');

  -- Without keys there is no conflict to be ready for, which an insert pays for.
  if not exists (select from pg_catalog.unnest(specs) as spec where spec.job_key is not null) then
    return query
    insert into graphile_worker._private_jobs as jobs
      (job_queue_id, task_id, payload, run_at, max_attempts, priority, flags)
    select
      queues.id,
      tasks.id,
      coalesce(spec.payload, '{}'::json),
      coalesce(spec.run_at, pg_catalog.now()),
      coalesce(spec.max_attempts, 25::smallint),
      coalesce(spec.priority, 0::smallint),
      case when spec.flags is not null then (
        select pg_catalog.jsonb_object_agg(item.flag, true) from pg_catalog.unnest(spec.flags) as item (flag)
      ) end
    from pg_catalog.unnest(specs) with ordinality
      as spec (identifier, payload, queue_name, run_at, max_attempts, job_key, priority, flags, place)
    join graphile_worker._private_tasks as tasks on tasks.identifier = spec.identifier
    left join graphile_worker._private_job_queues as queues on queues.queue_name = spec.queue_name
    order by spec.place
    returning jobs.*;
    return;
  end if;

  -- Jobs that have started, or failed for good, keep their work but lose their key.
  update graphile_worker._private_jobs as jobs
  set key = null, attempts = jobs.max_attempts, updated_at = pg_catalog.now()
  from pg_catalog.unnest(specs) as spec
  where spec.job_key is not null
  and jobs.key = spec.job_key
  and jobs.is_available is not true;

  return query
  insert into graphile_worker._private_jobs as jobs
    (job_queue_id, task_id, payload, run_at, max_attempts, key, priority, flags)
  select
    queues.id,
    tasks.id,
    coalesce(spec.payload, '{}'::json),
    coalesce(spec.run_at, pg_catalog.now()),
    coalesce(spec.max_attempts, 25::smallint),
    spec.job_key,
    coalesce(spec.priority, 0::smallint),
    case when spec.flags is not null then (
      select pg_catalog.jsonb_object_agg(item.flag, true) from pg_catalog.unnest(spec.flags) as item (flag)
    ) end
  from pg_catalog.unnest(specs) with ordinality
    as spec (identifier, payload, queue_name, run_at, max_attempts, job_key, priority, flags, place)
  join graphile_worker._private_tasks as tasks on tasks.identifier = spec.identifier
  left join graphile_worker._private_job_queues as queues on queues.queue_name = spec.queue_name
  order by spec.place
  on conflict (key) do update set
    job_queue_id = excluded.job_queue_id,
    task_id = excluded.task_id,
    payload = case
      when pg_catalog.json_typeof(jobs.payload) = 'array' and pg_catalog.json_typeof(excluded.payload) = 'array'
        then (jobs.payload::jsonb || excluded.payload::jsonb)::json
      else excluded.payload
    end,
    run_at = case
      when job_key_preserve_run_at and jobs.attempts = 0 then jobs.run_at
      else excluded.run_at
    end,
    max_attempts = excluded.max_attempts,
    priority = excluded.priority,
    flags = excluded.flags,
    revision = jobs.revision + 1,
    attempts = 0,
    last_error = null,
    updated_at = pg_catalog.now()
  where jobs.locked_at is null
  returning jobs.*;
end;
$function$;

CREATE OR REPLACE FUNCTION graphile_worker.complete_jobs(job_ids bigint[])
 RETURNS SETOF graphile_worker._private_jobs
 LANGUAGE plpgsql
AS $function$
begin
  return query
  delete from graphile_worker._private_jobs as jobs
  where jobs.id = any ((select job_ids)::bigint[])
  and (jobs.locked_at is null or jobs.locked_at < pg_catalog.now() - interval '4 hours')
  returning jobs.*;
end;
$function$;

CREATE OR REPLACE FUNCTION graphile_worker.force_unlock_workers(worker_ids text[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  update graphile_worker._private_jobs as jobs
  set locked_at = null, locked_by = null
  where jobs.locked_by = any (worker_ids);

  update graphile_worker._private_job_queues as queues
  set locked_at = null, locked_by = null
  where queues.locked_by = any (worker_ids);
end;
$function$;

CREATE OR REPLACE FUNCTION graphile_worker.permanently_fail_jobs(job_ids bigint[], error_message text DEFAULT NULL::text)
 RETURNS SETOF graphile_worker._private_jobs
 LANGUAGE plpgsql
AS $function$
begin
  return query
  update graphile_worker._private_jobs as jobs
  set
    last_error = coalesce(error_message, 'Manually marked as failed'),
    attempts = jobs.max_attempts,
    updated_at = pg_catalog.now()
  where jobs.id = any ((select job_ids)::bigint[])
  and (jobs.locked_at is null or jobs.locked_at < pg_catalog.now() - interval '4 hours')
  returning jobs.*;
end;
$function$;

CREATE OR REPLACE FUNCTION graphile_worker.remove_job(job_key text)
 RETURNS graphile_worker._private_jobs
 LANGUAGE plpgsql
 STRICT
AS $function$
declare
  job graphile_worker._private_jobs;
begin
  delete from graphile_worker._private_jobs as jobs
  where jobs.key = remove_job.job_key
  and (jobs.locked_at is null or jobs.locked_at < pg_catalog.now() - interval '4 hours')
  returning jobs.* into job;
  if found then
    perform pg_catalog.pg_notify('jobs:insert', '{"r":' || pg_catalog.random()::text || ',"count":-1}');
    return job;
  end if;

  update graphile_worker._private_jobs as jobs
  set key = null, attempts = jobs.max_attempts, updated_at = pg_catalog.now()
  where jobs.key = remove_job.job_key
  returning jobs.* into job;
  return job;
end;
$function$;

CREATE OR REPLACE FUNCTION graphile_worker.reschedule_jobs(job_ids bigint[], run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, priority integer DEFAULT NULL::integer, attempts integer DEFAULT NULL::integer, max_attempts integer DEFAULT NULL::integer)
 RETURNS SETOF graphile_worker._private_jobs
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
begin
  -- A bare cast would be folded while planning, and an out-of-range value refused
  -- even where no job matches; behind a subquery it is only made for a job.
  return query
  update graphile_worker._private_jobs as jobs
  set
    run_at = coalesce(reschedule_jobs.run_at, jobs.run_at),
    priority = coalesce((select reschedule_jobs.priority)::smallint, jobs.priority),
    attempts = coalesce((select reschedule_jobs.attempts)::smallint, jobs.attempts),
    max_attempts = coalesce((select reschedule_jobs.max_attempts)::smallint, jobs.max_attempts),
    updated_at = pg_catalog.now()
  where jobs.id = any ((select reschedule_jobs.job_ids)::bigint[])
  and (jobs.locked_at is null or jobs.locked_at < pg_catalog.now() - interval '4 hours')
  returning jobs.*;
end;
$function$;
