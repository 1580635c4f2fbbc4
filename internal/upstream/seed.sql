-- Jobs in every state. A job is named by the state in its payload, where it has
-- one. See SeedStates.

select count(graphile_worker.add_job(
  identifier => 'seed',
  payload => json_build_object('state', state),
  queue_name => queue_name,
  run_at => run_at,
  max_attempts => max_attempts,
  job_key => job_key,
  priority => priority,
  flags => flags
))
from (values
  -- state                  queue       run_at                    max   key                  priority flags
  ('ready',                 null,       null::timestamptz,        null::int, null,                 null::int, null::text[]),
  ('urgent',                null,       null,                     null, null,                 -5,      null),
  ('unhurried',             null,       null,                     null, null,                 32767,   null),
  ('always',                null,       '-infinity',              null, null,                 null,    null),
  ('scheduled',             null,       '2100-01-01T00:00:00Z',   null, null,                 null,    null),
  ('never',                 null,       'infinity',               null, null,                 null,    null),
  ('running',               null,       null,                     null, null,                 null,    null),
  ('running-last-attempt',  null,       null,                     3,    null,                 null,    null),
  ('stale',                 null,       null,                     null, null,                 null,    null),
  ('stale-last-attempt',    null,       null,                     1,    null,                 null,    null),
  ('queued',                'free',     null,                     null, null,                 null,    null),
  ('queued-behind',         'free',     null,                     null, null,                 null,    null),
  ('queue-running',         'busy',     null,                     null, null,                 null,    null),
  ('queue-waiting',         'busy',     null,                     null, null,                 null,    null),
  ('queue-stale',           'lost',     null,                     null, null,                 null,    null),
  ('queue-stale-waiting',   'lost',     null,                     null, null,                 null,    null),
  ('retrying',              null,       '2100-01-01T00:00:00Z',   null, null,                 null,    null),
  ('permafailed',           null,       null,                     null, null,                 null,    null),
  ('exhausted',             'failures', null,                     2,    null,                 null,    null),
  ('beyond-max-attempts',   null,       null,                     null, null,                 null,    null),
  ('negative-attempts',     null,       null,                     null, null,                 null,    null),
  ('keyed',                 null,       null,                     null, 'keyed',              null,    null),
  ('keyed-running',         null,       null,                     null, 'keyed-running',      null,    null),
  ('keyed-permafailed',     null,       null,                     1,    'keyed-permafailed',  null,    null),
  ('flagged',               null,       null,                     null, null,                 null,    array['gpu', 'snow ☃']),
  ('empty-queue-name',      '',         null,                     null, null,                 null,    null)
) as seed (state, queue_name, run_at, max_attempts, job_key, priority, flags);

select count(*) from graphile_worker.add_jobs(array[
  row('seed', '{"state": "bulk"}', 'free', null, null, null, null, null),
  row('seed', '{"state": "bulk-keyed"}', null, null, 5, 'bulk-keyed', 1, array['gpu'])
]::graphile_worker.job_spec[]);

-- Payloads and names that are easy to get wrong.
select count(graphile_worker.add_job(identifier, payload::json, queue_name, job_key => job_key))
from (values
  ('payloads',                  'null',                                         null,               null),
  ('payloads',                  '[]',                                           null,               null),
  ('payloads',                  '[{"n": 1}, {"n": 2}]',                         null,               null),
  ('payloads',                  '"text"',                                       null,               null),
  ('payloads',                  'false',                                        null,               null),
  ('payloads',                  '{"b" : 1,  "a":2, "b": 12345678901234567890}', null,               null),
  ('payloads',                  '{"state": "unicode", "text": "naïve 日本 👩‍🚀 \" \u2028"}', null,       null),
  ('заказ/отправить 📦',        '{"state": "unicode-names"}',                   '行列 "q" \ ''x''', 'clé 🔑'),
  ('',                          '{"state": "empty-identifier"}',                null,               null),
  (repeat('t', 128),            '{"state": "longest-names"}',                   repeat('q', 128),   repeat('k', 512))
) as seed (identifier, payload, queue_name, job_key);

-- A key used again: the payloads are joined and the revision goes up.
select count(graphile_worker.add_job('payloads', payload::json, job_key => 'joined'))
from (values ('[1]'), ('[2]')) as seed (payload);

-- What workers did to them, and when.
update graphile_worker._private_jobs as jobs
set
  attempts = seed.attempts,
  locked_at = now() - locked_for,
  locked_by = seed.locked_by,
  last_error = seed.last_error
from (values
  ('running',               1,  interval '1 second',  'worker-busy',   null),
  ('running-last-attempt',  3,  interval '1 minute',  'worker-busy',   'second time unlucky'),
  ('keyed-running',         1,  interval '1 second',  'worker-other',  null),
  ('queue-running',         1,  interval '1 second',  'worker-busy',   null),
  ('stale',                 1,  interval '5 hours',   'worker-lost',   null),
  ('stale-last-attempt',    1,  interval '5 hours',   'worker-lost',   null),
  ('queue-stale',           1,  interval '5 hours',   'worker-lost',   null),
  ('retrying',              3,  null,                 null,            E'no route to host\nat line 2 – ошибка'),
  ('exhausted',             2,  null,                 null,            'out of attempts'),
  ('beyond-max-attempts',   30, null,                 null,            'tried and tried'),
  ('keyed-permafailed',     1,  null,                 null,            '')
) as seed (state, attempts, locked_for, locked_by, last_error)
where jobs.payload ->> 'state' = seed.state;

update graphile_worker._private_job_queues as queues
set locked_at = now() - locked_for, locked_by = seed.locked_by
from (values
  ('busy', interval '1 second', 'worker-busy'),
  ('lost', interval '5 hours',  'worker-lost')
) as seed (queue_name, locked_for, locked_by)
where queues.queue_name = seed.queue_name;

select count(*) from graphile_worker.permanently_fail_jobs(
  array(select id from graphile_worker._private_jobs where payload ->> 'state' = 'permafailed'),
  'given up'
);
select count(*) from graphile_worker.reschedule_jobs(
  array(select id from graphile_worker._private_jobs where payload ->> 'state' = 'negative-attempts'),
  attempts => -2
);

-- What no job refers to.
insert into graphile_worker._private_tasks (identifier) values ('unused task');
insert into graphile_worker._private_job_queues (queue_name) values ('unused queue');
insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by) values
  ('unused busy queue', now(), 'worker-busy'),
  ('unused lost queue', now() - interval '5 hours', 'worker-lost');

insert into graphile_worker._private_known_crontabs (identifier, known_since, last_execution) values
  ('hourly', '2024-01-01T00:00:00Z', '2024-06-01T12:00:00Z'),
  ('new ☃', '2024-01-01T00:00:00.123456Z', null);
