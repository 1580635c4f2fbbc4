-- name: JobAdd :one
-- Adds one job, or updates the one that has its key, by add_job. No row comes back
-- when a worker locked that job while the call waited for it.
select
  job.id,
  job.task_id,
  job.job_queue_id,
  job.payload,
  job.priority,
  job.run_at,
  job.attempts,
  job.max_attempts,
  job.last_error,
  job.created_at,
  job.updated_at,
  job.key,
  job.locked_at,
  job.locked_by,
  job.revision,
  job.flags
from graphile_worker.add_job(
  identifier => @identifier::text,
  payload => sqlc.narg(payload)::text::json,
  queue_name => sqlc.narg(queue_name)::text,
  run_at => coalesce(sqlc.narg(run_at_infinity)::text::timestamptz, sqlc.narg(run_at)::timestamptz),
  max_attempts => sqlc.narg(max_attempts)::integer,
  job_key => sqlc.narg(job_key)::text,
  priority => sqlc.narg(priority)::integer,
  flags => sqlc.narg(flags)::text[],
  job_key_mode => sqlc.narg(job_key_mode)::text
) as job
where job.id is not null;

-- name: JobAddMany :many
-- Adds many jobs by add_jobs, each spec the text of a job_spec. A keyed job that
-- a worker locked while the call waited for it is missing from the rows.
select
  job.id,
  job.task_id,
  job.job_queue_id,
  job.payload,
  job.priority,
  job.run_at,
  job.attempts,
  job.max_attempts,
  job.last_error,
  job.created_at,
  job.updated_at,
  job.key,
  job.locked_at,
  job.locked_by,
  job.revision,
  job.flags
from graphile_worker.add_jobs(
  cast(@specs::text[] as graphile_worker.job_spec[]),
  @job_key_preserve_run_at::boolean
) as job;

-- name: JobAddManyIDs :many
-- Adds many jobs as JobAddMany does, and returns of each only its id and key.
select job.id, job.key
from graphile_worker.add_jobs(
  cast(@specs::text[] as graphile_worker.job_spec[]),
  @job_key_preserve_run_at::boolean
) as job;

-- name: JobComplete :many
-- Deletes the unlocked jobs among the ids by complete_jobs, and returns them as they
-- were.
select
  job.id,
  tasks.identifier as task_identifier,
  queues.queue_name,
  job.payload,
  job.priority,
  job.run_at,
  job.attempts,
  job.max_attempts,
  job.last_error,
  job.created_at,
  job.updated_at,
  job.key,
  job.locked_at,
  job.locked_by,
  job.revision,
  job.flags
from graphile_worker.complete_jobs(@ids::bigint[]) as job
left join graphile_worker._private_tasks as tasks on tasks.id = job.task_id
left join graphile_worker._private_job_queues as queues on queues.id = job.job_queue_id;

-- name: JobCompleteIDs :many
-- Deletes the unlocked jobs among the ids by complete_jobs, and returns their ids.
select done.id from graphile_worker.complete_jobs(@ids::bigint[]) as done;

-- name: JobFail :many
-- Fails the unlocked jobs among the ids for good by permanently_fail_jobs, and returns
-- them as they are now.
select
  job.id,
  tasks.identifier as task_identifier,
  queues.queue_name,
  job.payload,
  job.priority,
  job.run_at,
  job.attempts,
  job.max_attempts,
  job.last_error,
  job.created_at,
  job.updated_at,
  job.key,
  job.locked_at,
  job.locked_by,
  job.revision,
  job.flags
from graphile_worker.permanently_fail_jobs(@ids::bigint[], sqlc.narg(error_message)::text) as job
left join graphile_worker._private_tasks as tasks on tasks.id = job.task_id
left join graphile_worker._private_job_queues as queues on queues.id = job.job_queue_id;

-- name: JobFailIDs :many
-- Fails the unlocked jobs among the ids for good by permanently_fail_jobs, and
-- returns their ids.
select done.id from graphile_worker.permanently_fail_jobs(@ids::bigint[], sqlc.narg(error_message)::text) as done;

-- name: JobPreview :many
-- Looks at the jobs with these ids, changing nothing: a row for every id, with the job,
-- whether it exists, and whether a worker holds it.
--
-- With offset 0 it is one look into the primary key for each id, however many they are.
select
  asked.id::bigint as id,
  (job.id is not null)::boolean as found,
  coalesce(job.locked_at >= now() - interval '4 hours', false)::boolean as held,
  tasks.identifier as task_identifier,
  queues.queue_name,
  coalesce(job.payload, '{}')::json as payload,
  coalesce(job.priority, 0)::smallint as priority,
  job.run_at,
  coalesce(job.attempts, 0)::smallint as attempts,
  coalesce(job.max_attempts, 0)::smallint as max_attempts,
  job.last_error,
  coalesce(job.created_at, now())::timestamptz as created_at,
  coalesce(job.updated_at, now())::timestamptz as updated_at,
  job.key,
  job.locked_at,
  job.locked_by,
  coalesce(job.revision, 0)::integer as revision,
  job.flags
