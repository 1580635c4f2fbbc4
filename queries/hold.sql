-- name: JobHold :many
-- Puts the unlocked jobs among the ids on hold, except those that are, and returns the
-- updated rows. They never become due, and locked_by says when they would have. Neither
-- workers nor the SQL functions look at locked_by of a job that is not locked.
with held as (
  update graphile_worker._private_jobs as jobs
  set
    locked_by = 'gwadmin:held:' || pg_catalog.json_build_object('by', @actor::text, 'since', pg_catalog.now(), 'run_at', jobs.run_at)::text,
    locked_at = null,
    run_at = 'infinity',
    updated_at = pg_catalog.now()
  where jobs.id in (select pg_catalog.unnest(@ids::bigint[]))
  and (jobs.locked_at is null or jobs.locked_at < pg_catalog.now() - interval '4 hours')
  and {{template "on hold"}} is not true
  returning *
)
select
  {{template "columns"}},
  {{template "names"}}
from held as jobs;

-- name: JobRelease :many
-- Gives the jobs among the ids that are on hold their run_at again, and returns the updated
-- rows.
with released as (
  update graphile_worker._private_jobs as jobs
  set
    run_at = (pg_catalog.substr(jobs.locked_by, pg_catalog.length('gwadmin:held:') + 1)::json ->> 'run_at'::text)::timestamptz,
    locked_by = null,
    updated_at = pg_catalog.now()
  where jobs.id in (select pg_catalog.unnest(@ids::bigint[]))
  and {{template "on hold"}}
  returning *
)
select
  {{template "columns"}},
  {{template "names"}}
from released as jobs;
