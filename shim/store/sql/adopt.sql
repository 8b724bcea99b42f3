-- name: read_table
-- The table itself: what kind it is, and what would make it behave unlike a plain one.
select
  pg_class.oid::bigint as oid, relkind::text as kind, relpersistence::text as persistence,
  relispartition as partition, relrowsecurity as row_security,
  exists (select from pg_inherits where pg_class.oid in (inhrelid, inhparent)) as inherits
from pg_class
join pg_namespace on pg_namespace.oid = relnamespace
where nspname = %(schema)s and relname = 'job_queue';

-- name: scratch_table
-- The table just built in this transaction's own temporary schema.
select oid::bigint as oid, relkind::text as kind, 'p' as persistence,
  false as partition, false as row_security, false as inherits
from pg_class
where relnamespace = pg_my_temp_schema() and relname = 'job_queue';

-- name: look_from
-- Names of this schema are written without it, so that two tables can be compared.
select set_config('search_path', %(search_path)s, true);

-- name: read_columns
-- The columns in order; labels are those of an enum.
select
  attname as name, format_type(atttypid, atttypmod) as type, attnotnull as required,
  pg_get_expr(adbin, adrelid) as default,
  attidentity <> '' or attgenerated <> '' as generated,
  (select array_agg(enumlabel::text order by enumsortorder) from pg_enum where enumtypid = atttypid) as labels
from pg_attribute
left join pg_attrdef on adrelid = attrelid and adnum = attnum
where attrelid = %(oid)s::oid and attnum > 0 and not attisdropped
order by attnum;

-- name: read_constraints
-- Keys and checks; whether a column may be null is the column's own affair.
select conname as name, pg_get_constraintdef(oid) as definition, convalidated as valid
from pg_constraint
where conrelid = %(oid)s::oid and contype <> 'n'
order by conname;

-- name: read_indexes
-- Indexes, whether or not a constraint stands on them.
select
  relname as name, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '') as definition,
  indisvalid as valid
from pg_index
join pg_class on pg_class.oid = indexrelid
where indrelid = %(oid)s::oid
order by relname;

-- name: nulls_page
-- Rows that lack what every row must have.
select id
from /*queue.*/job_queue
where id > %(after)s and (retry_count is null or created_at is null or process_after is null)
order by id
limit %(limit)s;

-- name: fill_nulls
-- The article's claim never takes a job without process_after, so such a job is held for a person to decide.
update /*queue.*/job_queue
set retry_count = coalesce(retry_count, 0),
  created_at = coalesce(created_at, least(process_after, now())),
  process_after = coalesce(process_after, case when status = 'pending' then 'infinity' else now() end),
  last_error = case
    when process_after is null and status = 'pending' then 'held: process_after was null'
    else last_error
  end
where id = any(%(ids)s);
