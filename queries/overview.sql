-- name: CrontabList :many
-- Lists the cron items that Graphile Worker knows, by identifier.
select crontabs.identifier, crontabs.known_since, crontabs.last_execution
from graphile_worker._private_known_crontabs as crontabs
order by crontabs.identifier;

-- name: JobCount :many
-- Counts the jobs: all jobs, by state, by task and state, by queue and state, by attempts,
-- and by the shape of their errors. The rows are in no order. The column part says which of
-- these a row is. If there is no job, the only row has a null part. An error's shape is its
-- first line, up to 200 characters of it, with a star for each word with a digit or an @,
-- each quoted part, and the query of a URL. Only the most frequent shapes, as many as the
-- parameter shapes says, have rows of their own; the other errors share one row. If
-- error_states is not null, only errors of jobs in these states count. If max_queues is not
-- null, only that many queues have rows, those with the most jobs, and the column queues is
-- the number of queues with jobs.
--
-- If pages is not null, only the jobs on these pages are counted. Each number then has the
-- sum of the squares of its numbers by page, for the margin of error. Needs a custom plan,
-- so that no other page is read.
--
-- It reads the jobs twice. There may be hundreds of thousands of queues: one pass would
-- need as many groups for each task, number of attempts and shape.
with jobs as not materialized (
  select
    case when sqlc.narg(pages)::bigint[] is null then 0 else (jobs.ctid::text::point)[0] end::bigint as page,
    jobs.id,
    jobs.task_id,
    jobs.job_queue_id,
    {{template "state"}} as state,
    jobs.run_at,
    jobs.attempts,
    jobs.last_error
  from graphile_worker._private_jobs as jobs
  left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
  where sqlc.narg(pages)::bigint[] is null or jobs.ctid = any (array(
    -- The greatest number of rows that a page can have.
    select ('(' || pages.page::text || ',' || places.place::text || ')')::tid
    from pg_catalog.unnest(sqlc.narg(pages)::bigint[]) as pages (page)
    cross join pg_catalog.generate_series(1, (pg_catalog.current_setting('block_size')::integer - 24) / 28) as places (place)
  ))
), counted as (
  select
    jobs.page,
    jobs.task_id,
    jobs.state,
    jobs.attempts,
    case when @shapes::integer > 0 and (sqlc.narg(error_states)::text[] is null or jobs.state = any (sqlc.narg(error_states)::text[])) then pg_catalog.left(pg_catalog.regexp_replace(
      pg_catalog.rtrim(pg_catalog.split_part(pg_catalog.ltrim(pg_catalog.left(jobs.last_error, 200), E' \t\r\n'), E'\n', 1), E' \t\r'),
      '"[^"]*(?:"|$)|`[^`]*(?:`|$)|\Y''[^'']*(?:''\Y|$)|\?\S*=\S*|[\w.:%+-]*[\d@][\w.:%+@-]*',
      '*', 'g'
    ), 100) end::text as shape,
    pg_catalog.count(*) as jobs,
    pg_catalog.min(jobs.run_at) filter (where pg_catalog.isfinite(jobs.run_at)) as first_run_at,
    pg_catalog.min(jobs.id) as first_id
  from jobs
  group by 1, 2, 3, 4, 5
), parts as (
  select
    counted.page,
    case
      when grouping(counted.shape) = 0 then 'error'
      when grouping(counted.attempts) = 0 then 'attempts'
      when grouping(counted.task_id) = 0 then 'task'
      when grouping(counted.state) = 0 then 'state'
      else 'all'
    end as part,
    counted.task_id,
    counted.state,
    counted.attempts,
    counted.shape,
    pg_catalog.sum(counted.jobs)::bigint as jobs,
    pg_catalog.min(counted.first_run_at) as first_run_at,
    pg_catalog.min(counted.first_id) as first_id
  from counted
  group by grouping sets (
    (counted.page),
    (counted.page, counted.state),
    (counted.page, counted.task_id, counted.state),
    (counted.page, counted.attempts),
    (counted.page, counted.shape)
  )
), frequent as (
  select parts.shape from parts
  where parts.part = 'error' and parts.shape is not null
  group by parts.shape
  order by pg_catalog.sum(parts.jobs) desc, parts.shape collate "C"
  limit @shapes::integer
), merged as (
  select
    parts.page, parts.part, parts.task_id, parts.state, parts.attempts, frequent.shape,
    pg_catalog.sum(parts.jobs)::bigint as jobs,
    pg_catalog.min(parts.first_run_at) as first_run_at,
    pg_catalog.min(parts.first_id) as first_id
  from parts
  left join frequent on frequent.shape = parts.shape
  where parts.part <> 'error' or parts.shape is not null
  group by 1, 2, 3, 4, 5, 6
), queued as (
  select jobs.page, jobs.job_queue_id, jobs.state, pg_catalog.count(*) as jobs
  from jobs
  where jobs.job_queue_id is not null and sqlc.narg(max_queues)::integer is distinct from 0
  group by 1, 2, 3
), longest as (
  select queued.job_queue_id from queued
  group by queued.job_queue_id
  order by pg_catalog.sum(queued.jobs) desc, queued.job_queue_id
  limit sqlc.narg(max_queues)::integer
), summed as (
  select
    merged.part, merged.task_id, null::integer as job_queue_id, merged.state, merged.attempts::integer as attempts, merged.shape::text as shape,
    pg_catalog.sum(merged.jobs)::bigint as jobs,
    pg_catalog.sum(merged.jobs::double precision ^ 2::double precision)::double precision as squares,
    pg_catalog.max(merged.jobs)::bigint as most,
    pg_catalog.min(merged.first_run_at)::timestamptz as first_run_at,
    pg_catalog.min(merged.first_id)::bigint as first_id
  from merged
  group by 1, 2, 3, 4, 5, 6
  union all
  select
    'queue', null, queued.job_queue_id, queued.state, null, null,
    pg_catalog.sum(queued.jobs)::bigint, pg_catalog.sum(queued.jobs::double precision ^ 2::double precision), pg_catalog.max(queued.jobs), null, null
  from queued
  where sqlc.narg(max_queues)::integer is null or queued.job_queue_id in (select longest.job_queue_id from longest)
  group by queued.job_queue_id, queued.state
)
select
  summed.part,
  tasks.identifier as task_identifier,
  queues.queue_name,
  summed.state,
  coalesce(summed.attempts, 0)::integer as attempts,
  summed.shape,
  coalesce(summed.jobs, 0)::bigint as jobs,
  coalesce(summed.squares, 0)::double precision as squares,
  coalesce(summed.most, 0)::bigint as most,
  summed.first_run_at,
  coalesce(summed.first_id, 0)::bigint as first_id,
  (case when sqlc.narg(max_queues)::integer > 0 then (select pg_catalog.count(distinct queued.job_queue_id) from queued) else 0 end)::bigint as queues,
  coalesce(case when summed.part = 'error' then (
    select pg_catalog.left(examples.last_error, 200) from graphile_worker._private_jobs as examples
    where examples.id = summed.first_id
  ) end, '')::text as example
