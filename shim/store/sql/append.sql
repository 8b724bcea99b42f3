-- name: copy_rows
-- Rows of job_queue in binary, in the column order of shim.store.rows.
copy /*queue.*/job_queue (
  topic, partition, log_offset, timestamp_ms, timestamp_type, key, value, headers, encoding, payload,
  created_at, last_error, process_after
) from stdin (format binary);

-- name: copy_dual_rows
-- The same, each with its id at the end: for dual-written topics only.
copy /*queue.*/job_queue (
  topic, partition, log_offset, timestamp_ms, timestamp_type, key, value, headers, encoding, payload,
  created_at, last_error, process_after, message_id
) from stdin (format binary);

-- name: judge_json
-- Whether jsonb takes each of these texts: null where it does, else the SQLSTATE.
select /*queue.*/job_jsonb_sqlstate(value) as sqlstate
from unnest(%(values)s::text[]) with ordinality as given (value, position)
order by position;

-- name: read_clock
-- The database's clock, in microseconds since 2000.
select (extract(epoch from clock_timestamp()) * 1000000)::bigint - 946684800000000 as now_us;

-- name: reserve
-- Takes offsets from the heads of partitions, which stay locked until commit; one row at least, for clock and id.
with locked as materialized (
  select head.topic, head.partition, given.count
  from unnest(%(topics)s::text[], %(partitions)s::bigint[], %(counts)s::bigint[]) as given (topic, partition, count)
  join /*queue.*/job_partition as head on head.topic = given.topic and head.partition = given.partition
  order by head.topic, head.partition
  for no key update of head
), moved as (
  update /*queue.*/job_partition as head
  set next_offset = head.next_offset + locked.count
  from locked
  where head.topic = locked.topic and head.partition = locked.partition
  returning head.topic, head.partition, head.next_offset - locked.count as first_offset
)
select
  moved.topic, moved.partition, moved.first_offset,
  (extract(epoch from clock_timestamp()) * 1000000)::bigint - 946684800000000 as now_us,
  pg_current_xact_id()::text as xid,
  current_setting('synchronous_commit') <> 'off' as durable
from (select) as always
left join moved on true;

-- name: missing_rows
-- A partition that lacks the first row of an append; no row when all is there. Where that offset was given out and
-- nothing stands there now, the row was removed, as retention does with finished jobs.
select given.topic, given.partition
from unnest(%(topics)s::text[], %(partitions)s::integer[], %(firsts)s::bigint[])
  as given (topic, partition, first_offset)
left join /*queue.*/job_partition as head on head.topic = given.topic and head.partition = given.partition
left join /*queue.*/job_queue as job
  on job.topic = given.topic and job.partition = given.partition and job.log_offset = given.first_offset
where (head.next_offset > given.first_offset) is not true
  or (extract(epoch from job.created_at) * 1000000)::bigint - 946684800000000 <> %(now_us)s
limit 1;

-- name: is_delayed
-- Whether a row of an append of delayed records is there; it has no place of its own yet, so its partition is read.
select exists (
  select
  from /*queue.*/job_queue as job
  where job.topic = %(topic)s and job.partition = %(partition)s
    and (extract(epoch from job.created_at) * 1000000)::bigint - 946684800000000 = %(now_us)s
);
