-- name: TaskListUndeclared :many
-- Lists the tasks that have jobs and are not declared, with the number of their jobs, the
-- number of these that have attempts left, and the time when the oldest was added. It reads
-- no job if every task is declared, and all jobs otherwise.
with undeclared as materialized (
  select tasks.id, tasks.identifier from graphile_worker._private_tasks as tasks
  where tasks.identifier not in (select pg_catalog.unnest(@declared::text[]))
), counted as (
  select
    jobs.task_id,
    pg_catalog.count(*) as jobs,
    pg_catalog.count(*) filter (where jobs.attempts < jobs.max_attempts) as pending,
    pg_catalog.min(jobs.created_at) as oldest
  from graphile_worker._private_jobs as jobs
  where exists (select from undeclared) and jobs.task_id in (select undeclared.id from undeclared)
  group by jobs.task_id
)
select undeclared.identifier, counted.jobs, counted.pending, counted.oldest::timestamptz as oldest
from undeclared
join counted on counted.task_id = undeclared.id
order by undeclared.identifier collate "C";
