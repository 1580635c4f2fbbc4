-- name: JobList :many
-- Lists the jobs that match every filter given, in one of ten orders, each with its
-- state: what a worker that fetches now would make of it. The cursor is the value
-- that the last job of the page before has in that order, and its id.
--
-- To be planned for its parameters: those not given then cost nothing, and an order
-- or a filter that an index serves comes off it. Payloads that jsonb cannot hold, with
-- a \u0000, half a surrogate pair or an exponent of five digits, are never searched.
-- Names are looked up for the page alone, whatever the planner expects to find.
select
  jobs.id,
  jobs.task_id,
  tasks.identifier as task_identifier,
  jobs.job_queue_id,
  queues.queue_name,
  case when octet_length(jobs.payload::text) <= @payload_cap::integer then jobs.payload else 'null' end as payload,
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
  jobs.flags,
  jobs.state::text as state,
  queues.locked_at as queue_locked_at,
  queues.locked_by as queue_locked_by,
  case when @payload_cap::integer >= 0 then octet_length(jobs.payload::text) else 0 end::integer as payload_bytes
from (
  select jobs.*, states.state
  from graphile_worker._private_jobs as jobs
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
  where (sqlc.narg(ids)::bigint[] is null or jobs.id = any (sqlc.narg(ids)::bigint[]))
  and (sqlc.narg(states)::text[] is null or states.state = any (sqlc.narg(states)::text[]))
  and (sqlc.narg(task_identifiers)::text[] is null or case cardinality(sqlc.narg(task_identifiers)::text[]) when 1
    then jobs.task_id = (select tasks.id from graphile_worker._private_tasks as tasks where tasks.identifier = any (sqlc.narg(task_identifiers)::text[]))
    else jobs.task_id = any (array(select tasks.id from graphile_worker._private_tasks as tasks where tasks.identifier = any (sqlc.narg(task_identifiers)::text[]))) end)
  and (sqlc.narg(queue_names)::text[] is null or case cardinality(sqlc.narg(queue_names)::text[]) when 1
    then jobs.job_queue_id = (select queues.id from graphile_worker._private_job_queues as queues where queues.queue_name = any (sqlc.narg(queue_names)::text[]))
    else jobs.job_queue_id = any (array(select queues.id from graphile_worker._private_job_queues as queues where queues.queue_name = any (sqlc.narg(queue_names)::text[]))) end)
  and (sqlc.narg(keys)::text[] is null or jobs.key = any (sqlc.narg(keys)::text[]))
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
  -- What the states imply, for the indexes; and what is sure to match nothing, at once.
  and (sqlc.narg(states)::text[] <@ array['running', 'stale'] is not true or jobs.locked_at is not null)
  and (sqlc.narg(states)::text[] <@ array['permafailed'] is not true or jobs.attempts >= jobs.max_attempts)
  and (sqlc.narg(states)::text[] <@ array['scheduled', 'retrying', 'waiting', 'ready'] is not true or jobs.is_available)
  and (sqlc.narg(states)::text[] <@ array['scheduled', 'retrying'] is not true or jobs.run_at > now())
  and (sqlc.narg(states)::text[] <@ array['waiting', 'ready'] is not true or jobs.run_at <= now())
  and (sqlc.narg(states)::text[] <@ array['waiting'] is not true or jobs.job_queue_id = any (array(select queues.id from graphile_worker._private_job_queues as queues where queues.locked_at is not null)))
  and (sqlc.narg(states)::text[] <@ array['waiting'] is not true or exists (select queues.id from graphile_worker._private_job_queues as queues where queues.locked_at is not null))
  and (sqlc.narg(task_identifiers)::text[] is null or exists (select from graphile_worker._private_tasks as tasks where tasks.identifier = any (sqlc.narg(task_identifiers)::text[])))
  and (sqlc.narg(queue_names)::text[] is null or exists (select from graphile_worker._private_job_queues as queues where queues.queue_name = any (sqlc.narg(queue_names)::text[])))
  and (sqlc.narg(cursor_id)::bigint is null or case @sort::text
    when 'id' then jobs.id > sqlc.narg(cursor_id)::bigint
    when '-id' then jobs.id < sqlc.narg(cursor_id)::bigint
    when 'run_at' then (jobs.run_at, jobs.id) > (sqlc.narg(cursor_time)::text::timestamptz, sqlc.narg(cursor_id)::bigint)
    when '-run_at' then (jobs.run_at, jobs.id) < (sqlc.narg(cursor_time)::text::timestamptz, sqlc.narg(cursor_id)::bigint)
    when 'created_at' then (jobs.created_at, jobs.id) > (sqlc.narg(cursor_time)::text::timestamptz, sqlc.narg(cursor_id)::bigint)
    when '-created_at' then (jobs.created_at, jobs.id) < (sqlc.narg(cursor_time)::text::timestamptz, sqlc.narg(cursor_id)::bigint)
    when 'priority' then (jobs.priority, jobs.id) > (sqlc.narg(cursor_number)::integer, sqlc.narg(cursor_id)::bigint)
    when '-priority' then (jobs.priority, jobs.id) < (sqlc.narg(cursor_number)::integer, sqlc.narg(cursor_id)::bigint)
    when 'attempts' then (jobs.attempts, jobs.id) > (sqlc.narg(cursor_number)::integer, sqlc.narg(cursor_id)::bigint)
    when '-attempts' then (jobs.attempts, jobs.id) < (sqlc.narg(cursor_number)::integer, sqlc.narg(cursor_id)::bigint)
  end)
  order by
    case @sort::text when 'run_at' then jobs.run_at when 'created_at' then jobs.created_at end,
    case @sort::text when '-run_at' then jobs.run_at when '-created_at' then jobs.created_at end desc,
    case @sort::text when 'priority' then jobs.priority when 'attempts' then jobs.attempts end,
    case @sort::text when '-priority' then jobs.priority when '-attempts' then jobs.attempts end desc,
    case when @sort::text not like '-%' then jobs.id end,
    case when @sort::text like '-%' then jobs.id end desc
  limit @page_size::integer
) as jobs
left join graphile_worker._private_tasks as tasks on tasks.id = jobs.task_id
left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
order by
  case @sort::text when 'run_at' then jobs.run_at when 'created_at' then jobs.created_at end,
  case @sort::text when '-run_at' then jobs.run_at when '-created_at' then jobs.created_at end desc,
  case @sort::text when 'priority' then jobs.priority when 'attempts' then jobs.attempts end,
  case @sort::text when '-priority' then jobs.priority when '-attempts' then jobs.attempts end desc,
  case when @sort::text not like '-%' then jobs.id end,
  case when @sort::text like '-%' then jobs.id end desc;
