-- name: JobHolders :many
-- Reads who holds which of the ids' jobs. Those that nobody holds, or not any more,
-- are missing.
select jobs.id, jobs.locked_at, jobs.locked_by
from graphile_worker._private_jobs as jobs
where jobs.id = any ((select @ids::bigint[])::bigint[])
and jobs.locked_at >= now() - interval '4 hours';

-- name: JobLastID :one
-- Reads the greatest id; 0 where there is no job.
select coalesce(max(jobs.id), 0)::bigint as id from graphile_worker._private_jobs as jobs;

-- name: JobLock :many
-- Locks those of the jobs that JobMatch found which are still as it found them, until
-- the end of the transaction, and returns their ids. It waits for nobody: a job that
-- another transaction is changing, or has changed or deleted since, is left out.
-- The subquery makes it one look into the primary key for each, whatever their number.
select locked.id
from (
  select unnest(@ids::bigint[]) as id, unnest(@versions::text[]) as version
) as matched
cross join lateral (
  select jobs.id
  from graphile_worker._private_jobs as jobs
  where jobs.id = matched.id and jobs.xmin::text = matched.version
  for update skip locked
) as locked;

-- name: JobMatch :many
-- Looks at the next jobs by id, as many as the window has, and finds the first of them
-- that match every filter given, as many as max_jobs says: for each state how many they
-- are, and of the first of these the ids and the versions of their rows. Every row
-- has the id up to which it has looked. Where nothing matches, the one row has no state.
--
-- The filters are JobList's, and so are the states. To be planned for its parameters.
-- The window is a subquery with a limit of its own, so that it is read off the primary
-- key, or by the ids or keys asked for, whatever the planner expects of the filters.
-- These are looked for there alone: before PostgreSQL 14 to look a second time goes
-- through all of them for each job.
with matched as (
  select jobs.id, jobs.version, states.state
  from (
    select jobs.*, jobs.xmin::text as version
    from graphile_worker._private_jobs as jobs
    where jobs.id > @after_id::bigint and jobs.id <= @last_id::bigint
    and (sqlc.narg(ids)::bigint[] is null or jobs.id = any (sqlc.narg(ids)::bigint[]))
    and (sqlc.narg(keys)::text[] is null or jobs.key = any (sqlc.narg(keys)::text[]))
    order by jobs.id
    limit @window_size::bigint
  ) as jobs
  cross join lateral (
    select case
      when jobs.locked_at < now() - interval '4 hours' then 'stale'
      when jobs.locked_at is not null then 'running'
      when jobs.attempts >= jobs.max_attempts then 'permafailed'
      when jobs.run_at > now() and jobs.attempts > 0 then 'retrying'
      when jobs.run_at > now() then 'scheduled'
      when jobs.job_queue_id = any (array(select queues.id from graphile_worker._private_job_queues as queues where queues.locked_at is not null)) then 'waiting'
      else 'ready'
    end as state
  ) as states
  cross join lateral (
    select (
      strpos(jobs.payload::text, '\u') = 0
      or regexp_replace(jobs.payload::text, '\\\\|\\ud[89ab]..\\ud[c-f]..', '', 'gi') !~* '\\u(0000|d[89a-f])'
    ) and (
      jobs.payload::text !~ '[0-9][eE][-+]?[0-9]{5}'
      or regexp_replace(jobs.payload::text, '"([^"\\]|\\.)*"', '', 'g') !~ '[0-9][eE][-+]?[0-9]{5}'
    ) as is_jsonb
  ) as payloads
  where (sqlc.narg(states)::text[] is null or states.state = any (sqlc.narg(states)::text[]))
  and (sqlc.narg(task_identifiers)::text[] is null or case cardinality(sqlc.narg(task_identifiers)::text[]) when 1
    then jobs.task_id = (select tasks.id from graphile_worker._private_tasks as tasks where tasks.identifier = any (sqlc.narg(task_identifiers)::text[]))
    else jobs.task_id = any (array(select tasks.id from graphile_worker._private_tasks as tasks where tasks.identifier = any (sqlc.narg(task_identifiers)::text[]))) end)
  and (sqlc.narg(queue_names)::text[] is null or case cardinality(sqlc.narg(queue_names)::text[]) when 1
    then jobs.job_queue_id = (select queues.id from graphile_worker._private_job_queues as queues where queues.queue_name = any (sqlc.narg(queue_names)::text[]))
    else jobs.job_queue_id = any (array(select queues.id from graphile_worker._private_job_queues as queues where queues.queue_name = any (sqlc.narg(queue_names)::text[]))) end)
  and (sqlc.narg(key_prefix)::text is null or jobs.key like regexp_replace(sqlc.narg(key_prefix)::text, '([\\%_])', '\\\1', 'g') || '%')
  and (sqlc.narg(worker_ids)::text[] is null or jobs.locked_by = any (sqlc.narg(worker_ids)::text[]))
  and (sqlc.narg(flags)::text[] is null or jobs.flags ?| sqlc.narg(flags)::text[])
  and (sqlc.narg(min_priority)::integer is null or jobs.priority >= sqlc.narg(min_priority)::integer)
  and (sqlc.narg(max_priority)::integer is null or jobs.priority <= sqlc.narg(max_priority)::integer)
  and (sqlc.narg(min_attempts)::integer is null or jobs.attempts >= sqlc.narg(min_attempts)::integer)
  and (sqlc.narg(max_attempts)::integer is null or jobs.attempts <= sqlc.narg(max_attempts)::integer)
  and (sqlc.narg(run_from)::timestamptz is null or jobs.run_at >= sqlc.narg(run_from)::timestamptz)
  and (sqlc.narg(run_before)::timestamptz is null or jobs.run_at < sqlc.narg(run_before)::timestamptz)
  and (sqlc.narg(created_from)::timestamptz is null or jobs.created_at >= sqlc.narg(created_from)::timestamptz)
  and (sqlc.narg(created_before)::timestamptz is null or jobs.created_at < sqlc.narg(created_before)::timestamptz)
  and (sqlc.narg(updated_from)::timestamptz is null or jobs.updated_at >= sqlc.narg(updated_from)::timestamptz)
  and (sqlc.narg(updated_before)::timestamptz is null or jobs.updated_at < sqlc.narg(updated_before)::timestamptz)
  and (sqlc.narg(locked_from)::timestamptz is null or jobs.locked_at >= sqlc.narg(locked_from)::timestamptz)
  and (sqlc.narg(locked_before)::timestamptz is null or jobs.locked_at < sqlc.narg(locked_before)::timestamptz)
  and (sqlc.narg(error_text)::text is null or strpos(lower(jobs.last_error), lower(sqlc.narg(error_text)::text)) > 0)
  and (sqlc.narg(payload_contains)::text is null or case when payloads.is_jsonb
    then jobs.payload::jsonb @> sqlc.narg(payload_contains)::text::jsonb else false end)
  and (sqlc.narg(payload_path)::text is null or case when payloads.is_jsonb
    then jobs.payload::jsonb @? sqlc.narg(payload_path)::text::jsonpath else false end)
  order by jobs.id
  limit sqlc.narg(max_jobs)::bigint
)
select
  coalesce(found.state, '')::text as state,
  coalesce(found.jobs, 0)::bigint as jobs,
  coalesce(found.ids, '{}')::bigint[] as ids,
  coalesce(found.versions, '{}')::text[] as versions,
  coalesce(case
    when (select count(*) from matched) >= sqlc.narg(max_jobs)::bigint then (select max(matched.id) from matched)
    else (
      select max(seen.id)
      from (
        select jobs.id
        from graphile_worker._private_jobs as jobs
        where jobs.id > @after_id::bigint and jobs.id <= @last_id::bigint
        and (sqlc.narg(ids)::bigint[] is null or jobs.id = any (sqlc.narg(ids)::bigint[]))
        and (sqlc.narg(keys)::text[] is null or jobs.key = any (sqlc.narg(keys)::text[]))
        order by jobs.id
        limit @window_size::bigint
      ) as seen
    )
  end, @last_id::bigint)::bigint as seen_id
from (values (1)) as one (row)
left join (
  select
    matched.state,
    count(*) as jobs,
    (array_agg(matched.id order by matched.id))[1:@max_ids::integer] as ids,
    (array_agg(matched.version order by matched.id))[1:@max_ids::integer] as versions
  from matched
  group by matched.state
) as found on true;
