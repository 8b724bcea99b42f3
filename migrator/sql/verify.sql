-- name: sum_leaves
-- Count and sums of the digests of each leaf: rows, and dead letters apart. The digest is that of migrator.digest.
select width_bucket(record.log_offset, %(bounds)s::bigint[]) as leaf,
  count(*) filter (where not record.dead) as rows,
  coalesce(sum(('x' || encode(substr(digest, 1, 8), 'hex'))::bit(64)::bigint) filter (where not record.dead), 0) as high,
  coalesce(sum(('x' || encode(substr(digest, 9, 8), 'hex'))::bit(64)::bigint) filter (where not record.dead), 0) as low,
  count(*) filter (where record.dead) as dead,
  coalesce(sum(('x' || encode(substr(digest, 1, 8), 'hex'))::bit(64)::bigint) filter (where record.dead), 0) as dead_high,
  coalesce(sum(('x' || encode(substr(digest, 9, 8), 'hex'))::bit(64)::bigint) filter (where record.dead), 0) as dead_low
from (
  select false as dead, partition, log_offset, timestamp_ms, timestamp_type, key, value, headers
  from /*queue.*/job_queue
  where topic = %(topic)s and partition = %(partition)s and log_offset >= %(start)s and log_offset < %(stop)s
  union all
  select true, partition, log_offset, timestamp_ms, timestamp_type, key, value, headers
  from /*migrator.*/drain_dead_letter
  where source_id = %(source_id)s and partition = %(partition)s
    and log_offset >= %(start)s and log_offset < %(stop)s
) as record
cross join lateral (
  select sha256(
    int4send(4) || int4send(record.partition) || int4send(8) || int8send(record.log_offset)
    || coalesce(int4send(8) || int8send(record.timestamp_ms), '\xffffffff')
    || coalesce(int4send(2) || int2send(record.timestamp_type), '\xffffffff')
    || coalesce(int4send(octet_length(record.key)) || record.key, '\xffffffff')
    || coalesce(
      case when %(values)s then int4send(octet_length(record.value)) || record.value end, '\xffffffff'
    )
    || coalesce(int4send(octet_length(array_send(record.headers))) || array_send(record.headers), '\xffffffff')
  ) as digest
  offset 0  -- else Postgres computes the digest once for each use of it
) as digested
where %(modulus)s::bigint = 1
  or ((record.log_offset %% 1048576 + record.partition %% 1024 * 7919) * 2654435761 %% 4294967296) / 65536
     %% %(modulus)s::bigint = 0
group by 1
order by 1;

-- name: count_leaves
-- The same without digests.
select width_bucket(record.log_offset, %(bounds)s::bigint[]) as leaf,
  count(*) filter (where not record.dead) as rows, 0 as high, 0 as low,
  count(*) filter (where record.dead) as dead, 0 as dead_high, 0 as dead_low
from (
  select false as dead, partition, log_offset
  from /*queue.*/job_queue
  where topic = %(topic)s and partition = %(partition)s and log_offset >= %(start)s and log_offset < %(stop)s
  union all
  select true, partition, log_offset
  from /*migrator.*/drain_dead_letter
  where source_id = %(source_id)s and partition = %(partition)s
    and log_offset >= %(start)s and log_offset < %(stop)s
) as record
where %(modulus)s::bigint = 1
  or ((record.log_offset %% 1048576 + record.partition %% 1024 * 7919) * 2654435761 %% 4294967296) / 65536
     %% %(modulus)s::bigint = 0
group by 1
order by 1;

-- name: read_fingerprints
-- Every row and dead letter of a range with its digests; dead letters, which have no id, before rows.
select record.id, record.log_offset, record.timestamp_ms,
  ('x' || encode(substr(digest, 1, 8), 'hex'))::bit(64)::bigint as high,
  ('x' || encode(substr(digest, 9, 8), 'hex'))::bit(64)::bigint as low,
  sha256(content) as content
