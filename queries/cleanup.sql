-- name: JobCountPermafailed :one
-- Counts the jobs that JobDeletePermafailed would delete.
select count(*) from graphile_worker._private_jobs as jobs
where jobs.attempts >= jobs.max_attempts and jobs.locked_at is null;

-- name: JobDeletePermafailed :execrows
-- Deletes the jobs that have used up their attempts and that nobody holds.
delete from graphile_worker._private_jobs as jobs
where jobs.attempts >= jobs.max_attempts and jobs.locked_at is null;

-- name: QueueCountUnused :one
-- Counts the queues that QueueDeleteUnused would delete.
select count(*) from graphile_worker._private_job_queues as queues
where queues.locked_at is null
and not exists (select from graphile_worker._private_jobs as jobs where jobs.job_queue_id = queues.id);

-- name: QueueDeleteUnused :execrows
-- Deletes the queues that no job refers to and that nobody holds.
delete from graphile_worker._private_job_queues as queues
where queues.locked_at is null
and not exists (select from graphile_worker._private_jobs as jobs where jobs.job_queue_id = queues.id);

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