from unnest(@ids::bigint[]) as asked (id)
left join lateral (
  select jobs.* from graphile_worker._private_jobs as jobs where jobs.id = asked.id offset 0
) as job on true
left join graphile_worker._private_tasks as tasks on tasks.id = job.task_id
left join graphile_worker._private_job_queues as queues on queues.id = job.job_queue_id;

-- name: JobRemove :one
-- Removes the job with this key by remove_job. A locked job is left alone, unless
-- detach_locked is true: then it loses its key and is not retried. Always one row: the
-- job, or whether there is one and who holds it; with the id 0 when no job has the key.
with mine as materialized (
  select jobs.key
  from graphile_worker._private_jobs as jobs
  where jobs.key = @job_key::text
  and (jobs.locked_at is null or jobs.locked_at < now() - interval '4 hours')
  for update
)
select
  coalesce(done.id, held.id, 0)::bigint as id,
  (done.id is not null)::boolean as changed,
  (held.id is not null)::boolean as found,
  coalesce(tasks.identifier, '')::text as task_identifier,
  queues.queue_name,
  coalesce(done.payload, '{}')::json as payload,
  coalesce(done.priority, 0)::smallint as priority,
  done.run_at,
  coalesce(done.attempts, 0)::smallint as attempts,
  coalesce(done.max_attempts, 0)::smallint as max_attempts,
  done.last_error,
  coalesce(done.created_at, now())::timestamptz as created_at,
  coalesce(done.updated_at, now())::timestamptz as updated_at,
  done.key,
  done.locked_at,
  done.locked_by,
  coalesce(done.revision, 0)::integer as revision,
  done.flags,
  held.locked_at as held_at,
  held.locked_by as held_by,
  coalesce(held.locked_at >= now() - interval '4 hours', false)::boolean as held
from (values (1)) as one (row)
left join mine on true
left join lateral graphile_worker.remove_job(
  case when @detach_locked::boolean then @job_key::text else mine.key end
) as done on true
left join graphile_worker._private_jobs as held on held.key = case when done.id is null then @job_key::text end
left join graphile_worker._private_tasks as tasks on tasks.id = done.task_id
left join graphile_worker._private_job_queues as queues on queues.id = done.job_queue_id;

-- name: JobReschedule :many
-- Sets what is given on the unlocked jobs among the ids by reschedule_jobs, and returns
-- them as they are now.
select
  job.id,
  tasks.identifier as task_identifier,
  queues.queue_name,
  job.payload,
  job.priority,
  job.run_at,
  job.attempts,
  job.max_attempts,
  job.last_error,
  job.created_at,
  job.updated_at,
  job.key,
  job.locked_at,
  job.locked_by,
  job.revision,
  job.flags
from graphile_worker.reschedule_jobs(
  job_ids => @ids::bigint[],
  run_at => coalesce(sqlc.narg(run_at_infinity)::text::timestamptz, sqlc.narg(run_at)::timestamptz),
  priority => sqlc.narg(priority)::integer,
  attempts => sqlc.narg(attempts)::integer,
  max_attempts => sqlc.narg(max_attempts)::integer
) as job
left join graphile_worker._private_tasks as tasks on tasks.id = job.task_id
left join graphile_worker._private_job_queues as queues on queues.id = job.job_queue_id;

-- name: JobRescheduleIDs :many
-- Sets what is given on the unlocked jobs among the ids by reschedule_jobs, and returns
-- their ids.
select done.id
from graphile_worker.reschedule_jobs(
  job_ids => @ids::bigint[],
  run_at => coalesce(sqlc.narg(run_at_infinity)::text::timestamptz, sqlc.narg(run_at)::timestamptz),
  priority => sqlc.narg(priority)::integer,
  attempts => sqlc.narg(attempts)::integer,
  max_attempts => sqlc.narg(max_attempts)::integer
) as done;

-- name: JobRetry :many
-- Gives the unlocked jobs among the ids all their attempts again, from now on, by
-- reschedule_jobs, and returns them as they are now.
select
  job.id,
  tasks.identifier as task_identifier,
  queues.queue_name,
  job.payload,
  job.priority,
  job.run_at,
  job.attempts,
  job.max_attempts,
  job.last_error,
  job.created_at,
  job.updated_at,
  job.key,
  job.locked_at,
  job.locked_by,
  job.revision,
  job.flags
from graphile_worker.reschedule_jobs(job_ids => @ids::bigint[], run_at => now(), attempts => 0) as job
left join graphile_worker._private_tasks as tasks on tasks.id = job.task_id
left join graphile_worker._private_job_queues as queues on queues.id = job.job_queue_id;

-- name: JobRetryIDs :many
-- Gives the unlocked jobs among the ids all their attempts again, from now on, by
-- reschedule_jobs, and returns their ids.
select done.id from graphile_worker.reschedule_jobs(job_ids => @ids::bigint[], run_at => now(), attempts => 0) as done;
