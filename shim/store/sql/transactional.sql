-- name: limit_transaction
-- Ends the caller's transaction when it takes too long: it holds a job, and keeps VACUUM from all tables.
select set_config('statement_timeout', %(timeout)s, true),
  set_config('idle_in_transaction_session_timeout', %(timeout)s, true);

-- name: limit_whole_transaction
-- The same for the transaction as a whole; from Postgres 17 on.
select set_config('transaction_timeout', %(timeout)s, true);

-- name: take_in
-- The oldest jobs that are due and free, completed at once: that comes true when the caller's transaction commits, with
-- everything else in it, and until then nobody else gets them. One update for each job.
with due as materialized (
  select id
  from /*queue.*/job_queue
  where topic = %(topic)s and status = 'pending' and process_after <= now() and log_offset is not null
  order by process_after, id
  limit %(limit)s
  for no key update skip locked
), taken as (
  update /*queue.*/job_queue
  set status = 'completed', locked_at = clock_timestamp(), locked_by = %(worker)s, finished_at = clock_timestamp()
  where id = any(array(select id from due))
  returning *
)
select job.id, job.retry_count /*+ record.of_job */
from taken as job
order by job.process_after, job.id;

-- name: count_failure
-- Counts a delivery whose transaction was rolled back: the job comes again after its pause, or has failed at the limit.
-- Where the gate is closed it is parked, so whoever runs this keeps the gate as it is.
with free as materialized (
  select job.id, job.retry_count + 1 >= terms.max_deliveries as last,
    /*queue.*/job_backoff(job.retry_count + 1, terms.retry_backoff_ms, terms.retry_backoff_max_ms)
      + case when terms.gate = 'closed' then interval '876582000 hours' else interval '0' end as pause
  from /*queue.*/job_queue as job
  join /*queue.*/job_topic as terms on terms.topic = job.topic
  where job.id = any(%(ids)s) and case when job.status = 'pending' then true end
  order by job.id
  for no key update of job skip locked
)
update /*queue.*/job_queue as job
set status = (case when free.last then 'failed' else 'pending' end)::/*queue.*/job_status,
  retry_count = retry_count + 1, last_error = %(error)s,
  finished_at = case when free.last then clock_timestamp() end,
  process_after = case when free.last then process_after else clock_timestamp() + free.pause end
from free
where job.id = free.id;
