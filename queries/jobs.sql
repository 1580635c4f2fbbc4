-- name: JobAdd :one
-- Adds one job by add_job, or updates the job that has its key. It returns no row if a
-- worker locked that job while the call waited for it.
select
  {{template "columns"}},
  {{template "unnamed"}}
from graphile_worker.add_job(
  identifier => @identifier::text,
  payload => sqlc.narg(payload)::text::json,
  queue_name => sqlc.narg(queue_name)::text,
  run_at => coalesce(sqlc.narg(run_at)::timestamptz, pg_catalog.now() + sqlc.narg(run_in)::interval),
  max_attempts => sqlc.narg(max_attempts)::integer,
  job_key => sqlc.narg(job_key)::text,
  priority => sqlc.narg(priority)::integer,
  flags => sqlc.narg(flags)::text[],
  job_key_mode => sqlc.narg(job_key_mode)::text
) as jobs
where jobs.id is not null;

-- name: JobAddMany :many
-- Adds many jobs by add_jobs. Each spec is the text of a job_spec. It returns no row for a
-- key whose job a worker locked while the call waited for it.
select
  {{template "columns"}},
  {{template "unnamed"}}
from graphile_worker.add_jobs(
  cast(@specs::text[] as graphile_worker.job_spec[]),
  @job_key_preserve_run_at::boolean
) as jobs;

-- name: JobAddManyIDs :many
-- Adds many jobs as JobAddMany does, and returns only their ids and keys.
select jobs.id, jobs.key
from graphile_worker.add_jobs(
  cast(@specs::text[] as graphile_worker.job_spec[]),
  @job_key_preserve_run_at::boolean
) as jobs;

-- name: JobComplete :many
-- Deletes the unlocked jobs among the ids by complete_jobs, and returns the deleted rows.
select
  {{template "columns"}},
  {{template "names"}}
from graphile_worker.complete_jobs(@ids::bigint[]) as jobs;

-- name: JobCompleteIDs :many
-- Deletes the unlocked jobs among the ids by complete_jobs, and returns their ids.
select jobs.id from graphile_worker.complete_jobs(@ids::bigint[]) as jobs;

-- name: JobFail :many
-- Permanently fails the unlocked jobs among the ids by permanently_fail_jobs, and returns
-- the updated rows.
select
  {{template "columns"}},
  {{template "names"}}
from graphile_worker.permanently_fail_jobs(@ids::bigint[], sqlc.narg(error_message)::text) as jobs;

-- name: JobFailIDs :many
-- Permanently fails the unlocked jobs among the ids by permanently_fail_jobs, and returns
-- their ids.
select jobs.id from graphile_worker.permanently_fail_jobs(@ids::bigint[], sqlc.narg(error_message)::text) as jobs;

-- name: JobLocks :many
-- Reads for each id whether its job exists, whether a worker holds it, which worker and
-- since when, and whether it is on hold. Secured is true if row security applies to the role. The role may then not
-- see every job.
--
-- Offset 0 makes the planner look up each id in the primary key, however many ids there
-- are.
select
  asked.id::bigint as id,
  (jobs.id is not null)::boolean as found,
  coalesce(jobs.locked_at >= pg_catalog.now() - interval '4 hours', false)::boolean as held,
  jobs.locked_at,
  jobs.locked_by,
  coalesce({{template "on hold"}}, false)::boolean as on_hold,
  coalesce((
    select pg_catalog.row_security_active(relation.oid)
    from pg_catalog.pg_class as relation
    join pg_catalog.pg_namespace as n on n.oid = relation.relnamespace
    where n.nspname = 'graphile_worker' and relation.relname = '_private_jobs'
  ), true)::boolean as secured
from pg_catalog.unnest(@ids::bigint[]) as asked (id)
left join lateral (
  select jobs.id, jobs.run_at, jobs.locked_at, jobs.locked_by
  from graphile_worker._private_jobs as jobs
  where jobs.id = asked.id
  offset 0
) as jobs on true;

-- name: JobLook :many
-- Reads the jobs with these ids. An id without a job has no row.
select
  {{template "columns"}},
  coalesce(tasks.identifier, '')::text as task_identifier,
  queues.queue_name
from pg_catalog.unnest(@ids::bigint[]) as asked (id)
cross join lateral (
  select jobs.* from graphile_worker._private_jobs as jobs where jobs.id = asked.id offset 0
) as jobs
left join graphile_worker._private_tasks as tasks on tasks.id = jobs.task_id
left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id;

-- name: JobRemove :many
-- Removes the job with this key by remove_job, and returns it. It leaves a locked job alone
-- and returns no row for it, unless detach_locked is true. Then a locked job loses its key
-- and is not retried.
with mine as materialized (
  select jobs.key
  from graphile_worker._private_jobs as jobs
  where jobs.key = @job_key::text
  and (jobs.locked_at is null or jobs.locked_at < pg_catalog.now() - interval '4 hours')
  for update
)
select
  {{template "columns"}},
  {{template "names"}}
from graphile_worker.remove_job(
  case when @detach_locked::boolean then @job_key::text else (select mine.key from mine) end
) as jobs
where jobs.id is not null;

-- name: JobReschedule :many
-- Sets the values that are not null on the unlocked jobs among the ids by reschedule_jobs,
-- and returns the updated rows.
select
  {{template "columns"}},
  {{template "names"}}
from graphile_worker.reschedule_jobs(
  job_ids => @ids::bigint[],
  run_at => coalesce(sqlc.narg(run_at)::timestamptz, pg_catalog.now() + sqlc.narg(run_in)::interval),
  priority => sqlc.narg(priority)::integer,
  attempts => sqlc.narg(attempts)::integer,
  max_attempts => sqlc.narg(max_attempts)::integer
) as jobs;

-- name: JobRescheduleIDs :many
-- Sets the values that are not null on the unlocked jobs among the ids by reschedule_jobs,
-- and returns their ids.
select jobs.id
from graphile_worker.reschedule_jobs(
  job_ids => @ids::bigint[],
  run_at => coalesce(sqlc.narg(run_at)::timestamptz, pg_catalog.now() + sqlc.narg(run_in)::interval),
  priority => sqlc.narg(priority)::integer,
  attempts => sqlc.narg(attempts)::integer,
  max_attempts => sqlc.narg(max_attempts)::integer
) as jobs;
