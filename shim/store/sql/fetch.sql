-- name: fetch
-- Records from each place on, in the order of the places and, within one, of the log: the nested loop keeps it, and no
-- sort of all has to spill. A place is left out where the offset of its mark is another record's now. A value is held
-- back where its record is too large; a size is negative where the value is jsonb's text. The span bounds what is read:
-- by a mere limit, some statistics have the whole backlog read and sorted.
select place.topic, place.partition, job.log_offset, job.key,
  case
    when octet_length(job.value) <= %(largest)s then job.value
    when job.value is null and job.encoding is distinct from 'tombstone' and octet_length(viewed.text) <= %(largest)s
      then convert_to(viewed.text, 'UTF8')
  end as value,
  job.headers,
  coalesce(
    job.timestamp_ms,
    case when isfinite(job.created_at) then (extract(epoch from job.created_at) * 1000)::bigint else -1 end
  ) as timestamp_ms,
  coalesce(job.timestamp_type, 1::smallint) as timestamp_type,
  case
    when job.value is not null then octet_length(job.value) + beside.size
    when job.encoding = 'tombstone' then beside.size
    when job.encoding = 'text' then octet_length(viewed.text) + beside.size
    else -octet_length(viewed.text) - beside.size
  end as size
from unnest(
  %(topics)s::text[], %(partitions)s::integer[], %(positions)s::bigint[],
  %(marks)s::bigint[], %(mark_times)s::bigint[], %(mark_keys)s::bytea[]
) as place (topic, partition, position, mark, mark_time, mark_key)
cross join lateral (
  select log.log_offset
  from /*queue.*/job_queue as log
  where log.topic = place.topic and log.partition = place.partition and log.log_offset >= case
    when not exists (
      select
      from /*queue.*/job_queue as marked
      where marked.topic = place.topic and marked.partition = place.partition and marked.log_offset = place.mark
        and (marked.key is distinct from place.mark_key or place.mark_time is distinct from coalesce(
          marked.timestamp_ms,
          case when isfinite(marked.created_at) then (extract(epoch from marked.created_at) * 1000)::bigint else -1 end
        ))
    ) then place.position
  end
  order by log.log_offset
  limit 1
) as first
cross join lateral (
  select *
  from /*queue.*/job_queue as log
  where log.topic = place.topic and log.partition = place.partition
    and log.log_offset >= first.log_offset and log.log_offset < first.log_offset + %(span)s
  order by log.log_offset
) as job
cross join lateral (
  select case when job.encoding = 'text' then job.payload #>> '{}' else job.payload::text end as text
) as viewed
cross join lateral (
  select coalesce(octet_length(job.key), 0) + coalesce(pg_column_size(job.headers), 0) as size
) as beside
limit %(max_rows)s;

-- name: truncated
-- The places in which another record has the mark's offset.
select place.topic, place.partition
from unnest(
  %(topics)s::text[], %(partitions)s::integer[], %(marks)s::bigint[], %(mark_times)s::bigint[], %(mark_keys)s::bytea[]
) as place (topic, partition, mark, mark_time, mark_key)
join /*queue.*/job_queue as marked
  on marked.topic = place.topic and marked.partition = place.partition and marked.log_offset = place.mark
where marked.key is distinct from place.mark_key or place.mark_time is distinct from coalesce(
  marked.timestamp_ms,
  case when isfinite(marked.created_at) then (extract(epoch from marked.created_at) * 1000)::bigint else -1 end
);

-- name: read_heads
-- The ends of every partition of these topics.
select topic, partition, start_offset, next_offset
from /*queue.*/job_partition
where topic = any(%(topics)s);

-- name: first_since
-- The first record of each partition whose timestamp is not before the one asked for. Timestamps need not ascend, so
-- everything before it is looked at.
select asked.topic, asked.partition, found.log_offset, found.timestamp_ms
from unnest(%(topics)s::text[], %(partitions)s::integer[], %(times)s::bigint[]) as asked (topic, partition, since)
left join lateral (
  select job.log_offset, stamp.timestamp_ms
  from /*queue.*/job_partition as head
  join /*queue.*/job_queue as job
    on job.topic = head.topic and job.partition = head.partition and job.log_offset >= head.start_offset
  cross join lateral (
    select case
      when job.timestamp_ms is not null then job.timestamp_ms
      when isfinite(job.created_at) then (extract(epoch from job.created_at) * 1000)::bigint
      else -1
    end as timestamp_ms
  ) as stamp
  where head.topic = asked.topic and head.partition = asked.partition and stamp.timestamp_ms >= asked.since
  order by job.log_offset
  limit 1
) as found on true;

-- name: newest
-- The record with the highest timestamp of each partition, the first of several.
select asked.topic, asked.partition, found.log_offset, found.timestamp_ms
from unnest(%(topics)s::text[], %(partitions)s::integer[]) as asked (topic, partition)
left join lateral (
  select job.log_offset, stamp.timestamp_ms
  from /*queue.*/job_partition as head
  join /*queue.*/job_queue as job
    on job.topic = head.topic and job.partition = head.partition and job.log_offset >= head.start_offset
  cross join lateral (
    select case
      when job.timestamp_ms is not null then job.timestamp_ms
      when isfinite(job.created_at) then (extract(epoch from job.created_at) * 1000)::bigint
      else -1
    end as timestamp_ms
  ) as stamp
  where head.topic = asked.topic and head.partition = asked.partition
  order by stamp.timestamp_ms desc, job.log_offset
  limit 1
) as found on true;
