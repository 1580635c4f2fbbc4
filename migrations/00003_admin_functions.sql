-- The administrative functions: complete_jobs, permanently_fail_jobs, reschedule_jobs and
-- force_unlock_workers. The first three change jobs that are unlocked, or whose lock is
-- older than four hours.
--
-- They take the ids from a subquery, so that the plan does not depend on their number.
-- Else PostgreSQL would read the table in the order of its pages for a long list, and lock
-- the rows in another order than for a short one.

-- +goose Up
-- +goose StatementBegin
-- Deletes the unlocked jobs with these ids and returns them.
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
-- Sets the attempts of the unlocked jobs with these ids to their maximum and returns the
-- jobs.
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
-- Sets the given values on the unlocked jobs with these ids and returns the jobs.
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
  -- In a subquery the casts are evaluated per job: a value out of range is no error if no
  -- job matches. Otherwise the planner would evaluate them.
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
-- Clears all locks of these workers on jobs and queues.
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
