-- The view jobs: the stable, public interface to the private tables.

-- +goose Up
-- +goose StatementBegin
-- Only if it is missing, since replacing a view blocks everybody who reads it.
do $body$
begin
  if exists (
    select from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'graphile_worker' and c.relname = 'jobs'
  ) then
    return;
  end if;
  create view graphile_worker.jobs as
  select
    jobs.id,
    job_queues.queue_name,
    tasks.identifier as task_identifier,
    jobs.priority,
    jobs.run_at,
    jobs.attempts,
    jobs.max_attempts,
    jobs.last_error,
    jobs.created_at,
    jobs.updated_at,
    jobs.key,
    jobs.locked_at,
    jobs.locked_by,
    jobs.revision,
    jobs.flags
  from graphile_worker._private_jobs as jobs
  join graphile_worker._private_tasks as tasks on tasks.id = jobs.task_id
  left join graphile_worker._private_job_queues as job_queues on job_queues.id = jobs.job_queue_id;
end;
$body$;
-- +goose StatementEnd

-- +goose Down
drop view graphile_worker.jobs;
