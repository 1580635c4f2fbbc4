-- name: InstallationGet :one
-- Reads whether a schema is installed and which rows row security lets this role use. It
-- reads only the catalog. If row security applies to the role, a command finds rows only
-- where a permissive policy names the role. It is certain to find all rows only where such
-- a policy is for all rows and no restrictive policy names the role. Has_ledger is true if
-- there is a table migrations with the columns of Graphile Worker's ledger. Before revision
-- 16 Graphile Worker's other tables have other names.
with commands as (
  select
    relation.relname,
    command.name,
    not pg_catalog.row_security_active(relation.oid) or policies.some_rows as some_rows,
    not pg_catalog.row_security_active(relation.oid) or policies.all_rows as all_rows
  from pg_catalog.pg_class as relation
  join pg_catalog.pg_namespace as n on n.oid = relation.relnamespace
  cross join pg_catalog.unnest(array['r', 'w', 'd']::"char"[]) as command (name)
  cross join lateral (
    select
      coalesce(pg_catalog.bool_or(p.polpermissive), false) as some_rows,
      coalesce(
        pg_catalog.bool_or(p.polpermissive and pg_catalog.pg_get_expr(p.polqual, p.polrelid) = 'true') and pg_catalog.bool_and(p.polpermissive), false
      ) as all_rows
    from pg_catalog.pg_policy as p
    where p.polrelid = relation.oid and p.polcmd in (command.name, '*')
    and (0::oid = any (p.polroles) or exists (
      select from pg_catalog.unnest(p.polroles) as r (oid) where r.oid <> 0::oid and pg_catalog.pg_has_role(r.oid, 'usage')
    ))
  ) as policies
  where n.nspname = @schema_name::text
  and relation.relname in ('_private_jobs', '_private_job_queues', '_private_tasks')
)
select
  (pg_catalog.count(distinct commands.relname) = 3)::boolean as installed,
  coalesce(pg_catalog.bool_and(commands.some_rows) filter (where commands.name = 'r'), false)::boolean as reads_some,
  coalesce(pg_catalog.bool_and(commands.all_rows) filter (where commands.name = 'r'), false)::boolean as reads_all,
  coalesce(pg_catalog.bool_and(commands.all_rows) filter (where commands.name = 'w' and commands.relname = '_private_jobs'), false)::boolean as updates_jobs,
  coalesce(pg_catalog.bool_and(commands.all_rows) filter (where commands.name = 'w' and commands.relname = '_private_job_queues'), false)::boolean as updates_queues,
  coalesce(pg_catalog.bool_and(commands.some_rows) filter (where commands.name = 'd' and commands.relname = '_private_jobs'), false)::boolean as deletes_some_jobs,
  coalesce(pg_catalog.bool_and(commands.all_rows) filter (where commands.name = 'd' and commands.relname = '_private_jobs'), false)::boolean as deletes_jobs,
  coalesce(pg_catalog.bool_and(commands.all_rows) filter (where commands.name = 'd'), false)::boolean as deletes_all,
  coalesce((
    select pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(ledger.oid, 'select')
    from pg_catalog.pg_class as ledger
    join pg_catalog.pg_namespace as n on n.oid = ledger.relnamespace
    where n.nspname = @schema_name::text and ledger.relname = 'migrations'
  ), false)::boolean as revision_readable,
  (
    select pg_catalog.count(*) = 2
    from pg_catalog.pg_attribute as a
    join pg_catalog.pg_class as ledger on ledger.oid = a.attrelid
    join pg_catalog.pg_namespace as n on n.oid = ledger.relnamespace
    where n.nspname = @schema_name::text and ledger.relname = 'migrations' and ledger.relkind = 'r'
    and (a.attname, a.atttypid) in (('id', 'integer'::regtype::oid), ('ts', 'timestamptz'::regtype::oid))
  )::boolean as has_ledger
from commands;

-- name: RevisionGet :one
-- Reads the newest revision and the newest breaking revision from the ledger, 0 if there is
-- none.
select
  coalesce(pg_catalog.max(ledger.id), 0)::integer as revision,
  coalesce(pg_catalog.max(ledger.id) filter (where ledger.breaking), 0)::integer as breaking
from graphile_worker.migrations as ledger;

-- name: RevisionGetNewest :one
-- Reads the newest revision from a ledger of any age. An old ledger has no column breaking.
select coalesce(pg_catalog.max(ledger.id), 0)::integer as revision from graphile_worker.migrations as ledger;
