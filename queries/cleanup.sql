-- name: JobCountPermafailed :one
-- Counts the jobs that JobDeletePermafailed would delete.
select pg_catalog.count(*) from graphile_worker._private_jobs as jobs
where jobs.attempts >= jobs.max_attempts and jobs.locked_at is null;

-- name: JobCountAddedTo :one
-- Counts the jobs with a greater id than after_id that are in one of these queues.
select pg_catalog.count(*) from graphile_worker._private_jobs as jobs
where jobs.id > @after_id::bigint and jobs.job_queue_id in (select pg_catalog.unnest(@queue_ids::integer[]));

-- name: JobDeletePermafailed :execrows
-- Deletes the unlocked, permanently failed jobs from first_id to last_id. Needs a custom
-- plan, so that the planner knows the range of ids.
delete from graphile_worker._private_jobs as jobs
where jobs.id between @first_id::bigint and @last_id::bigint
and jobs.attempts >= jobs.max_attempts and jobs.locked_at is null;

-- name: QueueDelete :many
-- Deletes the unlocked queues among the ids, except those that a job with a greater id
-- than after_id refers to, and returns their ids. Needs a custom plan, so that the planner
-- knows after_id.
delete from graphile_worker._private_job_queues as queues
where queues.id in (select pg_catalog.unnest(@ids::integer[])) and queues.locked_at is null
and queues.id not in (
  select jobs.job_queue_id from graphile_worker._private_jobs as jobs
  where jobs.id > @after_id::bigint and jobs.job_queue_id is not null
)
returning queues.id;

-- name: QueueUnusedIDs :many
-- Reads the ids of the unlocked queues that no job refers to, and in each row the greatest
-- id of a job. The query hashes the distinct queues of the jobs: this costs less than
-- hashing the jobs and can run in parallel.
select queues.id, coalesce((select pg_catalog.max(jobs.id) from graphile_worker._private_jobs as jobs), 0)::bigint as last_job_id
from graphile_worker._private_job_queues as queues
left join (
  select distinct jobs.job_queue_id from graphile_worker._private_jobs as jobs where jobs.job_queue_id is not null
) as used on used.job_queue_id = queues.id
where queues.locked_at is null and used.job_queue_id is null;

-- name: TaskCountUnused :one
-- Counts the tasks that TaskDeleteUnused would delete.
select pg_catalog.count(*) from graphile_worker._private_tasks as tasks
where not exists (select from graphile_worker._private_jobs as jobs where jobs.task_id = tasks.id)
and tasks.identifier <> all (@keep::text[]);

-- name: TaskDeleteUnused :execrows
-- Deletes the tasks that no job refers to, except those to keep.
delete from graphile_worker._private_tasks as tasks
where not exists (select from graphile_worker._private_jobs as jobs where jobs.task_id = tasks.id)
and tasks.identifier <> all (@keep::text[]);
