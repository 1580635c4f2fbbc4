-- name: JobLock :many
-- Locks those of the jobs that JobMatch found which are still as it found them, until
-- the end of the transaction, and returns their ids. It waits for nobody: a job that
-- another transaction is changing, or has changed or deleted since, is left out.
-- The subquery makes it one look into the primary key for each, whatever their number.
select locked.id
from (
  select unnest(@ids::bigint[]) as id, unnest(@versions::bigint[]) as version
) as matched
cross join lateral (
  select jobs.id
  from graphile_worker._private_jobs as jobs
  where jobs.id = matched.id and jobs.xmin::text::bigint = matched.version
  for update skip locked
) as locked;

-- name: JobMatch :many
-- Finds the jobs that match every filter given, from after_id to last_id; with max_jobs
-- so many of them, those with the smallest ids. A row for each state says how many they
-- are, the greatest id, and of the first max_ids of them the ids and the versions of
-- their rows.
--
-- Needs a custom plan: without max_jobs nothing is then sorted but the ids.
with matched as materialized (
  select jobs.id, jobs.xmin::text::bigint as version, {{template "state"}} as state
  from graphile_worker._private_jobs as jobs
  left join graphile_worker._private_job_queues as queues on queues.id = jobs.job_queue_id
  where jobs.id > @after_id::bigint and jobs.id <= @last_id::bigint
  and {{template "filter"}}
  order by case when sqlc.narg(max_jobs)::bigint is not null then jobs.id end
  limit sqlc.narg(max_jobs)::bigint
)
select
  matched.state,
  count(*)::bigint as jobs,
  max(matched.id)::bigint as last_id,
  ((array_agg(matched.id order by matched.id))[1:@max_ids::integer])::bigint[] as ids,
  ((array_agg(matched.version order by matched.id))[1:@max_ids::integer])::bigint[] as versions
from matched
group by matched.state;

-- name: JobSpan :one
-- Reads the least and the greatest id, 0 where there is no job, and how many pages the
-- table of jobs has.
select
  coalesce((select min(jobs.id) from graphile_worker._private_jobs as jobs), 0)::bigint as first_id,
  coalesce((select max(jobs.id) from graphile_worker._private_jobs as jobs), 0)::bigint as last_id,
  (pg_relation_size(relation.oid) / current_setting('block_size')::bigint)::bigint as pages
from pg_catalog.pg_class as relation
join pg_catalog.pg_namespace as n on n.oid = relation.relnamespace
where n.nspname = 'graphile_worker' and relation.relname = '_private_jobs';
