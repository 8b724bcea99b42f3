-- name: add_unique
-- Rows without an offset, of which at most one of each key is unfinished; one whose key is taken is left out. In one
-- order, so that two writers of the same keys wait for each other, and never in a circle. A row at least, for clock and id.
with clock as materialized (
  select clock_timestamp() as now
), added as (
  insert into /*queue.*/job_queue (
    topic, partition, timestamp_ms, timestamp_type, key, value, headers, encoding, payload, created_at, process_after,
    deduplication_key
  )
  select
    given.topic, given.partition, given.timestamp_ms, given.timestamp_type, given.key, given.value,
    given.headers::bytea[], given.encoding, given.payload::jsonb, clock.now,
    case
      when given.parked and given.delay_us = 0 then 'infinity'
      else clock.now + given.delay_us * interval '1 microsecond'
        + case when given.parked then interval '876582000 hours' else interval '0' end
    end,
    given.deduplication_key
  from clock
  cross join unnest(
    %(topics)s::text[], %(partitions)s::integer[], %(timestamps_ms)s::bigint[], %(timestamp_types)s::smallint[],
    %(keys)s::bytea[], %(values)s::bytea[], %(headers)s::text[], %(encodings)s::text[], %(payloads)s::text[],
    %(parked)s::boolean[], %(delays_us)s::bigint[], %(deduplication_keys)s::text[]
  ) with ordinality as given (
    topic, partition, timestamp_ms, timestamp_type, key, value, headers, encoding, payload, parked, delay_us,
    deduplication_key, position
  )
  order by given.topic collate "C", given.deduplication_key collate "C", given.position
  on conflict (topic, deduplication_key)
    where deduplication_key is not null and status in ('pending', 'processing')
  do nothing
  returning id, topic, deduplication_key
)
select
  added.id, added.topic, added.deduplication_key,
  (extract(epoch from clock.now) * 1000000)::bigint - 946684800000000 as now_us,
  pg_current_xact_id()::text as xid,
  current_setting('synchronous_commit') <> 'off' as durable
from clock
left join added on true;

-- name: is_added
-- Whether a row is there as it was added; after a failover its id may be another row's.
select exists (
  select
  from /*queue.*/job_queue as job
  where job.id = %(id)s and (extract(epoch from job.created_at) * 1000000)::bigint - 946684800000000 = %(now_us)s
);
