-- name: due_partitions
-- Partitions whose oldest row is older than their topic keeps it, the oldest first. A delayed row ages from its due time.
select head.topic, head.partition
from /*queue.*/job_topic as topic
join /*queue.*/job_partition as head on head.topic = topic.topic
cross join lateral (
  select case when isfinite(job.process_after) then greatest(job.created_at, job.process_after) else job.created_at end
    as came_at
  from /*queue.*/job_queue as job
  -- From the low watermark on: below lies what VACUUM has not yet removed.
  where job.topic = head.topic and job.partition = head.partition and job.log_offset >= head.start_offset
  order by job.log_offset
  limit 1
) as oldest
where topic.sequencer = 'postgres' and topic.gate = 'open'
  -- In milliseconds, for an interval does not hold what people write to mean "for ever".
  and (extract(epoch from clock_timestamp()) - extract(epoch from oldest.came_at)) * 1000 > topic.retention_ms
order by oldest.came_at, head.topic, head.partition;

-- name: try_sweeping
-- Whether nobody else sweeps right now.
select pg_try_advisory_xact_lock(hashtextextended('sweeping of /*queue.*/job_queue', 0));

-- name: find_expired
-- The low watermark of a partition, the last offset that may go, and how many rows would; null when none may.
with horizon as materialized (
  select
    extract(epoch from clock_timestamp()) * 1000 - topic.retention_ms as since_ms,
    coalesce(topic.owner_kind = 'share', false) as shared
  from /*queue.*/job_topic as topic
  where topic.topic = %(topic)s and topic.retention_ms is not null
), held as materialized (
  select min(committed.committed_offset) as from_offset
  from /*queue.*/job_group_offset as committed
  cross join horizon
  where committed.topic = %(topic)s and committed.partition = %(partition)s
    and (
      exists (
        select
        from /*queue.*/job_group_offset as recent
        where recent.group_id = committed.group_id and recent.topic = committed.topic
          and extract(epoch from recent.committed_at) * 1000 >= horizon.since_ms
      )
      or exists (
        select
        from /*queue.*/job_group_member as member
        where member.group_id = committed.group_id and extract(epoch from member.lease_until) * 1000 >= horizon.since_ms
      )
      or exists (
        select
        from /*queue.*/job_group as registered
        where registered.group_id = committed.group_id
          and extract(epoch from registered.changed_at) * 1000 >= horizon.since_ms
      )
    )
), place as materialized (
  select head.start_offset
  from /*queue.*/job_partition as head
  where head.topic = %(topic)s and head.partition = %(partition)s
), oldest as materialized (
  select job.log_offset, job.status,
    case when isfinite(job.process_after) then greatest(job.created_at, job.process_after) else job.created_at end
      as came_at
  from /*queue.*/job_queue as job
  where job.topic = %(topic)s and job.partition = %(partition)s
    and job.log_offset >= (select start_offset from place)
    and job.log_offset < coalesce((select from_offset from held), 9223372036854775807)
  order by job.log_offset
  limit %(limit)s
), kept as (
  select min(oldest.log_offset) as from_offset
  from oldest
  cross join horizon
  where extract(epoch from oldest.came_at) * 1000 >= horizon.since_ms
    or (horizon.shared and oldest.status in ('pending', 'processing'))
)
select (select start_offset from place) as start, max(oldest.log_offset) as expired, count(*) as rows
from oldest
cross join horizon
where oldest.log_offset < coalesce((select from_offset from kept), 9223372036854775807);

-- name: delete_expired
-- The rows of a partition in a range of offsets; those that somebody works on are left.
with doomed as materialized (
  select job.id
  from /*queue.*/job_queue as job
  where job.topic = %(topic)s and job.partition = %(partition)s
    and job.log_offset between %(start)s and %(expired)s
    and not (
      job.status in ('pending', 'processing')
      and exists (
        select from /*queue.*/job_topic as topic where topic.topic = %(topic)s and topic.owner_kind = 'share'
      )
    )
  order by job.log_offset
  for update of job skip locked
)
delete from /*queue.*/job_queue
where id = any(array(select id from doomed));

-- name: first_left
-- The first row of a partition in a range of offsets that is still there.
select min(log_offset)
from /*queue.*/job_queue
where topic = %(topic)s and partition = %(partition)s and log_offset between %(start)s and %(expired)s;

-- name: passed_groups
-- Groups that stand before the low watermark to come, and how many offsets it takes from them.
select
  committed.group_id, committed.topic, committed.partition,
  %(start_offset)s - greatest(committed.committed_offset, head.start_offset) as offsets
from /*queue.*/job_group_offset as committed
join /*queue.*/job_partition as head on head.topic = committed.topic and head.partition = committed.partition
where committed.topic = %(topic)s and committed.partition = %(partition)s
  and greatest(committed.committed_offset, head.start_offset) < %(start_offset)s
order by committed.group_id;
