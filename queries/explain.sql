-- name: JobAhead :one
-- Counts the ready jobs that workers take before a job of this priority, run_at and id, up
-- to max_jobs. It reads them from the index that workers fetch by, priority by priority: at
-- most max_rows entries of due jobs, and the first 1000 priorities. Waiting jobs are not
-- counted. Certain is true if neither bound was reached. Oldest_of_task is the earliest
-- run_at among those of the task.
with recursive priorities as (
  (
    select 1 as place, jobs.priority from graphile_worker._private_jobs as jobs
    where jobs.is_available and jobs.priority <= @priority::integer
    order by jobs.priority
    limit 1
  )
  union all
  select priorities.place + 1, following.priority
  from priorities
  cross join lateral (
    select jobs.priority from graphile_worker._private_jobs as jobs
    where jobs.is_available and jobs.priority > priorities.priority and jobs.priority <= @priority::integer
    order by jobs.priority
    limit 1
  ) as following
  where priorities.place <= 1000
), due as (
  select due.task_id, due.job_queue_id, due.run_at
  from priorities
  cross join lateral (
    select jobs.task_id, jobs.job_queue_id, jobs.run_at
    from graphile_worker._private_jobs as jobs
    where jobs.is_available and jobs.priority = priorities.priority
    and jobs.run_at <= case when priorities.priority = @priority::integer then least(@run_at::timestamptz, pg_catalog.now()) else pg_catalog.now() end
    and (priorities.priority < @priority::integer or (jobs.run_at, jobs.id) < (@run_at::timestamptz, @id::bigint))
    order by jobs.run_at
    limit @max_rows::integer
  ) as due
  limit @max_rows::integer
), ready as (
  select due.task_id, due.run_at from due
  left join graphile_worker._private_job_queues as queues on queues.id = due.job_queue_id
  where due.job_queue_id is null or queues.is_available
  limit @max_jobs::integer
)
select
  (select pg_catalog.count(*) from ready)::bigint as jobs,
  ((select pg_catalog.count(*) from due) < @max_rows::integer and not exists (select from priorities where priorities.place > 1000))::boolean as certain,
  (select pg_catalog.min(ready.run_at) from ready where ready.task_id = @task_id::integer)::timestamptz as oldest_of_task;

-- name: JobHolders :one
-- Reads what workers hold now: how many jobs, how many of this task, when the last one of
-- the task and the last one of this worker was taken, and which job of the queue this worker
-- holds, 0 if none. It reads all jobs unless there is an index for it.
select
  pg_catalog.count(*)::bigint as jobs,
  (pg_catalog.count(*) filter (where jobs.task_id = @task_id::integer))::bigint as of_task,
  (pg_catalog.max(jobs.locked_at) filter (where jobs.locked_by = sqlc.narg(worker_id)::text and pg_catalog.isfinite(jobs.locked_at)))::timestamptz as worker_newest,
  coalesce((pg_catalog.array_agg(jobs.id order by jobs.locked_at desc) filter (
    where jobs.job_queue_id = sqlc.narg(queue_id)::integer and jobs.locked_by = sqlc.narg(worker_id)::text
  ))[1], 0)::bigint as queue_job
from graphile_worker._private_jobs as jobs
where jobs.locked_at is not null;

-- name: JobTransactions :many
-- Reads the open transactions that have locked or changed the row of the job, or the row of
-- its queue. The time is null if the role may not see it. A row that several transactions
-- have locked at once is not seen.
select rows.part::text as part, coalesce(locks.pid, 0)::integer as pid, activity.xact_start::timestamptz as begun
from (
  select 'job' as part, jobs.xmax::text as changer from graphile_worker._private_jobs as jobs where jobs.id = @id::bigint
  union all
  select 'queue', queues.xmax::text from graphile_worker._private_job_queues as queues where queues.id = sqlc.narg(queue_id)::integer
) as rows
join pg_catalog.pg_locks as locks on locks.locktype = 'transactionid' and locks.mode = 'ExclusiveLock' and locks.granted and locks.transactionid::text = rows.changer
left join pg_catalog.pg_stat_activity as activity on activity.pid = locks.pid
where locks.pid is distinct from pg_catalog.pg_backend_pid()
order by rows.part;

-- name: ServerBurden :one
-- Reads what slows all workers: the oldest transaction of the database whose snapshot keeps
-- dead rows, as far as the role may see it, and the dead rows of the table of jobs.
select
  coalesce(oldest.pid, 0)::integer as pid,
  oldest.xact_start::timestamptz as begun,
  stats.n_live_tup::bigint as live_rows,
  stats.n_dead_tup::bigint as dead_rows,
  greatest(stats.last_vacuum, stats.last_autovacuum)::timestamptz as vacuumed
from pg_catalog.pg_stat_all_tables as stats
left join (
  select activity.pid, activity.xact_start
  from pg_catalog.pg_stat_activity as activity
  where activity.datname = pg_catalog.current_database() and activity.backend_xmin is not null and activity.pid <> pg_catalog.pg_backend_pid()
  order by activity.xact_start
  limit 1
) as oldest on true
where stats.schemaname = 'graphile_worker' and stats.relname = '_private_jobs';
