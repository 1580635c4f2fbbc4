-- The functions of producers: add_job, add_jobs and remove_job.

-- +goose Up
-- +goose StatementBegin
-- Adds one job with scalar statements. PostgreSQL keeps their plans for the whole
-- session; a call of add_jobs would be planned each time.
create or replace function graphile_worker.add_job(
  identifier text,
  payload json default null,
  queue_name text default null,
  run_at timestamp with time zone default null,
  max_attempts integer default null,
  job_key text default null,
  priority integer default null,
  flags text[] default null,
  job_key_mode text default 'replace'
) returns graphile_worker._private_jobs
language plpgsql
as $body$
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

  -- As upstream: a number out of range fails before a task or queue is added, or with
  -- unsafe_dedupe after it.
  if not dedupe then
    most := coalesce(add_job.max_attempts, 25);
    rank := coalesce(add_job.priority, 0);
  end if;

  -- Reading existing tasks and queues neither locks them nor spends an identity value.
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
  if dedupe then
    most := coalesce(add_job.max_attempts, 25);
    rank := coalesce(add_job.priority, 0);
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
      most,
      add_job.job_key,
      rank,
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

  -- An insert without on conflict is cheaper, and without a key there is no conflict.
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

  -- A job that is locked or permafailed loses its key and is not retried.
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
$body$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Adds many jobs. It inserts and returns them in the order of their specs.
create or replace function graphile_worker.add_jobs(
  specs graphile_worker.job_spec[],
  job_key_preserve_run_at boolean default false
) returns setof graphile_worker._private_jobs
language plpgsql
as $body$
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

  -- An insert without on conflict is cheaper, and without keys there is no conflict.
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

  -- Jobs that are locked or permafailed lose their key and are not retried.
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
$body$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Deletes the job with this key. A job that is locked loses its key instead, and is not
-- retried.
create or replace function graphile_worker.remove_job(job_key text)
returns graphile_worker._private_jobs
language plpgsql
strict
as $body$
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
$body$;
-- +goose StatementEnd

-- +goose Down
drop function graphile_worker.remove_job;
drop function graphile_worker.add_jobs;
drop function graphile_worker.add_job;
