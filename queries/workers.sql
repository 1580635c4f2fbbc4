-- name: WorkerLocks :many
-- Counts the locks of each of these workers, and reads the oldest and the newest.
with held_jobs as (
  select jobs.locked_by, jobs.locked_at from graphile_worker._private_jobs as jobs
  where jobs.locked_by = any (@worker_ids::text[])
), held_queues as (
  select queues.locked_by, queues.locked_at from graphile_worker._private_job_queues as queues
  where queues.locked_by = any (@worker_ids::text[])
){{template "worker locks"}}
group by asked.worker_id;

-- name: WorkerUnlock :many
-- Clears every lock of these workers, on jobs and on queues, by force_unlock_workers, and
-- counts the locks of each worker as WorkerLocks does. The rows are locked before they are
-- counted, so that the numbers are those of the cleared locks. They are locked in the order
-- of their ids, as in every other call.
with held_jobs as materialized (
  select jobs.locked_by, jobs.locked_at from graphile_worker._private_jobs as jobs
  where jobs.locked_by = any (@worker_ids::text[]) order by jobs.id for update
), held_queues as materialized (
  select queues.locked_by, queues.locked_at from graphile_worker._private_job_queues as queues
  where queues.locked_by = any (@worker_ids::text[]) order by queues.id for update
), unlocked as materialized (
  select graphile_worker.force_unlock_workers(@worker_ids::text[])
  from (select pg_catalog.count(*) from held_jobs) as jobs, (select pg_catalog.count(*) from held_queues) as queues
){{template "worker locks"}}
cross join (select pg_catalog.count(*) from unlocked) as done
group by asked.worker_id;
