-- name: TaskListUndeclared :many
-- Lists the tasks that have jobs and are not declared: how many jobs each has, how many
-- of these a worker may still take, and when the oldest was added. It reads no job where
-- every task is declared, and goes through all of them otherwise.
with undeclared as materialized (
  select tasks.id, tasks.identifier from graphile_worker._private_tasks as tasks
  where tasks.identifier not in (select unnest(@declared::text[]))
), counted as (
  select
    jobs.task_id,
    count(*) as jobs,
    count(*) filter (where jobs.attempts < jobs.max_attempts) as pending,
    min(jobs.created_at) as oldest
  from graphile_worker._private_jobs as jobs
  where exists (select from undeclared) and jobs.task_id in (select undeclared.id from undeclared)
  group by jobs.task_id
)
select undeclared.identifier, counted.jobs, counted.pending, counted.oldest::timestamptz as oldest
from undeclared
join counted on counted.task_id = undeclared.id
order by undeclared.identifier collate "C";
