-- name: AdderJobAdd :many
-- Adds the jobs of many calls by add_jobs, each spec the text of a job_spec. The names of
-- tasks and queues that did not exist before are empty.
--
-- A lock that is not granted within lock_timeout is an error. That does not hold for the
-- commit, where all transactions that notify wait for each other. Generic plans are made
-- once for a session; to plan for the specs would take longer than to add some.
select
  {{template "columns"}},
  {{template "names"}}
from graphile_worker.add_jobs(
  case
    when pg_catalog.set_config('lock_timeout', @lock_timeout::text, true) is not null
    and pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true) is not null
    then cast(@specs::text[] as graphile_worker.job_spec[])
  end,
  @job_key_preserve_run_at::boolean
) as jobs
where case when jobs.id is not null then pg_catalog.set_config('lock_timeout', '0', true) is not null end;

-- name: AdderJobAddDeduped :many
-- Adds the jobs of many calls by add_job with unsafe_dedupe, each spec the text of a
-- job_spec with a key that no other has. Names and lock_timeout are as in AdderJobAdd.
select
  {{template "columns"}},
  {{template "names"}}
from pg_catalog.unnest(
  case when pg_catalog.set_config('lock_timeout', @lock_timeout::text, true) is not null then cast(@specs::text[] as graphile_worker.job_spec[]) end
) with ordinality as spec (identifier, payload, queue_name, run_at, max_attempts, job_key, priority, flags, place)
cross join lateral graphile_worker.add_job(
  identifier => spec.identifier,
  payload => spec.payload,
  queue_name => spec.queue_name,
  run_at => spec.run_at,
  max_attempts => spec.max_attempts,
  job_key => spec.job_key,
  priority => spec.priority,
  flags => spec.flags,
  job_key_mode => 'unsafe_dedupe'
) as jobs
where case when jobs.id is not null then spec.place < pg_catalog.cardinality(@specs::text[]) or pg_catalog.set_config('lock_timeout', '0', true) is not null end;

-- name: AdderTriggerFind :one
-- Says whether a trigger may change jobs as they are inserted.
select exists (
  select
  from pg_catalog.pg_trigger as trigger
  join pg_catalog.pg_class as relation on relation.oid = trigger.tgrelid
  join pg_catalog.pg_namespace as n on n.oid = relation.relnamespace
  where n.nspname = 'graphile_worker'
  and relation.relname = '_private_jobs'
  and trigger.tgtype::integer & 7 = 7 -- for each row, before, insert
  and trigger.tgenabled <> 'D'
);
