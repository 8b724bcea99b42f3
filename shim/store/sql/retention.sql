-- name: due_partitions
-- What may hold something that is older than its topic keeps it, the oldest first: partitions of a log, partitions of
-- jobs that a share group owns, and, without a partition, jobs that never got an offset. A delayed row of a log ages from
-- its due time.
with kept as materialized (
  select topic.topic, coalesce(topic.owner_kind = 'share', false) as shared, topic.retention_ms,
    least(
      coalesce(topic.completed_retention_ms, topic.retention_ms), coalesce(topic.failed_retention_ms, topic.retention_ms)
    ) as finished_ms
  from /*queue.*/job_topic as topic
  where topic.sequencer = 'postgres' and topic.gate = 'open'
)
select due.topic, due.partition, due.shared
from (
  select head.topic, head.partition, kept.shared, oldest.came_at as since,
    case when kept.shared then kept.finished_ms else kept.retention_ms end as keep_ms
  from kept
  join /*queue.*/job_partition as head on head.topic = kept.topic
  cross join lateral (
    select case
        when isfinite(job.process_after) and not kept.shared then greatest(job.created_at, job.process_after)
        else job.created_at
      end as came_at
    from /*queue.*/job_queue as job
    -- From the low watermark on: below lies what VACUUM has not yet removed.
    where job.topic = head.topic and job.partition = head.partition and job.log_offset >= head.start_offset
    order by job.log_offset
    limit 1
  ) as oldest
  union all
  select kept.topic, null, kept.shared, oldest.since, kept.finished_ms
  from kept
  cross join lateral (
    select job.created_at as since
    from /*queue.*/job_queue as job
    where job.topic = kept.topic and job.log_offset is null and job.status in ('completed', 'failed')
    order by job.created_at
    limit 1
  ) as oldest
) as due
-- In milliseconds, for an interval does not hold what people write to mean "for ever".
where (extract(epoch from clock_timestamp()) - extract(epoch from due.since)) * 1000 > due.keep_ms
order by due.since, due.topic, due.partition;

-- name: try_sweeping
-- Whether nobody else sweeps right now.
select pg_try_advisory_xact_lock(hashtextextended('sweeping of /*queue.*/job_queue', 0));

-- name: held_from
-- The lowest committed offset, in one partition, of the groups that were used within the topic's retention.
with horizon as materialized (
  select extract(epoch from clock_timestamp()) * 1000 - coalesce(topic.retention_ms, 9223372036854775807) as since_ms
  from /*queue.*/job_topic as topic
  where topic.topic = %(topic)s
)
select coalesce(min(committed.committed_offset), 9223372036854775807) as held_from
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
  );

-- name: find_expired
-- The low watermark of a log's partition, the last offset that may go, and how many rows would; null when none may.
-- A row that is young, that somebody works on, or that is held for a person keeps all behind it.
with horizon as materialized (
  select extract(epoch from clock_timestamp()) * 1000 - topic.retention_ms as since_ms
  from /*queue.*/job_topic as topic
  where topic.topic = %(topic)s and topic.retention_ms is not null and topic.owner_kind is distinct from 'share'
), place as materialized (
  select head.start_offset
  from /*queue.*/job_partition as head
  where head.topic = %(topic)s and head.partition = %(partition)s
), oldest as materialized (
  select job.log_offset, job.status, job.process_after,
    case when isfinite(job.process_after) then greatest(job.created_at, job.process_after) else job.created_at end
      as came_at
  from /*queue.*/job_queue as job
  where job.topic = %(topic)s and job.partition = %(partition)s
    and job.log_offset >= (select start_offset from place) and job.log_offset < %(held_from)s
  order by job.log_offset
  limit %(limit)s
), kept as (
  select min(oldest.log_offset) as from_offset
  from oldest
  cross join horizon
  where extract(epoch from oldest.came_at) * 1000 >= horizon.since_ms
    or oldest.status = 'processing'
    or oldest.status = 'pending' and oldest.process_after = 'infinity'
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
    and job.status <> 'processing' and not (job.status = 'pending' and job.process_after = 'infinity')
  order by job.log_offset
  for update of job skip locked
)
delete from /*queue.*/job_queue
where id = any(array(select id from doomed))
returning log_offset;

-- name: first_left
-- The first row of a partition in a range of offsets that is still there.
select min(log_offset)
from /*queue.*/job_queue
where topic = %(topic)s and partition = %(partition)s and log_offset between %(start)s and %(expired)s;

-- name: passed_groups
-- Groups that stand before rows which are gone, and how many of these they have not read.
select committed.group_id, committed.topic, committed.partition, count(*) as offsets
from /*queue.*/job_group_offset as committed
join unnest(%(offsets)s::bigint[]) as gone (log_offset) on gone.log_offset >= committed.committed_offset
where committed.topic = %(topic)s and committed.partition = %(partition)s
group by committed.group_id, committed.topic, committed.partition
order by committed.group_id;
