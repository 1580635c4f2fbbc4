-- name: JobMoveStranded :many
-- Puts the unlocked jobs whose queue is gone into the queue with this id, and returns
-- their ids.
update graphile_worker._private_jobs as jobs
set job_queue_id = @queue_id::integer, updated_at = pg_catalog.now()
where jobs.job_queue_id is not null
and (jobs.locked_at is null or jobs.locked_at < pg_catalog.now() - interval '4 hours')
and not exists (select from graphile_worker._private_job_queues as queues where queues.id = jobs.job_queue_id)
returning jobs.id;

-- name: QueueEnsure :one
-- Adds a queue unless one has the name, and returns its id. It returns no row if another
-- transaction adds the queue at the same time.
with added as (
  insert into graphile_worker._private_job_queues as queues (queue_name)
  select @queue_name::text
  where not exists (select from graphile_worker._private_job_queues as queues where queues.queue_name = @queue_name::text)
  on conflict (queue_name) do nothing
  returning queues.id
)
select added.id from added
union all
select queues.id from graphile_worker._private_job_queues as queues where queues.queue_name = @queue_name::text
limit 1;

-- name: QueueMissing :many
-- Reads the ids of the missing queues that jobs refer to, with the number of these jobs.
select jobs.job_queue_id::integer as id, pg_catalog.count(*)::bigint as jobs
from graphile_worker._private_jobs as jobs
where jobs.job_queue_id is not null
and not exists (select from graphile_worker._private_job_queues as queues where queues.id = jobs.job_queue_id)
group by jobs.job_queue_id
order by jobs.job_queue_id;

-- name: QueueRestore :many
-- Adds queues with these ids and names, and returns the ids of the added queues. It skips
-- an id or a name that another queue has.
insert into graphile_worker._private_job_queues as queues (id, queue_name)
overriding system value
select pg_catalog.unnest(@ids::integer[]), pg_catalog.unnest(@names::text[])
on conflict do nothing
returning queues.id;
