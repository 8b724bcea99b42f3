-- name: look
-- Gates and heads of these topics, and whether rows wait that are due and have no offset: one index probe for each.
with topic as materialized (
  select registered.topic, registered.gate, registered.sequencer = 'postgres' and waiting.is_due is not null as is_due
  from /*queue.*/job_topic as registered
  left join lateral (
    select true as is_due
    from /*queue.*/job_queue as job
    where job.topic = registered.topic and job.log_offset is null and job.status = 'pending'
      and job.process_after <= now()
    order by job.process_after, job.id
    limit 1
  ) as waiting on true
  where registered.topic = any(%(topics)s)
)
select topic.topic, topic.gate, topic.is_due, head.partition, head.start_offset, head.next_offset
from topic
left join /*queue.*/job_partition as head on head.topic = topic.topic;
