-- The administrative functions: complete_jobs, permanently_fail_jobs,
-- reschedule_jobs, force_unlock_workers. A job is theirs to change when it is
-- unlocked, or when its lock is older than four hours.
--
-- The ids go through a subquery, so that the plan does not depend on how many they
-- are: with a long list in sight PostgreSQL would read the table in the order of
-- its pages, and lock rows in another order than a call with a short list does.

-- +goose Up
-- +goose StatementBegin
-- Deletes the unlocked jobs among the ids and returns them.
create or replace function graphile_worker.complete_jobs(job_ids bigint[])
returns setof graphile_worker._private_jobs
language plpgsql
as $body$
begin
  return query
  delete from graphile_worker._private_jobs as jobs
  where jobs.id = any ((select job_ids)::bigint[])
  and (jobs.locked_at is null or jobs.locked_at < pg_catalog.now() - interval '4 hours')
  returning jobs.*;
end;
$body$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Uses up the attempts of the unlocked jobs among the ids and returns them.
create or replace function graphile_worker.permanently_fail_jobs(
  job_ids bigint[],
  error_message text default null
) returns setof graphile_worker._private_jobs
language plpgsql
as $body$
begin
  return query
  update graphile_worker._private_jobs as jobs
  set
    last_error = coalesce(error_message, 'Manually marked as failed'),
    attempts = jobs.max_attempts,
    updated_at = pg_catalog.now()
  where jobs.id = any ((select job_ids)::bigint[])
  and (jobs.locked_at is null or jobs.locked_at < pg_catalog.now() - interval '4 hours')
  returning jobs.*;
end;
$body$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Sets what is given on the unlocked jobs among the ids and returns them.
create or replace function graphile_worker.reschedule_jobs(
  job_ids bigint[],
  run_at timestamp with time zone default null,
  priority integer default null,
  attempts integer default null,
  max_attempts integer default null
) returns setof graphile_worker._private_jobs
language plpgsql
as $body$
#variable_conflict use_column
begin
  -- A bare cast would be folded while planning, and an out-of-range value refused
  -- even where no job matches; behind a subquery it is only made for a job.
  return query
  update graphile_worker._private_jobs as jobs
  set
    run_at = coalesce(reschedule_jobs.run_at, jobs.run_at),
    priority = coalesce((select reschedule_jobs.priority)::smallint, jobs.priority),
    attempts = coalesce((select reschedule_jobs.attempts)::smallint, jobs.attempts),
    max_attempts = coalesce((select reschedule_jobs.max_attempts)::smallint, jobs.max_attempts),
    updated_at = pg_catalog.now()
  where jobs.id = any ((select reschedule_jobs.job_ids)::bigint[])
  and (jobs.locked_at is null or jobs.locked_at < pg_catalog.now() - interval '4 hours')
  returning jobs.*;
end;
$body$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Takes every lock these workers hold, on jobs and on queues.
create or replace function graphile_worker.force_unlock_workers(worker_ids text[])
returns void
language plpgsql
as $body$
begin
  update graphile_worker._private_jobs as jobs
  set locked_at = null, locked_by = null
  where jobs.locked_by = any (worker_ids);

  update graphile_worker._private_job_queues as queues
  set locked_at = null, locked_by = null
  where queues.locked_by = any (worker_ids);
end;
$body$;
-- +goose StatementEnd

-- +goose Down
drop function graphile_worker.force_unlock_workers;
drop function graphile_worker.reschedule_jobs;
drop function graphile_worker.permanently_fail_jobs;
drop function graphile_worker.complete_jobs;
