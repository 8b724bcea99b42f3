-- name: look
-- Gates and heads of these topics, whether rows wait that are due and have no offset, or else in how many seconds the
-- first of them will be; and whether there are jobs to claim or to recover, for those topics where somebody wants to
-- know: one index probe for each. The lower bounds only skip what an index still holds of jobs that are gone. Where there
-- is nothing to claim, no job is due before the last seconds: whatever is committed late becomes due in those.
with topic as materialized (
  select registered.topic, registered.gate,
    registered.sequencer = 'postgres' and coalesce(waiting.process_after <= now(), false) as is_due,
    case
      when registered.sequencer = 'postgres' and waiting.process_after > now()
        and waiting.process_after < timestamptz '100000-01-01 00:00:00+00'
      then extract(epoch from waiting.process_after - now())::double precision
    end as due_in_s,
    registered.gate = 'open' and claimable.id is not null as has_jobs, expired.is_there is not null as has_expired,
    registered.gate = 'open' and coalesce((claimable.process_after, claimable.id) <= (hint.past, hint.past_id), false)
      as is_behind,
    case when registered.gate = 'open' and hint.topic is not null and claimable.id is null
      then (now() - interval '10 seconds')::text
    end as nothing_before
  from /*queue.*/job_topic as registered
  left join unnest(
    %(claimed)s::text[],
    %(after)s::timestamptz[], %(after_ids)s::bigint[], %(past)s::timestamptz[], %(past_ids)s::bigint[]
  ) as hint (topic, after, after_id, past, past_id) on hint.topic = registered.topic
  left join lateral (
    select job.process_after
    from /*queue.*/job_queue as job
    where job.topic = registered.topic and job.log_offset is null and job.status = 'pending'
      and job.process_after >= coalesce(now() - %(window_ms)s::bigint * interval '1 millisecond', '-infinity')
    order by job.process_after, job.id
    limit 1
  ) as waiting on true
  left join lateral (
    select job.process_after, job.id
    from /*queue.*/job_queue as job
    where hint.topic is not null
      and job.topic = registered.topic and job.status = 'pending' and job.process_after <= now()
      and (job.process_after, job.id) > (hint.after, hint.after_id)
      and job.log_offset is not null
    order by job.process_after, job.id
    limit 1
  ) as claimable on true
  left join lateral (
    select true as is_there
    from /*queue.*/job_queue as job
    where hint.topic is not null
      and job.topic = registered.topic and job.status = 'processing'
      and job.locked_at < now() - registered.lease_ms * interval '1 millisecond'
      and job.locked_at >= coalesce(
        now() - (registered.lease_ms + %(window_ms)s::bigint) * interval '1 millisecond', '-infinity'
      )
    order by job.locked_at
    limit 1
  ) as expired on true
  where registered.topic = any(%(topics)s)
)
select topic.topic, topic.gate, topic.is_due, topic.has_jobs, topic.has_expired,
  head.partition, head.start_offset, head.next_offset, topic.is_behind, topic.nothing_before, topic.due_in_s
from topic
left join /*queue.*/job_partition as head on head.topic = topic.topic;
