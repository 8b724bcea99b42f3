-- name: find_finished
-- Of the next rows in a partition that a share group owns: the ids of finished jobs that are old enough to go, where
-- the search is to go on, and whether it came to the young ones or to the end, so that it begins anew.
with kept as materialized (
  select extract(epoch from clock_timestamp()) * 1000 - coalesce(topic.completed_retention_ms, topic.retention_ms)
      as completed_since_ms,
    extract(epoch from clock_timestamp()) * 1000 - coalesce(topic.failed_retention_ms, topic.retention_ms)
      as failed_since_ms
  from /*queue.*/job_topic as topic
  where topic.topic = %(topic)s and topic.owner_kind = 'share'
), place as materialized (
  select head.start_offset, greatest(head.start_offset, head.swept_offset) as from_offset
  from /*queue.*/job_partition as head
  where head.topic = %(topic)s and head.partition = %(partition)s
), ahead as materialized (
  select job.id, job.log_offset, job.status, job.created_at, coalesce(job.finished_at, job.created_at) as since
  from /*queue.*/job_queue as job
  where job.topic = %(topic)s and job.partition = %(partition)s
    and job.log_offset >= (select from_offset from place) and job.log_offset < %(held_from)s
  order by job.log_offset
  limit %(limit)s
), old as (
  select ahead.id
  from ahead
  cross join kept
  where extract(epoch from ahead.since) * 1000 < case ahead.status
    when 'completed' then kept.completed_since_ms
    when 'failed' then kept.failed_since_ms
  end
)
select place.start_offset, coalesce(array(select id from old), '{}') as ids,
  coalesce((select max(log_offset) + 1 from ahead), place.from_offset) as go_on,
  (select count(*) from ahead) < %(limit)s
    or (
      -- Nobody finishes a job before it was created.
      select extract(epoch from ahead.created_at) * 1000 >= greatest(kept.completed_since_ms, kept.failed_since_ms)
      from ahead
      cross join kept
      order by ahead.log_offset desc
      limit 1
    ) is not false as done
from place;

-- name: delete_finished
-- Finished jobs by their ids; those that somebody holds, or made pending again meanwhile, are left.
with doomed as materialized (
  select id
  from /*queue.*/job_queue
  where id = any(%(ids)s) and case when status in ('completed', 'failed') then true end
  order by id
  for update skip locked
)
delete from /*queue.*/job_queue
where id = any(array(select id from doomed))
returning log_offset;

-- name: delete_plain
-- Finished jobs that never got an offset, so that no group can read them; the oldest first. Nobody finishes a job before
-- it was created, so the search ends at the young ones.
with kept as materialized (
  select extract(epoch from clock_timestamp()) * 1000 - coalesce(topic.completed_retention_ms, topic.retention_ms)
      as completed_since_ms,
    extract(epoch from clock_timestamp()) * 1000 - coalesce(topic.failed_retention_ms, topic.retention_ms)
      as failed_since_ms
  from /*queue.*/job_topic as topic
  where topic.topic = %(topic)s
), doomed as materialized (
  select job.id
  from /*queue.*/job_queue as job
  cross join kept
  where job.topic = %(topic)s and job.log_offset is null and job.status in ('completed', 'failed')
    and job.created_at < (select to_timestamp(greatest(completed_since_ms, failed_since_ms, 0) / 1000) from kept)
    and extract(epoch from coalesce(job.finished_at, job.created_at)) * 1000 < case job.status
      when 'completed' then kept.completed_since_ms
      when 'failed' then kept.failed_since_ms
    end
  order by job.created_at
  limit %(limit)s
  for update of job skip locked
)
delete from /*queue.*/job_queue
where id = any(array(select id from doomed));

-- name: move_swept
-- Takes note of where the search for finished jobs goes on.
update /*queue.*/job_partition
set swept_offset = %(swept_offset)s
where topic = %(topic)s and partition = %(partition)s and swept_offset <> %(swept_offset)s;
