-- name: QueueHeldIDs :many
-- Reads the ids of the locked queues.
select queues.id from graphile_worker._private_job_queues as queues where queues.locked_at is not null;

-- name: QueueNames :many
-- Reads the names of the queues with these ids.
select queues.id, queues.queue_name from graphile_worker._private_job_queues as queues where queues.id = any (@ids::integer[]);

-- name: QueueNamesFrom :many
-- Reads the first max_names names of queues that start with the prefix, in order.
select queues.queue_name
from graphile_worker._private_job_queues as queues
where pg_catalog.starts_with(queues.queue_name, @prefix::text)
order by queues.queue_name
limit @max_names::integer;

-- name: TaskIDs :many
-- Reads the ids of the tasks with these identifiers.
select tasks.id from graphile_worker._private_tasks as tasks where tasks.identifier = any (@identifiers::text[]);

-- name: TaskIdentifiers :many
-- Reads the identifiers of all tasks, in order.
select tasks.identifier from graphile_worker._private_tasks as tasks order by tasks.identifier;

-- name: TaskNames :many
-- Reads the identifiers of the tasks with these ids.
select tasks.id, tasks.identifier from graphile_worker._private_tasks as tasks where tasks.id = any (@ids::integer[]);

-- name: TimeNow :one
-- Reads the database's clock.
select pg_catalog.now()::timestamptz as now;
