-- name: JobLock :many
-- Locks the jobs that JobMatch found and that have not changed since, until the end of the
-- transaction, and returns their ids. It waits for no lock: it leaves out a job that
-- another transaction has locked, changed or deleted. The subquery makes the planner look
-- up each id in the primary key, however many ids there are.
select locked.id
from (
  select pg_catalog.unnest(@ids::bigint[]) as id, pg_catalog.unnest(@versions::bigint[]) as version
) as matched
cross join lateral (
  select jobs.id
  from graphile_worker._private_jobs as jobs
  where jobs.id = matched.id and jobs.xmin::text::bigint = matched.version
  for update skip locked
) as locked;

-- name: JobMatch :many
-- Finds the jobs that match every filter that is not null, with ids greater than after_id
-- and up to last_id. If max_jobs is not null, it finds at most so many, those with the
-- smallest ids. It returns a row for each state: the number of jobs, the greatest id, and
-- the ids and row versions of the first max_ids jobs.
--
-- Needs a custom plan: without max_jobs only the ids are then sorted.
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
  pg_catalog.count(*)::bigint as jobs,
  pg_catalog.max(matched.id)::bigint as last_id,
  ((pg_catalog.array_agg(matched.id order by matched.id))[1:@max_ids::integer])::bigint[] as ids,
  ((pg_catalog.array_agg(matched.version order by matched.id))[1:@max_ids::integer])::bigint[] as versions
from matched
group by matched.state;

-- name: JobSpan :one
-- Reads the smallest and the greatest id of a job, 0 if there is no job, and the number of
-- pages of the table of jobs.
select
  coalesce((select pg_catalog.min(jobs.id) from graphile_worker._private_jobs as jobs), 0)::bigint as first_id,
  coalesce((select pg_catalog.max(jobs.id) from graphile_worker._private_jobs as jobs), 0)::bigint as last_id,
  (pg_catalog.pg_relation_size(relation.oid) / pg_catalog.current_setting('block_size')::bigint)::bigint as pages
from pg_catalog.pg_class as relation
join pg_catalog.pg_namespace as n on n.oid = relation.relnamespace
where n.nspname = 'graphile_worker' and relation.relname = '_private_jobs';
