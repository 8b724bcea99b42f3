-- name: count_dead_letters
-- How many dead letters match, and how many of them were retried already.
select count(*), count(retried_at)
from /*migrator.*/drain_dead_letter as letter
join /*migrator.*/drain_source as source on source.id = letter.source_id
where source.queue_schema = %(queue_schema)s
  and (%(topics)s::text[] is null or source.topic = any(%(topics)s))
  and (%(stage)s::text is null or letter.stage = %(stage)s)
  and (%(partition)s::integer is null or letter.partition = %(partition)s)
  and (%(offset)s::bigint is null or letter.log_offset = %(offset)s);

-- name: list_dead_letters
-- Dead letters without their bytes: sizes, and the first 16 hexadecimal digits of SHA-256.
select
  letter.id, source.topic, letter.partition, letter.log_offset as "offset", letter.stage, letter.reason,
  octet_length(letter.value) as size,
  left(encode(sha256(letter.value), 'hex'), 16) as digest,
  letter.created_at, letter.retried_at, letter.retried_offset
from /*migrator.*/drain_dead_letter as letter
join /*migrator.*/drain_source as source on source.id = letter.source_id
where source.queue_schema = %(queue_schema)s
  and (%(topics)s::text[] is null or source.topic = any(%(topics)s))
  and (%(stage)s::text is null or letter.stage = %(stage)s)
  and (%(partition)s::integer is null or letter.partition = %(partition)s)
  and (%(offset)s::bigint is null or letter.log_offset = %(offset)s)
order by source.topic, letter.partition, letter.log_offset
limit %(limit)s;

-- name: waiting_dead_letters
-- Which dead letters of a topic are still to be retried, in the order in which partitions are locked.
select letter.id, source.topic, letter.partition, letter.log_offset as "offset"
from /*migrator.*/drain_dead_letter as letter
join /*migrator.*/drain_source as source on source.id = letter.source_id
where source.queue_schema = %(queue_schema)s
  and source.topic = %(topic)s
  and (%(stage)s::text is null or letter.stage = %(stage)s)
  and (%(partition)s::integer is null or letter.partition = %(partition)s)
  and (%(offset)s::bigint is null or letter.log_offset = %(offset)s)
  and letter.retried_at is null
order by letter.partition, letter.log_offset
limit %(limit)s;

-- name: read_dead_letter
-- A dead letter's bytes, and what Postgres said of it.
select
  letter.key, letter.value, letter.headers, letter.timestamp_ms, letter.timestamp_type,
  letter.sqlstate, letter.constraint_name, letter.column_name
from /*migrator.*/drain_dead_letter as letter
where letter.id = %(id)s;

-- name: lock_dead_letter
-- A dead letter for this transaction alone; nothing when another one has retried it.
select
  letter.key, letter.value, letter.headers, letter.timestamp_ms, letter.timestamp_type, letter.stage,
  source.uncertain = 'hold' and letter.log_offset < place.window_end as held,
  (extract(epoch from clock_timestamp()) * 1000000)::bigint - 946684800000000 as now_us
from /*migrator.*/drain_dead_letter as letter
join /*migrator.*/drain_source as source on source.id = letter.source_id
join /*migrator.*/drain_offset as place on place.source_id = letter.source_id and place.partition = letter.partition
where letter.id = %(id)s and letter.retried_at is null
for no key update of letter;

-- name: take_offset
-- The next offset of a partition that Postgres numbers; its head stays locked until commit.
update /*queue.*/job_partition
set next_offset = next_offset + 1
where topic = %(topic)s and partition = %(partition)s
returning next_offset - 1;

-- name: mark_retried
-- Notes where a dead letter went; no offset while Kafka numbers the topic.
update /*migrator.*/drain_dead_letter
set retried_at = now(), retried_offset = %(offset)s
where id = %(id)s;

-- name: mark_dead
-- Notes why a dead letter is still one.
update /*migrator.*/drain_dead_letter
set stage = %(stage)s, reason = %(reason)s, sqlstate = %(sqlstate)s, constraint_name = %(constraint_name)s,
  column_name = %(column_name)s
where id = %(id)s and retried_at is null;
