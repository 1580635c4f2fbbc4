-- name: CrontabList :many
-- Lists what Graphile Worker remembers of its cron items.
select crontabs.identifier, crontabs.known_since, crontabs.last_execution
from graphile_worker._private_known_crontabs as crontabs
order by crontabs.identifier;

-- name: JobCount :many
-- Counts the jobs of each state, task and queue, with the first finite run_at among
-- them. The states are those of JobList. Where there is no job, the one row has no
-- state.
with counted as (
  select
    jobs.task_id,
    jobs.job_queue_id,
    case
      when jobs.locked_at < now() - interval '4 hours' then 'stale'
      when jobs.locked_at is not null then 'running'
      when jobs.attempts >= jobs.max_attempts then 'permafailed'
      when jobs.run_at > now() and jobs.attempts > 0 then 'retrying'
      when jobs.run_at > now() then 'scheduled'
      when queues.locked_at is not null then 'waiting'
      else 'ready'
    end::text as state,
    count(*)::bigint as jobs,
    (min(jobs.run_at) filter (where isfinite(jobs.run_at)))::timestamptz as first_run_at
  from graphile_worker._private_jobs as jobs
  left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
  group by 1, 2, 3
)
select
  tasks.identifier as task_identifier,
  queues.queue_name,
  counted.state,
  counted.jobs,
  counted.first_run_at
from (values (1)) as one (row)
left join counted on true
left join graphile_worker._private_tasks as tasks on tasks.id = counted.task_id
left join graphile_worker._private_job_queues as queues on queues.id = counted.job_queue_id;

-- name: QueueList :many
-- Lists the queues, with who holds them.
select queues.queue_name, queues.locked_at, queues.locked_by
from graphile_worker._private_job_queues as queues
order by queues.queue_name;

-- name: TaskList :many
-- Lists the tasks.
select tasks.id, tasks.identifier from graphile_worker._private_tasks as tasks order by tasks.identifier;

-- name: WorkerList :many
-- Lists who holds locks, and what.
with locks as (
  select jobs.locked_by, jobs.locked_at, true as is_job from graphile_worker._private_jobs as jobs
  where jobs.locked_at is not null
  union all
  select queues.locked_by, queues.locked_at, false from graphile_worker._private_job_queues as queues
  where queues.locked_at is not null
)
select
  coalesce(locks.locked_by, '')::text as worker_id,
  (count(*) filter (where locks.is_job))::bigint as jobs,
  (count(*) filter (where not locks.is_job))::bigint as queues,
  (count(*) filter (where locks.locked_at < now() - interval '4 hours'))::bigint as stale,
  min(locks.locked_at)::timestamptz as oldest,
  max(locks.locked_at)::timestamptz as newest
from locks
group by locks.locked_by
order by 1;
