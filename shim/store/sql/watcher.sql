-- name: look
-- Gates and heads of these topics, whether rows wait that are due and have no offset, and whether there are jobs to
-- claim or to recover, for those topics where somebody wants to know: one index probe for each.
with topic as materialized (
  select registered.topic, registered.gate,
    registered.sequencer = 'postgres' and waiting.is_due is not null as is_due,
    registered.gate = 'open' and claimable.is_there is not null as has_jobs, expired.is_there is not null as has_expired
  from /*queue.*/job_topic as registered
  left join lateral (
    select true as is_due
    from /*queue.*/job_queue as job
    where job.topic = registered.topic and job.log_offset is null and job.status = 'pending'
      and job.process_after <= now()
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
select topic.topic, topic.gate, topic.is_due, topic.has_jobs, topic.has_expired, head.partition, head.start_offset, head.next_offset
from topic
left join /*queue.*/job_partition as head on head.topic = topic.topic;
