-- name: read_ownership
-- Who owns these topics, null for all of them; and how far status is behind the consumer group that owns one, which has
-- so many members on it.
select topic.topic, topic.owner_group, topic.owner_kind, topic.gate,
  (
    select count(*)
    from /*queue.*/job_group_member as member
    where topic.owner_kind = 'consumer' and member.group_id = topic.owner_group
      and member.lease_until > clock_timestamp()
      and (
        topic.topic = any(member.topics)
        or exists (
          select
          from /*queue.*/job_group_partition as assigned
          where assigned.group_id = member.group_id and assigned.topic = topic.topic
            and member.member_id in (assigned.holder, assigned.target)
        )
      )
  ) as members,
  (
    select coalesce(sum(least(committed.committed_offset, head.next_offset) - head.settled_offset), 0)::bigint
    from /*queue.*/job_partition as head
    join /*queue.*/job_group_offset as committed
      on committed.group_id = topic.owner_group and committed.topic = head.topic
      and committed.partition = head.partition
    where topic.owner_kind = 'consumer' and head.topic = topic.topic
      and least(committed.committed_offset, head.next_offset) > head.settled_offset
  ) as unsettled
from /*queue.*/job_topic as topic
where topic.topic = any(%(topics)s) or %(topics)s::text[] is null
order by topic.topic;

-- name: hold_owner
-- Nobody becomes the topic's owner until this transaction ends.
select from /*queue.*/job_topic where topic = %(topic)s for no key update;

-- name: foresee
-- What a consumer group's offsets mean for a topic: how many pending jobs lie below them, how many finished ones do not
-- and will be read all the same, and how many partitions have none.
select
  (
    select count(*)
    from /*queue.*/job_queue as job
    join /*queue.*/job_group_offset as committed
      on committed.group_id = %(group_id)s and committed.topic = job.topic and committed.partition = job.partition
    where job.topic = %(topic)s and job.status = 'pending' and job.log_offset < committed.committed_offset
  ) as completes,
  (
    select coalesce(sum(ahead.finished), 0)::bigint
    from /*queue.*/job_group_offset as committed
    cross join lateral (
      select count(*) as finished
      from /*queue.*/job_queue as job
      where job.topic = committed.topic and job.partition = committed.partition
        and job.log_offset >= committed.committed_offset and job.status in ('completed', 'failed')
    ) as ahead
    where committed.group_id = %(group_id)s and committed.topic = %(topic)s
  ) as repeats,
  (
    select count(*)
    from /*queue.*/job_partition as head
    where head.topic = %(topic)s and not exists (
      select
      from /*queue.*/job_group_offset as committed
      where committed.group_id = %(group_id)s and committed.topic = head.topic and committed.partition = head.partition
    )
  ) as uncommitted;

-- name: set_owner
-- Names the group whose progress the topic's status tells, or nobody.
update /*queue.*/job_topic
set owner_group = %(group_id)s, owner_kind = %(kind)s
where topic = %(topic)s;

-- name: settle_anew
-- A consumer group that comes to own a topic is settled from the first row on: others may have left pending ones behind.
update /*queue.*/job_partition as head
set settled_offset = head.start_offset
from (
  select topic, partition
  from /*queue.*/job_partition
  where topic = %(topic)s
  order by topic, partition
  for no key update
) as locked
where head.topic = locked.topic and head.partition = locked.partition;
