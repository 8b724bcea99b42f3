-- name: complete
-- Jobs of one claim that are done, as far as the claim still holds. Here and below the status stands behind "case", so
-- that the primary key finds the jobs: the index of all that are being worked on is full of dead entries.
update /*queue.*/job_queue
set status = 'completed', finished_at = clock_timestamp()
where id = any(%(ids)s) and lease = %(lease)s and case when status = 'processing' then true end
returning id;

-- name: release
-- Jobs that are to be delivered again, after a pause of their own or their topic's; at the limit they have failed.
-- Where the gate is closed they are parked, so whoever runs this keeps the gate as it is. The token is turned round: it
-- tells whose word this was, and holds nothing, were the next claim one of plain SQL that brings no token.
with held as materialized (
  select job.id, given.error, job.retry_count + 1 >= terms.max_deliveries as last,
    coalesce(
      given.pause_ms * interval '1 millisecond',
      /*queue.*/job_backoff(job.retry_count + 1, terms.retry_backoff_ms, terms.retry_backoff_max_ms)
    ) + case when terms.gate = 'closed' then interval '876582000 hours' else interval '0' end as pause
  from unnest(%(ids)s::bigint[], %(errors)s::text[], %(pauses_ms)s::bigint[]) as given (id, error, pause_ms)
  join /*queue.*/job_queue as job on job.id = given.id
  join /*queue.*/job_topic as terms on terms.topic = job.topic
  where job.lease = %(lease)s and case when job.status = 'processing' then true end
  order by job.id
  for no key update of job
)
update /*queue.*/job_queue as job
set status = (case when held.last then 'failed' else 'pending' end)::/*queue.*/job_status,
  retry_count = retry_count + 1,
  last_error = coalesce(held.error, case when held.last then 'delivery limit reached' else last_error end),
  finished_at = case when held.last then clock_timestamp() end,
  process_after = case when held.last then process_after else clock_timestamp() + held.pause end,
  locked_at = null, locked_by = null, lease = -lease
from held
where job.id = held.id
returning job.id, job.status::text;

-- name: reject
-- Jobs that have failed for good.
with held as materialized (
  select job.id, given.error
  from unnest(%(ids)s::bigint[], %(errors)s::text[]) as given (id, error)
  join /*queue.*/job_queue as job on job.id = given.id
  where job.lease = %(lease)s and case when job.status = 'processing' then true end
  order by job.id
  for no key update of job
)
update /*queue.*/job_queue as job
set status = 'failed', finished_at = clock_timestamp(), last_error = coalesce(held.error, 'rejected')
from held
where job.id = held.id
returning job.id;

-- name: return_unseen
-- Jobs that were claimed and that nobody has been handed: free again, as if they had not been claimed; or parked, where
-- the gate is closed. The token as in a release.
update /*queue.*/job_queue as job
set status = 'pending', locked_at = null, locked_by = null, lease = -job.lease,
  process_after = case when terms.gate = 'closed' then 'infinity' else process_after end
from /*queue.*/job_topic as terms
where job.id = any(%(ids)s) and job.lease = %(lease)s and case when job.status = 'processing' then true end
  and terms.topic = job.topic
returning job.id;

-- name: renew
-- Claims go on for another lease, as far as they still hold; one that ran out does until somebody recovers the job.
update /*queue.*/job_queue
set locked_at = clock_timestamp()
where id = any(%(ids)s) and lease = any(%(leases)s) and case when status = 'processing' then true end
returning id, lease;

-- name: settled_by
-- Which of these jobs this claim was the last to settle: what was asked for before a reply was lost.
select id, status::text
from /*queue.*/job_queue
where id = any(%(ids)s) and abs(lease) = %(lease)s and status <> 'processing';

-- name: return_unknown
-- Jobs that a worker claimed without ever learning it, since the reply was lost: free again, as if not claimed.
update /*queue.*/job_queue as job
set status = 'pending', locked_at = null, locked_by = null,
  process_after = case when terms.gate = 'closed' then 'infinity' else process_after end
from /*queue.*/job_topic as terms
where job.status = 'processing' and job.locked_by = %(worker)s and job.lease <> all(%(known)s::bigint[])
  and terms.topic = job.topic and job.topic = any(%(topics)s)
returning job.id;
