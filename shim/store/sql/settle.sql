-- name: owners
-- The consumer groups that own a topic.
select distinct owner_group
from /*queue.*/job_topic
where owner_kind = 'consumer';

-- name: unsettled
-- Partitions in which the consumer group that owns the topic has come further than the rows tell; of one topic, or all.
select head.topic, head.partition, least(committed.committed_offset, head.next_offset) as until
from /*queue.*/job_topic as owned
join /*queue.*/job_partition as head on head.topic = owned.topic
join /*queue.*/job_group_offset as committed
  on committed.group_id = owned.owner_group
  and committed.topic = head.topic and committed.partition = head.partition
where owned.owner_kind = 'consumer' and least(committed.committed_offset, head.next_offset) > head.settled_offset
  and (%(topic)s::text is null or owned.topic = %(topic)s)
order by head.topic, head.partition;

-- name: try_settling
-- Whether nobody else settles right now.
select pg_try_advisory_xact_lock(hashtextextended('settling of /*queue.*/job_queue', 0));

-- name: settle
-- Completes the next rows below the group's committed offset, and tells how many there were and up to which offset.
with span as materialized (
  select job.id, job.log_offset, job.status
  from /*queue.*/job_queue as job
  where job.topic = %(topic)s and job.partition = %(partition)s and job.log_offset < %(until)s
    and job.log_offset >= (
      select head.settled_offset
      from /*queue.*/job_partition as head
      where head.topic = %(topic)s and head.partition = %(partition)s
    )
  order by job.log_offset
  limit %(limit)s
), settled as (
  update /*queue.*/job_queue
  set status = 'completed', finished_at = clock_timestamp()
  where id = any(array(select id from span where status = 'pending')) and status = 'pending'
  returning id
)
select (select count(*) from span), (select max(log_offset) from span), (select count(*) from settled);

-- name: move_settled
-- Takes note of how far rows are settled.
update /*queue.*/job_partition
set settled_offset = %(settled_offset)s
where topic = %(topic)s and partition = %(partition)s;