from (
  select id, partition, log_offset, timestamp_ms, timestamp_type, key, value, headers
  from /*queue.*/job_queue
  where topic = %(topic)s and partition = %(partition)s and log_offset >= %(start)s and log_offset < %(stop)s
  union all
  select null, partition, log_offset, timestamp_ms, timestamp_type, key, value, headers
  from /*migrator.*/drain_dead_letter
  where source_id = %(source_id)s and partition = %(partition)s
    and log_offset >= %(start)s and log_offset < %(stop)s
) as record
cross join lateral (
  select
    coalesce(int4send(8) || int8send(record.timestamp_ms), '\xffffffff')
    || coalesce(int4send(2) || int2send(record.timestamp_type), '\xffffffff')
    || coalesce(int4send(octet_length(record.key)) || record.key, '\xffffffff')
    || coalesce(
      case when %(values)s then int4send(octet_length(record.value)) || record.value end, '\xffffffff'
    )
    || coalesce(int4send(octet_length(array_send(record.headers))) || array_send(record.headers), '\xffffffff')
    as content
  offset 0
) as framed
cross join lateral (
  select sha256(
    int4send(4) || int4send(record.partition) || int4send(8) || int8send(record.log_offset) || content
  ) as digest
  offset 0
) as digested
where %(modulus)s::bigint = 1
  or ((record.log_offset %% 1048576 + record.partition %% 1024 * 7919) * 2654435761 %% 4294967296) / 65536
     %% %(modulus)s::bigint = 0
order by record.log_offset, record.id nulls first;

-- name: read_strangers
-- Rows where the drain wrote none and that nobody numbered: below its start, above what it wrote unless Postgres gave
-- out the offset, and in partitions that Kafka has not. One statement, so that a drain under way cannot come between.
select job.id, job.partition, job.log_offset, job.timestamp_ms, sha256(
    coalesce(int4send(8) || int8send(job.timestamp_ms), '\xffffffff')
    || coalesce(int4send(2) || int2send(job.timestamp_type), '\xffffffff')
    || coalesce(int4send(octet_length(job.key)) || job.key, '\xffffffff')
    || coalesce(case when %(values)s then int4send(octet_length(job.value)) || job.value end, '\xffffffff')
    || coalesce(int4send(octet_length(array_send(job.headers))) || array_send(job.headers), '\xffffffff')
  ) as content
from (
  select numbers.partition, coalesce(place.start_offset, 0) as start_offset, coalesce(place.next_offset, 0) as next_offset,
    case when terms.sequencer = 'postgres' then coalesce(head.next_offset, 0) else 0 end as head_offset
  from generate_series(0, %(partitions)s::integer - 1) as numbers (partition)
  left join /*migrator.*/drain_offset as place
    on place.source_id = %(source_id)s and place.partition = numbers.partition
  left join /*queue.*/job_topic as terms on terms.topic = %(topic)s
  left join /*queue.*/job_partition as head on head.topic = terms.topic and head.partition = numbers.partition
) as place
cross join lateral (
  select * from /*queue.*/job_queue
  where topic = %(topic)s and partition = place.partition and log_offset < place.start_offset
  union all
  select * from /*queue.*/job_queue
  where topic = %(topic)s and partition = place.partition
    and log_offset >= greatest(place.next_offset, place.head_offset)
  union all
  select * from /*queue.*/job_queue
  where topic = %(topic)s and partition >= %(partitions)s::integer and place.partition = 0 and log_offset is not null
) as job
order by job.partition, job.log_offset
limit %(limit)s;

-- name: count_native
-- Rows that never were in Kafka: numbered by Postgres, or not yet numbered.
select
  (
    select count(*) from /*queue.*/job_queue
    where topic = %(topic)s and log_offset is null
  ) + (
    select count(*)
    from /*migrator.*/drain_offset as place
    join /*queue.*/job_topic as terms on terms.topic = %(topic)s and terms.sequencer = 'postgres'
    join /*queue.*/job_partition as head on head.topic = terms.topic and head.partition = place.partition
    join /*queue.*/job_queue as job
      on job.topic = head.topic and job.partition = head.partition
      and job.log_offset >= place.next_offset and job.log_offset < head.next_offset
    where place.source_id = %(source_id)s
  );

-- name: find_copies
-- Rows with given contents: found by their timestamps, which costs less than to digest them all.
select copy.id, copy.partition, copy.log_offset, copy.content
from (
  select job.id, job.partition, job.log_offset, sha256(
    coalesce(int4send(8) || int8send(job.timestamp_ms), '\xffffffff')
    || coalesce(int4send(2) || int2send(job.timestamp_type), '\xffffffff')
    || coalesce(int4send(octet_length(job.key)) || job.key, '\xffffffff')
    || coalesce(case when %(values)s then int4send(octet_length(job.value)) || job.value end, '\xffffffff')
    || coalesce(int4send(octet_length(array_send(job.headers))) || array_send(job.headers), '\xffffffff')
  ) as content
  from /*queue.*/job_queue as job
  where job.topic = %(topic)s and job.timestamp_ms = any(%(timestamps)s::bigint[]) and job.log_offset is not null
  offset 0
) as copy
where copy.content = any(%(contents)s::bytea[])
order by copy.partition, copy.log_offset;
