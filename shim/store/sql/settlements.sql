-- name: complete
-- Jobs of one claim that are done, as far as the claim still holds.
update /*queue.*/job_queue
set status = 'completed', finished_at = clock_timestamp()
where id = any(%(ids)s) and lease = %(lease)s and status = 'processing'
returning id;

-- name: release
-- Jobs that are to be delivered again, after a pause of their own or their topic's; at the limit they have failed.
with held as materialized (
  select job.id, given.error, given.pause_ms, terms.retry_backoff_ms, terms.retry_backoff_max_ms,
    job.retry_count + 1 >= terms.max_deliveries as last
  from unnest(%(ids)s::bigint[], %(errors)s::text[], %(pauses_ms)s::bigint[]) as given (id, error, pause_ms)
  join /*queue.*/job_queue as job on job.id = given.id
  join /*queue.*/job_topic as terms on terms.topic = job.topic
  where job.lease = %(lease)s and job.status = 'processing'
  order by job.id
  for no key update of job
)
update /*queue.*/job_queue as job
set status = (case when held.last then 'failed' else 'pending' end)::/*queue.*/job_status,
  retry_count = retry_count + 1,
  last_error = coalesce(held.error, case when held.last then 'delivery limit reached' else last_error end),
  finished_at = case when held.last then clock_timestamp() end,
  process_after = case
    when held.last then process_after
    when held.pause_ms is not null then clock_timestamp() + held.pause_ms * interval '1 millisecond'
    else clock_timestamp()
      + /*queue.*/job_backoff(retry_count + 1, held.retry_backoff_ms, held.retry_backoff_max_ms)
  end,
  locked_at = null, locked_by = null
from held
where job.id = held.id
returning job.id, job.status::text;

-- name: reject
-- Jobs that have failed for good.
with held as materialized (
  select job.id, given.error
  from unnest(%(ids)s::bigint[], %(errors)s::text[]) as given (id, error)
  join /*queue.*/job_queue as job on job.id = given.id
  where job.lease = %(lease)s and job.status = 'processing'
  order by job.id
  for no key update of job
)
update /*queue.*/job_queue as job
set status = 'failed', finished_at = clock_timestamp(), last_error = coalesce(held.error, 'rejected')
from held
where job.id = held.id
returning job.id;

-- name: return_unseen
-- Jobs that were claimed ahead and that nobody has been handed: free again, as if they had not been claimed.
update /*queue.*/job_queue
set status = 'pending', locked_at = null, locked_by = null
where id = any(%(ids)s) and lease = %(lease)s and status = 'processing'
returning id;

-- name: renew
-- A claim goes on for another lease, as far as it still holds; one that ran out does until somebody recovers the job.
update /*queue.*/job_queue
set locked_at = clock_timestamp()
where id = any(%(ids)s) and lease = %(lease)s and status = 'processing'
returning id;

-- name: settled_by
-- Which of these jobs this claim was the last to settle: what was asked for before a reply was lost.
select id, status::text
from /*queue.*/job_queue
where id = any(%(ids)s) and lease = %(lease)s and status <> 'processing';
