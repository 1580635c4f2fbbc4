-- name: DueCount :one
-- Counts the jobs that are due and not taken, up to a maximum, of the first 1000 priorities.
-- It reads only the index that workers fetch by.
with recursive priorities as ({{template "priorities"}}
)
select pg_catalog.count(*)::bigint as jobs
from (
  select
  from priorities
  cross join lateral (
    select from graphile_worker._private_jobs as jobs
    where jobs.is_available and jobs.priority = priorities.priority and jobs.run_at <= pg_catalog.now()
    limit @most::integer
  ) as turns
  limit @most::integer
) as due;

-- name: PausedQueueCount :one
-- Counts the paused queues.
select pg_catalog.count(*)::bigint as queues from graphile_worker._private_job_queues as queues
where queues.locked_at is not null and {{template "paused"}};

-- name: ReadingBegin :one
-- Makes the rest of the transaction read-only, bounds each statement in it, and returns the
-- database's time. It also turns off just-in-time compilation, which takes longer here than
-- it saves.
select
  pg_catalog.now()::timestamptz as at,
  (
    pg_catalog.set_config('transaction_read_only', 'on', true) is not null
    and pg_catalog.set_config('statement_timeout', @statement_timeout::text, true) is not null
    and pg_catalog.set_config('jit', 'off', true) is not null
  )::boolean as configured;

-- name: ServerActivityGet :one
-- Reads how full the queue of notifications is, and the oldest transaction of the database:
-- of a client or prepared. The role sees the transactions of other roles if it may use
-- pg_read_all_stats.
with transactions as (
  select
    activity.xact_start as since,
    activity.pid,
    activity.state,
    activity.application_name as name,
    false as prepared
  from pg_catalog.pg_stat_activity as activity
  where activity.datname = pg_catalog.current_database()
  and activity.backend_type = 'client backend'
  and activity.pid <> pg_catalog.pg_backend_pid()
  and activity.xact_start is not null
  union all
  select prepared.prepared, null, null, prepared.gid, true
  from pg_catalog.pg_prepared_xacts as prepared
  where prepared.database = pg_catalog.current_database()
), oldest as (
  select * from transactions order by transactions.since limit 1
)
select
  pg_catalog.pg_notification_queue_usage()::double precision as notify_queue_usage,
  pg_catalog.pg_has_role('pg_read_all_stats', 'usage')::boolean as sees_all,
  oldest.since::timestamptz as since,
  coalesce(oldest.pid, 0)::integer as pid,
  coalesce(oldest.state, '')::text as state,
  coalesce(oldest.name, '')::text as name,
  coalesce(oldest.prepared, false)::boolean as prepared
from (values (1)) as one (row)
left join oldest on true;

-- name: TableActivityList :many
-- Reads the server's statistics of the schema's tables, by name.
select
  stats.relname::text as name,
  coalesce(stats.n_tup_ins, 0)::bigint as inserted,
  coalesce(stats.n_tup_upd, 0)::bigint as updated,
  coalesce(stats.n_tup_del, 0)::bigint as deleted,
  coalesce(stats.n_live_tup, 0)::bigint as live,
  coalesce(stats.n_dead_tup, 0)::bigint as dead,
  coalesce(stats.n_mod_since_analyze, 0)::bigint as modified,
  stats.last_vacuum::timestamptz as last_vacuum,
  stats.last_autovacuum::timestamptz as last_autovacuum,
  stats.last_analyze::timestamptz as last_analyze,
  stats.last_autoanalyze::timestamptz as last_autoanalyze
from pg_catalog.pg_stat_all_tables as stats
where stats.schemaname = @schema_name::text
and stats.relname in ('_private_jobs', '_private_job_queues', '_private_tasks', '_private_known_crontabs')
order by stats.relname;

-- name: TableSizeList :many
-- Reads the sizes of the schema's tables and of their indexes, by name. The row of a table
-- has no index. Scans are those that began since the server's statistics were reset.
with tables as (
  select relation.oid, relation.relname
  from pg_catalog.pg_class as relation
  join pg_catalog.pg_namespace as n on n.oid = relation.relnamespace
  where n.nspname = @schema_name::text
  and relation.relname in ('_private_jobs', '_private_job_queues', '_private_tasks', '_private_known_crontabs')
  and relation.relkind = 'r'
), parts as (
  select tables.relname, tables.oid, false as is_index from tables
  union all
  select tables.relname, i.indexrelid, true from tables
  join pg_catalog.pg_index as i on i.indrelid = tables.oid
)
select
  parts.relname::text as table_name,
  (case when parts.is_index then relation.relname else '' end)::text as index_name,
  (case when parts.is_index then pg_catalog.pg_relation_size(parts.oid) else pg_catalog.pg_table_size(parts.oid) end)::bigint as bytes,
  greatest(relation.reltuples, 0)::double precision as rows,
  coalesce(stats.idx_scan, 0)::bigint as scans
from parts
join pg_catalog.pg_class as relation on relation.oid = parts.oid
left join pg_catalog.pg_stat_all_indexes as stats on stats.indexrelid = parts.oid
order by parts.relname, parts.is_index, relation.relname;
