-- name: read_server
-- What the server says of itself and of this session.
select
  current_setting('server_version') as version,
  current_setting('server_version_num')::integer as version_number,
  current_setting('server_encoding') as encoding,
  current_setting('transaction_read_only') = 'on' as read_only;

-- name: read_persistence
-- How job_queue survives a crash: p is permanent, u is UNLOGGED; no row when there is no such table.
select relpersistence::text as persistence
from pg_class
join pg_namespace on pg_namespace.oid = relnamespace
where nspname = %(schema)s and relname = 'job_queue';

-- name: missing_rights
-- What the connected user lacks to drain.
select nspname || '.' || relname as relation, array_agg(wanted.privilege order by wanted.privilege) as privileges
from pg_class
join pg_namespace on pg_namespace.oid = relnamespace
cross join unnest(array['select', 'insert', 'update', 'delete']) as wanted (privilege)
where relkind = 'r'
  and (
    nspname = %(schema)s and relname in ('job_queue', 'job_topic', 'job_partition', 'job_group_offset', 'dual_inbox')
    or nspname = %(own_schema)s and relname like 'drain\_%%'
  )
  and not (
    has_schema_privilege(pg_namespace.oid, 'usage')
    and has_table_privilege(pg_class.oid, wanted.privilege)
  )
group by nspname, relname
order by nspname, relname;
