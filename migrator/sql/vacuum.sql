-- name: read_settings
-- Whether this server removes dead rows by itself, and counts them.
select current_setting('autovacuum') = 'on' as vacuums, current_setting('track_counts') = 'on' as counts;

-- name: read_parameters
-- The storage parameters of the queue's tables, as "name=value".
select relname, coalesce(reloptions, '{}') as parameters
from pg_class
join pg_namespace on pg_namespace.oid = relnamespace
where nspname = %(schema)s and relname = any(%(tables)s)
order by relname;

-- name: read_dead_rows
-- How many rows of job_queue are dead by the server's own count, and for how many seconds nobody has removed any.
select n_live_tup as live, n_dead_tup as dead,
  extract(epoch from now() - greatest(last_vacuum, last_autovacuum))::float8 as vacuumed_s
from pg_stat_user_tables
where schemaname = %(schema)s and relname = 'job_queue';

-- name: read_holders
-- Who keeps dead rows of this database alive, the one that does so for longest first. Without the right to see others'
-- sessions it is not told since when, only for how many transactions.
select kind, name, detail, held_s, transactions
from (
  select 'session' as kind, pid::text as name,
    concat_ws(', ', usename, nullif(application_name, ''), state) as detail,
    extract(epoch from clock_timestamp() - xact_start)::float8 as held_s,
    greatest(age(backend_xmin), age(backend_xid)) as transactions
  from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
    and pid <> all(array(select pid from pg_stat_progress_vacuum))
  union all
  select 'prepared transaction', gid, owner::text,
    extract(epoch from clock_timestamp() - prepared)::float8, age(transaction)
  from pg_prepared_xacts
  where database = current_database()
  union all
  select 'replication slot', slot_name::text, case when active then 'active' else 'not in use' end, null, age(xmin)
  from pg_replication_slots
  union all
  select 'standby', coalesce(nullif(application_name, ''), pid::text), 'hot_standby_feedback', null, age(backend_xmin)
  from pg_stat_replication
) as holder
where transactions is not null
order by transactions desc, name
limit %(limit)s;
