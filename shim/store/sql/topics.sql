-- name: register_topic
-- A topic whose records Kafka numbers for now: closed to workers until somebody opens it.
insert into /*queue.*/job_topic (topic, partitions, sequencer, gate)
values (%(topic)s, %(partitions)s, 'kafka', 'closed')
on conflict (topic) do nothing;

-- name: register_partitions
-- The heads of a topic's partitions; those that exist keep their place.
insert into /*queue.*/job_partition (topic, partition, next_offset)
select %(topic)s, partition, next_offset
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
-- The gate and the sequencer of each topic.
select topic, gate, sequencer, keep_value
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
