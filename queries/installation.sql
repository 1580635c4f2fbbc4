-- name: InstallationGet :one
-- Reads from the catalog alone what stands between this role and the tables of a
-- schema. Row security hides a table from a role that no permissive policy names, and
-- restricts one that may not update and delete every row.
select
  (jobs.oid is not null)::boolean as installed,
  coalesce(has_schema_privilege(n.oid, 'usage') and has_table_privilege(ledger.oid, 'select'), false)::boolean as revision_readable,
  coalesce(row_security_active(jobs.oid) and not exists (
    select from pg_catalog.pg_policy as p
    where p.polrelid = jobs.oid and p.polpermissive and p.polcmd in ('r', '*')
    and (0 = any (p.polroles) or exists (
      select from unnest(p.polroles) as r (oid) where r.oid <> 0 and pg_has_role(r.oid, 'usage')
    ))
  ), false)::boolean as hidden,
  coalesce(row_security_active(jobs.oid) and exists (
    select from (values ('w'::"char"), ('d'::"char")) as needed (command)
    where not exists (
      select from pg_catalog.pg_policy as p
      where p.polrelid = jobs.oid and p.polpermissive and p.polcmd in (needed.command, '*')
      and pg_get_expr(p.polqual, p.polrelid) = 'true'
      and (0 = any (p.polroles) or exists (
        select from unnest(p.polroles) as r (oid) where r.oid <> 0 and pg_has_role(r.oid, 'usage')
      ))
    )
  ), false)::boolean as restricted
from (values (1)) as one (row)
left join pg_catalog.pg_namespace as n on n.nspname = @schema_name::text
left join pg_catalog.pg_class as jobs on jobs.relnamespace = n.oid and jobs.relname = '_private_jobs'
left join pg_catalog.pg_class as ledger on ledger.relnamespace = n.oid and ledger.relname = 'migrations';

-- name: RevisionGet :one
-- Reads the newest revision, and the newest breaking one, from the ledger; 0 for none.
select
  coalesce(max(ledger.id), 0)::integer as revision,
  coalesce(max(ledger.id) filter (where ledger.breaking), 0)::integer as breaking
from graphile_worker.migrations as ledger;
