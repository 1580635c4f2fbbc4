-- name: JobGet :many
-- Reads the job with this id, with its state and its whole payload.
select
  {{template "columns"}},
  coalesce(tasks.identifier, '')::text as task_identifier,
  queues.queue_name,
  {{template "state"}} as state,
  queues.locked_at as queue_locked_at,
  queues.locked_by as queue_locked_by,
  pg_catalog.octet_length(jobs.payload::text)::integer as payload_bytes
from graphile_worker._private_jobs as jobs
left join graphile_worker._private_tasks as tasks on tasks.id = jobs.task_id
left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
where jobs.id = @id::bigint;

-- name: JobGetByKey :many
-- Reads the job with this key as JobGet does.
select
  {{template "columns"}},
  coalesce(tasks.identifier, '')::text as task_identifier,
  queues.queue_name,
  {{template "state"}} as state,
  queues.locked_at as queue_locked_at,
  queues.locked_by as queue_locked_by,
  pg_catalog.octet_length(jobs.payload::text)::integer as payload_bytes
from graphile_worker._private_jobs as jobs
left join graphile_worker._private_tasks as tasks on tasks.id = jobs.task_id
left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
where jobs.key = @key::text;

-- name: JobList :many
-- Lists the jobs that match every filter that is not null, with their states, in one of ten
-- orders. The cursor is the id of the last job of the previous page and its value of the
-- sort column. Payloads larger than payload_cap bytes are null. If payload_cap is -1, all
-- payloads are null.
--
-- Needs a custom plan: an index can then serve the order or a filter. Names and states are
-- read only for the jobs of the page.
select
  {{template "columns"}},
  coalesce(tasks.identifier, '')::text as task_identifier,
  queues.queue_name,
  {{template "state"}} as state,
  queues.locked_at as queue_locked_at,
  queues.locked_by as queue_locked_by,
  jobs.payload_bytes::integer as payload_bytes
from (
  select
    jobs.id,
    jobs.task_id,
    jobs.job_queue_id,
    (case when pg_catalog.octet_length(jobs.payload::text) <= @payload_cap::integer then jobs.payload end)::json as payload,
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
    case when @payload_cap::integer >= 0 then pg_catalog.octet_length(jobs.payload::text) else 0 end as payload_bytes
  from graphile_worker._private_jobs as jobs
  left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
  where {{template "filter"}}
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
  order by {{template "order"}}
  limit @page_size::integer
) as jobs
left join graphile_worker._private_tasks as tasks on tasks.id = jobs.task_id
left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
order by {{template "order"}};
