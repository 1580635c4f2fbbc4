-- name: WorkerLocks :many
-- Counts what each of these workers holds, and since when.
with locks as (
  select
    both_kinds.locked_by,
    count(*) filter (where both_kinds.is_job) as jobs,
    count(*) filter (where not both_kinds.is_job) as queues,
    min(both_kinds.locked_at)::timestamptz as oldest,
    max(both_kinds.locked_at)::timestamptz as newest
  from (
    select jobs.locked_by, jobs.locked_at, true as is_job from graphile_worker._private_jobs as jobs
    where jobs.locked_by = any (@worker_ids::text[])
    union all
    select queues.locked_by, queues.locked_at, false from graphile_worker._private_job_queues as queues
    where queues.locked_by = any (@worker_ids::text[])
  ) as both_kinds
  group by both_kinds.locked_by
)
select
  asked.worker_id::text as worker_id,
  coalesce(held.jobs, 0)::bigint as jobs,
  coalesce(held.queues, 0)::bigint as queues,
  held.oldest,
  held.newest
from unnest(@worker_ids::text[]) as asked (worker_id)
left join locks as held on held.locked_by = asked.worker_id;

-- name: WorkerUnlock :many
-- Takes every lock that these workers hold, on jobs and on queues, by
-- force_unlock_workers, and counts for each worker what it held, and since when.
-- The rows are locked before they are counted, so that the count is what was unlocked.
with held_jobs as materialized (
  select jobs.locked_by, jobs.locked_at from graphile_worker._private_jobs as jobs
  where jobs.locked_by = any (@worker_ids::text[]) for update
), held_queues as materialized (
  select queues.locked_by, queues.locked_at from graphile_worker._private_job_queues as queues
  where queues.locked_by = any (@worker_ids::text[]) for update
), locks as materialized (
  select
    both_kinds.locked_by,
    count(*) filter (where both_kinds.is_job) as jobs,
    count(*) filter (where not both_kinds.is_job) as queues,
    min(both_kinds.locked_at)::timestamptz as oldest,
    max(both_kinds.locked_at)::timestamptz as newest
  from (
    select held_jobs.locked_by, held_jobs.locked_at, true as is_job from held_jobs
    union all
    select held_queues.locked_by, held_queues.locked_at, false from held_queues
  ) as both_kinds
  group by both_kinds.locked_by
), unlocked as materialized (
  select graphile_worker.force_unlock_workers(@worker_ids::text[]) from (select count(*) from locks) as counted
)
select
  asked.worker_id::text as worker_id,
  coalesce(held.jobs, 0)::bigint as jobs,
  coalesce(held.queues, 0)::bigint as queues,
  held.oldest,
  held.newest
from unnest(@worker_ids::text[]) as asked (worker_id)
left join locks as held on held.locked_by = asked.worker_id
cross join (select count(*) from unlocked) as done;
