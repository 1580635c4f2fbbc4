-- name: QueueNames :many
-- Reads the names of the queues with these ids.
select queues.id, queues.queue_name from graphile_worker._private_job_queues as queues where queues.id = any (@ids::integer[]);

-- name: TaskNames :many
-- Reads the identifiers of the tasks with these ids.
select tasks.id, tasks.identifier from graphile_worker._private_tasks as tasks where tasks.id = any (@ids::integer[]);
