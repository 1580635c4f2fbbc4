-- A job in every state but stranded, and the cron items nightly and new, in an empty schema.
insert into graphile_worker._private_tasks (identifier) values ('send'), ('resize');
insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by) values
  ('free', null, null), ('held', now() - interval '2 minutes', 'pool-1'), ('dead', now() - interval '5 hours', 'pool-2'),
  ('closed', 'infinity', 'gwadmin:paused:{"by":"ada","reason":"the shop is closed","since":"2026-01-02T03:04:05Z"}');
insert into graphile_worker._private_jobs (task_id, job_queue_id, priority, run_at, attempts, max_attempts, last_error, locked_at, locked_by) values
  (1, null, 0, now() - interval '10 minutes', 0, 25, null, null, null),
  (1, 1, 5, now() - interval '20 minutes', 0, 25, null, null, null),
  (2, 2, 0, now() - interval '30 minutes', 0, 25, null, null, null),
  (2, null, 0, now() + interval '10 minutes', 0, 25, null, null, null),
  (2, null, 0, now() + interval '5 minutes', 2, 25, 'no route to 10.0.0.1', null, null),
  (2, null, 0, 'infinity', 0, 25, null, null, null),
  (1, 2, 0, now() - interval '1 hour', 1, 25, null, now() - interval '2 minutes', 'pool-1'),
  (1, null, 0, now() - interval '1 hour', 1, 25, null, now() - interval '6 hours', 'pool-2'),
  (1, null, 0, now() - interval '1 hour', 3, 3, 'timeout after 10 s', null, null),
  (1, null, 0, now() - interval '1 hour', 3, 3, 'timeout after 20 s', null, null),
  (1, null, 0, now() - interval '1 hour', 3, 3, 'refused', null, null),
  (1, null, 0, now() - interval '1 hour', 3, 3, 'gone', null, null),
  (2, 4, 0, now() - interval '40 minutes', 0, 25, null, null, null);
insert into graphile_worker._private_known_crontabs (identifier, known_since, last_execution) values
  ('nightly', now() - interval '30 days', now() - interval '3 hours'), ('new', now(), null);
