-- name: JobCountPermafailed :one
-- Counts the jobs that JobDeletePermafailed would delete.
select count(*) from graphile_worker._private_jobs as jobs
where jobs.attempts >= jobs.max_attempts and jobs.locked_at is null;

-- name: JobCountInQueues :one
-- Counts the jobs whose queue is one of these.
select count(*) from graphile_worker._private_jobs as jobs where jobs.job_queue_id in (select unnest(@queue_ids::integer[]));

-- name: JobDeletePermafailed :one
-- Deletes the next jobs by id, at most max_jobs, that have used up their attempts and
-- that nobody holds. Says how many it found and deleted, and the greatest id of them.
with found as materialized (
  select jobs.id from graphile_worker._private_jobs as jobs
  where jobs.attempts >= jobs.max_attempts and jobs.locked_at is null and jobs.id > @after_id::bigint
  order by jobs.id
  limit @max_jobs::integer
), deleted as (
  delete from graphile_worker._private_jobs as jobs
  where jobs.id = any (array(select found.id from found))
  and jobs.attempts >= jobs.max_attempts and jobs.locked_at is null
  returning jobs.id
)
select
  (select count(*) from deleted)::bigint as deleted,
  (select count(*) from found)::bigint as found,
  (select coalesce(max(found.id), 0) from found)::bigint as last_id;

-- name: QueueDelete :many
-- Deletes those of the queues that nobody holds, and returns their ids.
delete from graphile_worker._private_job_queues as queues
where queues.id in (select unnest(@ids::integer[])) and queues.locked_at is null
returning queues.id;

-- name: QueueUnusedIDs :many
-- Reads the ids of the queues that no job refers to and that nobody holds. Hashing the
-- distinct queues of the jobs takes less than hashing the jobs.
select queues.id
from graphile_worker._private_job_queues as queues
left join (
  select distinct jobs.job_queue_id from graphile_worker._private_jobs as jobs where jobs.job_queue_id is not null
) as used on used.job_queue_id = queues.id
where queues.locked_at is null and used.job_queue_id is null;

-- name: TaskCountUnused :one
-- Counts the tasks that TaskDeleteUnused would delete.
select count(*) from graphile_worker._private_tasks as tasks
where not exists (select from graphile_worker._private_jobs as jobs where jobs.task_id = tasks.id)
and tasks.identifier <> all (@keep::text[]);

-- name: TaskDeleteUnused :execrows
-- Deletes the tasks that no job refers to, except those to keep.
delete from graphile_worker._private_tasks as tasks
where not exists (select from graphile_worker._private_jobs as jobs where jobs.task_id = tasks.id)
and tasks.identifier <> all (@keep::text[]);
