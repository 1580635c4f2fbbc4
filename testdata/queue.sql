-- Fills the empty queue of an installed schema graphile_worker with jobs like those
-- of a busy site that has not been tidied for a month. How many says the setting
-- gwadmin.jobs, five million by default:
--
--   select set_config('gwadmin.jobs', '100000', false);
--
-- Of 100 jobs 44 are scheduled, 43 ready, 8 have failed for good, and 5 are retried
-- later; 1000 are running and 50 stale, but no more than 1 of 100 and of 2000. There
-- are 30 tasks, the nth as common as 1/n, and the rare task_none without a job, and
-- 2000 queues on a fifth of the jobs, 20 of them held. Ids and created_at go together
-- but for minutes, run_at goes its own way. The dice fall the same each time.

select setseed(0.5);

insert into graphile_worker._private_tasks (identifier)
select 'task_' || n from generate_series(1, 30) as n
union all select 'task_rare'
union all select 'task_none';

insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by)
select
  'queue_' || n,
  case when n <= 20 then now() - n * interval '10 seconds' end,
  case when n <= 20 then 'worker-' || n % 10 end
from generate_series(1, 2000) as n;

with size as (
  select coalesce(nullif(current_setting('gwadmin.jobs', true), ''), '5000000')::integer as jobs
),
-- What is drawn is drawn once a job, in an order of its own.
drawn as materialized (
  select
    n,
    size.jobs,
    random() as fate,
    random() as delay,
    random() as task,
    random() as queue,
    random() as other,
    n % greatest(100, size.jobs / 1000) = 7 as is_running,
    n % greatest(2000, size.jobs / 50) = 11 as is_stale
  from size cross join generate_series(1, size.jobs) as n
),
fated as (
  select
    *,
    now() - interval '30 days' * (1 - n::float8 / jobs) - interval '10 minutes' * delay as created_at,
    not is_running and not is_stale and fate < 0.08 as is_failed,
    not is_running and not is_stale and fate >= 0.08 and fate < 0.13 as is_retried,
    not is_running and not is_stale and fate >= 0.13 and fate < 0.57 as is_scheduled
  from drawn
)
insert into graphile_worker._private_jobs (
  task_id, job_queue_id, payload, priority, run_at, attempts, max_attempts, last_error,
  created_at, updated_at, key, locked_at, locked_by, flags
)
select
  -- 31 ^ task is below 2 about a fifth of the time, below 3 for another ninth, and so on.
  case when n % 100000 = 13 then 31 else least(30, floor(31 ^ task)) end,
  case when queue < 0.2 then 1 + floor(queue * 10000) end,
  json_build_object(
    'to', 'user' || n % 100000 || '@example.com', 'template', 'template_' || n % 40, 'locale', 'en-GB',
    'order', json_build_object('id', n, 'total', floor(other * 10000)), 'trace', md5(n::text)
  ),
  floor(delay * 11) - 5,
  case
    when is_scheduled then now() + interval '30 days' * other
    when is_retried then now() + interval '1 day' * other
    else created_at + interval '1 hour' * other
  end,
  case when is_failed then 25 when is_retried then 1 + floor(other * 20) when is_running or is_stale then 1 else 0 end,
  25,
  case when is_failed or is_retried then
    (array['connect ECONNREFUSED 10.0.0.', 'Request failed with status code 50', 'no such user: ', 'timeout after '])[1 + n % 4]
    || n % 250 || E'\n    at run (/app/tasks/task.js:' || n % 90 || E':11)\n    at async doNext (/app/worker.js:120:9)'
  end,
  created_at,
  case when is_failed or is_retried then least(now(), created_at + interval '2 days' * other) else created_at end,
  case when n % 3 = 0 then 'user:' || n % 1000 || ':' || n end,
  case when is_running then now() - interval '1 hour' * other when is_stale then now() - interval '5 hours' - interval '1 day' * other end,
  case when is_running or is_stale then 'worker-' || n % 97 end,
  case when other < 0.02 then '{"gpu": true}'::jsonb when n % 500000 = 17 then '{"rare": true}'::jsonb end
from fated
order by n;

vacuum analyze graphile_worker._private_tasks, graphile_worker._private_job_queues, graphile_worker._private_jobs;