from (values (1)) as one (row)
left join summed on true
left join graphile_worker._private_tasks as tasks on tasks.id = summed.task_id
left join graphile_worker._private_job_queues as queues on queues.id = summed.job_queue_id;

-- name: JobTimes :one
-- Reads the earliest finite run_at of a ready job and the earliest finite run_at in the
-- future, from the index that workers fetch by. It reads the first 1000 priorities, and of
-- each the first 100 jobs that are due and the next job that is not. Certain is true if no
-- other job can be earlier. The queues are subqueries for each job, which the planner cannot
-- replace by a hash of all queues. It also reads the index entries of taken and deleted jobs until
-- the index is vacuumed.
with recursive priorities as ({{template "priorities"}}
), firsts as (
  select
    priorities.place,
    due.oldest_ready,
    case when due.jobs = 100 and due.oldest_ready is null then due.newest end as unknown_from,
    (
      select jobs.run_at from graphile_worker._private_jobs as jobs
      where jobs.is_available and jobs.priority = priorities.priority and jobs.run_at > pg_catalog.now() and jobs.run_at < 'infinity'
      and (jobs.job_queue_id is null or (select true from graphile_worker._private_job_queues as queues where queues.id = jobs.job_queue_id))
      order by jobs.run_at
      limit 1
    ) as next_run_at
  from priorities
  cross join lateral (
    select
      pg_catalog.count(*) as jobs,
      pg_catalog.max(turns.run_at) as newest,
      pg_catalog.min(turns.run_at) filter (where turns.job_queue_id is null or (
        select queues.is_available from graphile_worker._private_job_queues as queues where queues.id = turns.job_queue_id
      )) as oldest_ready
    from (
      select jobs.run_at, jobs.job_queue_id from graphile_worker._private_jobs as jobs
      where jobs.is_available and jobs.priority = priorities.priority and jobs.run_at > '-infinity' and jobs.run_at <= pg_catalog.now()
      order by jobs.run_at
      limit 100
    ) as turns
  ) as due
  where priorities.place <= 1000
), times as (
  select
    pg_catalog.min(firsts.oldest_ready)::timestamptz as oldest_ready,
    pg_catalog.min(firsts.next_run_at)::timestamptz as next_run_at,
    pg_catalog.min(firsts.unknown_from) as unknown_from
  from firsts
)
select
  times.oldest_ready,
  times.next_run_at,
  (
    (times.unknown_from is null or coalesce(times.unknown_from >= times.oldest_ready, false))
    and not exists (select from priorities where priorities.place > 1000)
  )::boolean as certain
from (values (1)) as one (row)
left join times on true;

-- name: QueueList :many
-- Lists all queues with their locks, by name.
select queues.queue_name, queues.locked_at, queues.locked_by
from graphile_worker._private_job_queues as queues
order by queues.queue_name;

-- name: WorkerList :many
-- Counts the locks of each worker that holds any, by its id. A pause is no lock of a worker.
with locks as (
  select jobs.locked_by, jobs.locked_at, true as is_job from graphile_worker._private_jobs as jobs
  where jobs.locked_at is not null
  union all
  select queues.locked_by, queues.locked_at, false from graphile_worker._private_job_queues as queues
  where queues.locked_at is not null and {{template "paused"}} is not true
)
select
  coalesce(locks.locked_by, '')::text as worker_id,
  (pg_catalog.count(*) filter (where locks.is_job))::bigint as jobs,
  (pg_catalog.count(*) filter (where not locks.is_job))::bigint as queues,
  (pg_catalog.count(*) filter (where locks.locked_at < pg_catalog.now() - interval '4 hours'))::bigint as stale,
  pg_catalog.min(locks.locked_at)::timestamptz as oldest,
  pg_catalog.max(locks.locked_at)::timestamptz as newest,
  {{template "newest age"}} as newest_age
from locks
group by locks.locked_by
order by 1;

-- name: QueuePage :many
-- Reads queues in the order of their names, after a name, without counting their jobs.
select queues.queue_name, queues.locked_at, queues.locked_by
from graphile_worker._private_job_queues as queues
where pg_catalog.starts_with(queues.queue_name, @prefix::text)
  and (queues.queue_name > @after::text or @after::text = '')
  and (queues.locked_at is not null or not @only_locked::boolean)
order by queues.queue_name
limit @max_queues::integer;
