-- name: pick_batch
-- A batch of the drain that is big enough to play with and not too big to copy, the newest of those that retention has
-- not reached.
select batch.partition, batch.from_offset, batch.to_offset, batch.delivered, batch.rows, batch.dead, batch.held,
  batch.skipped, batch.compacted, batch.aborted, batch.marker, batch.lost, batch.unexplained,
  batch.digest_high, batch.digest_low
from /*migrator.*/drain_batch as batch
left join /*queue.*/job_partition as head on head.topic = %(topic)s and head.partition = batch.partition
where batch.source_id = %(source_id)s and batch.rows between %(least)s and %(most)s
  and batch.from_offset >= coalesce(head.start_offset, 0)
order by batch.committed_at desc, batch.partition
limit 1;

-- name: read_rows
-- The rows of a range of offsets, as far as a verifier looks at them.
select partition, log_offset, key, value, headers, timestamp_ms, timestamp_type
from /*queue.*/job_queue
where topic = %(topic)s and partition = %(partition)s and log_offset >= %(start)s and log_offset < %(stop)s
order by log_offset;

-- name: read_dead_letters
-- The dead letters of a range of offsets.
select partition, log_offset, key, value, headers, timestamp_ms, timestamp_type
from /*migrator.*/drain_dead_letter
where source_id = %(source_id)s and partition = %(partition)s
  and log_offset >= %(start)s and log_offset < %(stop)s
order by log_offset;

-- name: write_topic
-- The copy's topic, which Kafka numbers.
insert into /*queue.*/job_topic (topic, partitions, sequencer, keep_value)
values (%(topic)s, %(partitions)s, 'kafka', %(keep_value)s);

-- name: write_partition
-- The copy's partition.
insert into /*queue.*/job_partition (topic, partition, next_offset)
values (%(topic)s, %(partition)s, %(stop)s);

-- name: write_source
-- The copy's identity.
insert into /*migrator.*/drain_source (
  queue_schema, topic, cluster_id, topic_id, partitions, cleanup_policy, retention_ms, start_choice, end_choice, format,
  uncertain, queue_oid
)
values (
  %(schema)s, %(topic)s, %(cluster_id)s, %(topic_id)s, %(partitions)s, %(cleanup_policy)s, -1, 'drill', 'drill', 'auto',
  %(uncertain)s, 0
)
returning id;

-- name: write_position
-- The copy's position: its one batch.
insert into /*migrator.*/drain_offset (
  source_id, partition, next_offset, start_offset, end_offset, window_end, low_at_start, high_at_start, stable_at_start,
  rows, dead, skipped, compacted, aborted, marker, lost, unexplained
)
values (
  %(source_id)s, %(partition)s, %(to_offset)s, %(from_offset)s, %(to_offset)s, %(window_end)s, 0, %(to_offset)s,
  %(to_offset)s, %(rows)s, %(dead)s, %(skipped)s, %(compacted)s, %(aborted)s, %(marker)s, %(lost)s, %(unexplained)s
);

-- name: write_batch
-- The copy's ledger.
insert into /*migrator.*/drain_batch (
  source_id, partition, from_offset, to_offset, delivered, rows, dead, held, skipped, compacted, aborted, marker, lost,
  unexplained, digest_high, digest_low, epoch
)
values (
  %(source_id)s, %(partition)s, %(from_offset)s, %(to_offset)s, %(delivered)s, %(rows)s, %(dead)s, %(held)s, %(skipped)s,
  %(compacted)s, %(aborted)s, %(marker)s, %(lost)s, %(unexplained)s, %(digest_high)s, %(digest_low)s, 0
);

-- name: write_row
-- A row of the copy.
insert into /*queue.*/job_queue (
  payload, topic, partition, log_offset, key, value, headers, timestamp_ms, timestamp_type
)
values (
  'null', %(topic)s, %(partition)s, %(log_offset)s, %(key)s, %(value)s, %(headers)s::bytea[], %(timestamp_ms)s,
  %(timestamp_type)s
);

-- name: write_dead_letter
-- A dead letter of the copy.
insert into /*migrator.*/drain_dead_letter (
  source_id, partition, log_offset, key, value, headers, timestamp_ms, timestamp_type, stage, reason
)
values (
  %(source_id)s, %(partition)s, %(log_offset)s, %(key)s, %(value)s, %(headers)s::bytea[], %(timestamp_ms)s,
  %(timestamp_type)s, 'read', 'drill'
);

-- name: delete_row
-- Plants a missing row.
delete from /*queue.*/job_queue
where log_offset = %(offset)s;

-- name: alter_key
-- Plants a row with one byte more in its key.
update /*queue.*/job_queue
set key = coalesce(key, '') || '\x00'
where log_offset = %(offset)s;

-- name: alter_value
-- Plants a row with one byte more in its value.
update /*queue.*/job_queue
set value = coalesce(value, '') || '\x00'
where log_offset = %(offset)s;

-- name: alter_headers
-- Plants a row with one header more.
update /*queue.*/job_queue
set headers = coalesce(headers, '{}') || array['drill'::bytea, null]
where log_offset = %(offset)s;

-- name: move_row
-- Gives a row another offset.
update /*queue.*/job_queue
set log_offset = %(to_offset)s
where log_offset = %(offset)s;

-- name: purge_below
-- Plants what retention does: the rows below an offset go, and the low watermark moves there.
with gone as (
  delete from /*queue.*/job_queue
  where log_offset < %(offset)s
)
update /*queue.*/job_partition
set start_offset = %(offset)s;

-- name: move_end
-- Plants offsets that the drain has still to come to.
update /*migrator.*/drain_offset
set end_offset = next_offset + %(count)s;
