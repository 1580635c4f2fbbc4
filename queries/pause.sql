-- name: QueueFree :execrows
-- Clears this lock of a queue if the job does not have the same lock.
update graphile_worker._private_job_queues as queues
set locked_at = null, locked_by = null
where queues.id = @id::integer
and (queues.locked_at, queues.locked_by) = (@locked_at::timestamptz, @locked_by::text)
and not exists (
  select from graphile_worker._private_jobs as jobs
  where jobs.id = @job_id::bigint and (jobs.locked_at, jobs.locked_by) = (@locked_at::timestamptz, @locked_by::text)
);

-- name: QueueGet :many
-- Reads the queue with this name and its lock.
select queues.id, queues.locked_at, queues.locked_by
from graphile_worker._private_job_queues as queues
where queues.queue_name = @queue_name::text;

-- name: QueueHolder :many
-- Reads the job of the queue that a worker took last and still holds. It reads all jobs
-- unless there is an index for it.
select jobs.id, jobs.locked_at, jobs.locked_by::text as locked_by
from graphile_worker._private_jobs as jobs
where jobs.job_queue_id = @id::integer and jobs.locked_at is not null and jobs.locked_by is not null
order by jobs.locked_at desc, jobs.id desc
limit 1;

-- name: QueueLock :many
-- Locks the row of the queue with this name until the end of the transaction, and reads it
-- as QueueGet does.
select queues.id, queues.locked_at, queues.locked_by
from graphile_worker._private_job_queues as queues
where queues.queue_name = @queue_name::text
for update;

-- name: QueueSet :exec
-- Sets the lock of a queue. Null clears it. The idle workers are told to look for jobs.
with queue as (
  update graphile_worker._private_job_queues as queues
  set locked_at = sqlc.narg(locked_at)::timestamptz, locked_by = sqlc.narg(locked_by)::text
  where queues.id = @id::integer
  returning queues.locked_at
)
select pg_catalog.pg_notify('jobs:insert', pg_catalog.json_build_object('r', pg_catalog.random(), 'count', 1)::text) from queue where queue.locked_at is null;

-- name: QueueWriters :many
-- Reads which transactions of other sessions may be changing queues, by their locks on the
-- table.
select distinct locks.virtualtransaction::text as transaction
from pg_catalog.pg_locks as locks
join pg_catalog.pg_class as relation on relation.oid = locks.relation
join pg_catalog.pg_namespace as n on n.oid = relation.relnamespace
join pg_catalog.pg_database as database on database.oid = locks.database
where locks.locktype = 'relation' and locks.mode = 'RowExclusiveLock' and locks.granted
and locks.pid <> pg_catalog.pg_backend_pid()
and database.datname = pg_catalog.current_database()
and n.nspname = 'graphile_worker' and relation.relname = '_private_job_queues';
