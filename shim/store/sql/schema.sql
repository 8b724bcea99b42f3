-- name: read_server
-- What the tables depend on: the server's version, and the encoding of this database.
select current_setting('server_version_num')::integer as version, current_setting('server_encoding') as encoding;

-- name: lock_line
-- One upgrade of a line at a time; others wait here until lock_timeout.
select pg_advisory_xact_lock(hashtextextended(%(line)s || ' in ' || %(schema)s, 0));

-- name: limit_waiting
-- An upgrade that waits for a lock makes everybody behind it wait too, so it gives up; its own work may take long.
select set_config('lock_timeout', %(lock_timeout)s, true), set_config('statement_timeout', '0', true);

-- name: limit_locking
-- How long the next statement may take, whatever it waits for.
select set_config('statement_timeout', %(statement_timeout)s, true);

-- name: schema_exists
-- Whether the schema is there, whoever may use it.
select exists (select from pg_namespace where nspname = %(schema)s);

-- name: relation_exists
-- Whether a table, view or index of that name is there, whoever may use it.
select exists (
  select
  from pg_class
  join pg_namespace on pg_namespace.oid = relnamespace
  where nspname = %(schema)s and relname = %(relation)s
);

-- name: index_is_broken
-- Whether an index is there that a build has left half done.
select exists (
  select
  from pg_index
  join pg_class on pg_class.oid = indexrelid
  join pg_namespace on pg_namespace.oid = relnamespace
  where nspname = %(schema)s and relname = %(relation)s and not indisvalid
);

-- name: index_is_being_built
-- Whether somebody builds an index of that name right now.
select exists (
  select
  from pg_stat_progress_create_index as build
  join pg_class on pg_class.oid = build.index_relid
  join pg_namespace on pg_namespace.oid = relnamespace
  where build.datname = current_database() and nspname = %(schema)s and relname = %(relation)s
);

-- name: create_bookkeeping
-- What was applied, when, and by which release.
create table if not exists /*line.*/schema_migration (
  line       text not null,
  version    integer not null check (version > 0),
  name       text not null,
  checksum   text not null,
  applied_at timestamptz not null default now(),
  release    text not null,
  primary key (line, version)
);

-- name: read_applied
-- What was applied to this line, in order.
select version, name, checksum, applied_at, release
from /*line.*/schema_migration
where line = %(line)s
order by version;

-- name: record_applied
-- Notes one migration, in its own transaction.
insert into /*line.*/schema_migration (line, version, name, checksum, release)
values (%(line)s, %(version)s, %(name)s, %(checksum)s, %(release)s);
