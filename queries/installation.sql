-- name: InstallationGet :one
-- Reads from the catalog alone what stands between this role and the jobs of a
-- schema. For a role that row security applies to, a command without a permissive
-- policy finds no row, and one without a policy for all rows perhaps not every one.
with commands as (
  select
    jobs.oid,
    command.name,
    not row_security_active(jobs.oid) or exists (
      select from pg_catalog.pg_policy as p
      where p.polrelid = jobs.oid and p.polpermissive and p.polcmd in (command.name, '*')
      and (0 = any (p.polroles) or exists (
        select from unnest(p.polroles) as r (oid) where r.oid <> 0 and pg_has_role(r.oid, 'usage')
      ))
    ) as some_rows,
    not row_security_active(jobs.oid) or exists (
      select from pg_catalog.pg_policy as p
      where p.polrelid = jobs.oid and p.polpermissive and p.polcmd in (command.name, '*')
      and pg_get_expr(p.polqual, p.polrelid) = 'true'
      and (0 = any (p.polroles) or exists (
        select from unnest(p.polroles) as r (oid) where r.oid <> 0 and pg_has_role(r.oid, 'usage')
      ))
    ) as all_rows
  from pg_catalog.pg_class as jobs
  join pg_catalog.pg_namespace as n on n.oid = jobs.relnamespace
  cross join unnest(array['r', 'w', 'd']::"char"[]) as command (name)
  where n.nspname = @schema_name::text and jobs.relname = '_private_jobs'
)
select
  (count(*) > 0)::boolean as installed,
  coalesce(bool_or(commands.some_rows) filter (where commands.name = 'r'), false)::boolean as reads_some,
  coalesce(bool_or(commands.all_rows) filter (where commands.name = 'w'), false)::boolean as updates_all,
  coalesce(bool_or(commands.some_rows) filter (where commands.name = 'd'), false)::boolean as deletes_some,
  coalesce(bool_or(commands.all_rows) filter (where commands.name = 'd'), false)::boolean as deletes_all,
  coalesce((
    select has_schema_privilege(n.oid, 'usage') and has_table_privilege(ledger.oid, 'select')
    from pg_catalog.pg_class as ledger
    join pg_catalog.pg_namespace as n on n.oid = ledger.relnamespace
    where n.nspname = @schema_name::text and ledger.relname = 'migrations'
  ), false)::boolean as revision_readable
from commands;

-- name: RevisionGet :one
-- Reads the newest revision, and the newest breaking one, from the ledger; 0 for none.
select
  coalesce(max(ledger.id), 0)::integer as revision,
  coalesce(max(ledger.id) filter (where ledger.breaking), 0)::integer as breaking
from graphile_worker.migrations as ledger;
