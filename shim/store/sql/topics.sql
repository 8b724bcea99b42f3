-- name: register_topic
-- A topic whose records Kafka numbers for now: closed to workers until somebody opens it, and kept for ever.
insert into /*queue.*/job_topic (topic, partitions, sequencer, gate, retention_ms)
values (%(topic)s, %(partitions)s, 'kafka', 'closed', null)
on conflict (topic) do nothing;

-- name: register_partitions
-- The heads of a topic's partitions; those that exist keep their place.
insert into /*queue.*/job_partition (topic, partition, next_offset, start_offset)
select %(topic)s, partition, next_offset, next_offset
from unnest(%(partitions)s::integer[], %(next_offsets)s::bigint[]) as given (partition, next_offset)
order by partition
on conflict (topic, partition) do nothing;

-- name: read_topic
-- Who numbers the topic, and whether its jobs may run here.
select topic, partitions, partitioner, sequencer, gate, keep_value, owner_group, owner_kind, opened_at
from /*queue.*/job_topic
where topic = %(topic)s;

-- name: list_topics
-- Every topic, by name.
select topic, partitions, partitioner, sequencer, gate, keep_value, owner_group, owner_kind, opened_at
from /*queue.*/job_topic
order by topic;

-- name: share_gates
-- Keeps gates and sequencers as they are until this transaction ends; queues behind whoever is changing one.
select pg_advisory_xact_lock_shared(hashtextextended('gate of /*queue.*/job_topic ' || topic, 0))
from (select distinct topic from unnest(%(topics)s::text[]) as given (topic) order by topic) as ordered;

-- name: hold_gate
-- Waits for the batches that are being written, and goes before those that come. Row locks would not: one sharer after
-- another may pass a waiting update.
select pg_advisory_xact_lock(hashtextextended('gate of /*queue.*/job_topic ' || %(topic)s, 0));

-- name: read_gates
-- What a writer has to know of each topic.
select topic, gate, sequencer, keep_value, partitions, partitioner, epoch > 0 as dual
from /*queue.*/job_topic
where topic = any(%(topics)s)
order by topic;

-- name: advance_heads
-- Moves the heads of drained partitions behind what was just written, never back.
update /*queue.*/job_partition as head
set next_offset = given.next_offset
from (
  select locked.topic, locked.partition, wanted.next_offset
  from /*queue.*/job_partition as locked
  join unnest(%(topics)s::text[], %(partitions)s::integer[], %(next_offsets)s::bigint[])
    as wanted (topic, partition, next_offset)
    on wanted.topic = locked.topic and wanted.partition = locked.partition
  where locked.next_offset < wanted.next_offset
  order by locked.topic, locked.partition
  for no key update of locked
) as given
where head.topic = given.topic and head.partition = given.partition;

-- name: own_topic
-- Names the consumer group whose progress the topic's status tells.
update /*queue.*/job_topic
set owner_group = %(group_id)s, owner_kind = 'consumer'
where topic = %(topic)s;

-- name: number_in_postgres
-- From here on Postgres gives out the topic's offsets.
update /*queue.*/job_topic
set sequencer = 'postgres'
where topic = %(topic)s;

-- name: set_gate
-- Opens or closes the topic's row; waits for batches that are being written.
update /*queue.*/job_topic
set gate = %(gate)s,
  opened_at = case when %(gate)s = 'open' then coalesce(opened_at, now()) else opened_at end
where topic = %(topic)s;

-- name: copy_group_offset
-- A group's committed offset, as Kafka had it; a newer one of our own stays.
insert into /*queue.*/job_group_offset (group_id, topic, partition, committed_offset, leader_epoch, metadata)
select %(group_id)s, %(topic)s, partition, committed_offset, leader_epoch, metadata
from unnest(%(partitions)s::integer[], %(offsets)s::bigint[], %(leader_epochs)s::integer[], %(metadata)s::text[])
  as given (partition, committed_offset, leader_epoch, metadata)
order by partition
on conflict (group_id, topic, partition) do nothing;

-- name: create_topic
-- A topic that Postgres numbers, with its partitions' heads at 0; nothing when it is there already.
with made as (
  insert into /*queue.*/job_topic (topic, partitions, partitioner, retention_ms, opened_at)
  values (%(topic)s, %(partitions)s, %(partitioner)s, %(retention_ms)s, now())
  on conflict (topic) do nothing
  returning topic, partitions
)
insert into /*queue.*/job_partition (topic, partition)
select made.topic, number
from made
cross join lateral generate_series(0, made.partitions - 1) as numbers (number);

-- name: grow_topic
-- More partitions, with their heads at 0.
with grown as (
  update /*queue.*/job_topic
  set partitions = %(total)s
  where topic = %(topic)s
  returning topic, partitions
)
insert into /*queue.*/job_partition (topic, partition)
select grown.topic, number
from grown
cross join lateral generate_series(0, grown.partitions - 1) as numbers (number)
on conflict (topic, partition) do nothing;

-- name: delete_rows
-- Some of a topic's rows; those that somebody works on are left.
with doomed as materialized (
  select id
  from /*queue.*/job_queue
  where topic = %(topic)s
  limit %(limit)s
  for update skip locked
)
delete from /*queue.*/job_queue
where id = any(array(select id from doomed));

-- name: delete_rest
-- All that is left of a topic's rows.
delete from /*queue.*/job_queue
where topic = %(topic)s;

-- name: delete_topic
-- A topic, with its partitions and its groups' offsets.
delete from /*queue.*/job_topic
where topic = %(topic)s;

-- name: lock_head
-- Where a partition stands; nobody numbers its rows until this transaction ends.
select start_offset, next_offset
from /*queue.*/job_partition
where topic = %(topic)s and partition = %(partition)s
for no key update;

-- name: move_start
-- Moves the low watermark of a partition forward, never back.
update /*queue.*/job_partition
set start_offset = %(start_offset)s
where topic = %(topic)s and partition = %(partition)s and start_offset < %(start_offset)s;

-- name: delete_below
-- Some of the rows of a partition below its low watermark, the oldest; those that somebody works on are left.
with doomed as materialized (
  select id
  from /*queue.*/job_queue
  where topic = %(topic)s and partition = %(partition)s and log_offset < %(before)s
  order by log_offset
  limit %(limit)s
  for update skip locked
)
delete from /*queue.*/job_queue
where id = any(array(select id from doomed));

-- name: delete_rest_below
-- All that is left of the rows of a partition below its low watermark.
delete from /*queue.*/job_queue
where topic = %(topic)s and partition = %(partition)s and log_offset < %(before)s;

-- name: describe_topics
-- What clients are told of topics; null for all of them.
select topic, topic_id, partitions, partitioner, sequencer, gate, keep_value, retention_ms
from /*queue.*/job_topic
where topic = any(%(topics)s) or %(topics)s::text[] is null
order by topic;

-- name: read_cluster_id
-- What identifies this queue to clients.
select cluster_id from /*queue.*/job_cluster;
