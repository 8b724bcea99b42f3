-- name: look
-- Gates and heads of these topics, whether rows wait that are due and have no offset, or else in how many seconds the
-- first of them will be; and whether there are jobs to claim or to recover, for those topics where somebody wants to
-- know: one index probe for each.
with topic as materialized (
  select registered.topic, registered.gate,
    registered.sequencer = 'postgres' and coalesce(waiting.process_after <= now(), false) as is_due,
    case
      when registered.sequencer = 'postgres' and waiting.process_after > now()
        and waiting.process_after < timestamptz '100000-01-01 00:00:00+00'
      then extract(epoch from waiting.process_after - now())::double precision
    end as due_in_s,
    registered.gate = 'open' and (claimable.is_there is not null or expired.is_there is not null) as has_jobs
  from /*queue.*/job_topic as registered
  left join lateral (
    select job.process_after
    from /*queue.*/job_queue as job
    where job.topic = registered.topic and job.log_offset is null and job.status = 'pending'
    order by job.process_after, job.id
    limit 1
  ) as waiting on true
  left join lateral (
    select true as is_there
    from /*queue.*/job_queue as job
    where registered.topic = any(%(claimed)s)
      and job.topic = registered.topic and job.status = 'pending' and job.process_after <= now()
      and job.log_offset is not null
    order by job.process_after, job.id
    limit 1
  ) as claimable on true
  left join lateral (
    select true as is_there
    from /*queue.*/job_queue as job
    where registered.topic = any(%(claimed)s)
      and job.topic = registered.topic and job.status = 'processing'
      and job.locked_at < now() - registered.lease_ms * interval '1 millisecond'
    order by job.locked_at
    limit 1
  ) as expired on true
  where registered.topic = any(%(topics)s)
)
select
  topic.topic, topic.gate, topic.is_due, topic.has_jobs, head.partition, head.start_offset, head.next_offset,
  topic.due_in_s
from topic
left join /*queue.*/job_partition as head on head.topic = topic.topic;
