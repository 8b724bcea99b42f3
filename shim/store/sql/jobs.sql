-- name: count_jobs
-- How many jobs a choice holds.
select count(*)
from /*queue.*/job_queue as job
where (%(topics)s::text[] is null or job.topic = any(%(topics)s::text[]))
  and job.status::text = any(%(statuses)s::text[])
  and (%(ids)s::bigint[] is null or job.id = any(%(ids)s::bigint[]))
  and (%(error)s::text is null or position(%(error)s in job.last_error) > 0)
  and (%(older_s)s::float8 is null
       or coalesce(job.finished_at, job.created_at) < now() - %(older_s)s::float8 * interval '1 second');

-- name: list_jobs
-- The next jobs of a choice behind an id, without anything that was produced.
select job.id, job.topic, job.partition, job.log_offset, job.status::text as status, job.retry_count, job.last_error,
  job.created_at::text as created_at, job.process_after::text as process_after, job.locked_at::text as locked_at
from /*queue.*/job_queue as job
where job.id > %(after)s
  and (%(topics)s::text[] is null or job.topic = any(%(topics)s::text[]))
  and job.status::text = any(%(statuses)s::text[])
  and (%(ids)s::bigint[] is null or job.id = any(%(ids)s::bigint[]))
  and (%(error)s::text is null or position(%(error)s in job.last_error) > 0)
  and (%(older_s)s::float8 is null
       or coalesce(job.finished_at, job.created_at) < now() - %(older_s)s::float8 * interval '1 second')
order by job.id
limit %(limit)s;

-- name: show_job
-- One job with sizes and digests of what was produced, and who has had it.
select job.id, job.topic, job.partition, job.log_offset, job.status::text as status, job.retry_count, job.last_error,
  job.created_at::text as created_at, job.process_after::text as process_after, job.locked_at::text as locked_at,
  job.locked_by, job.lease, job.finished_at::text as finished_at, job.encoding, job.message_id::text as message_id,
  octet_length(job.key) as key_size, encode(sha256(job.key), 'hex') as key_digest,
  octet_length(job.value) as value_size, encode(sha256(job.value), 'hex') as value_digest,
  coalesce(array_length(job.headers, 1), 0) / 2 as headers,
  job.key, job.value, job.payload::text as payload
from /*queue.*/job_queue as job
where job.id = %(id)s;

-- name: retry_jobs
-- Lets failed jobs run again from the start, at once; behind a closed gate they are parked. Of those with the same
-- deduplication key one does, and none while another job with it is unfinished.
with free as materialized (
  select distinct on (job.topic, job.deduplication_key, case when job.deduplication_key is null then job.id end) job.id
  from /*queue.*/job_queue as job
  where job.id = any(%(ids)s) and job.status = 'failed'
    and not exists (
      select
      from /*queue.*/job_queue as other
      where other.topic = job.topic and other.deduplication_key = job.deduplication_key
        and other.status in ('pending', 'processing')
    )
  order by job.topic, job.deduplication_key, case when job.deduplication_key is null then job.id end, job.id
)
update /*queue.*/job_queue as job
set status = 'pending', retry_count = 0, locked_at = null, locked_by = null, lease = null, finished_at = null,
  process_after = case when terms.gate = 'closed' then 'infinity' else now() end
from /*queue.*/job_topic as terms
where job.id = any(array(select id from free)) and job.status = 'failed' and terms.topic = job.topic;

-- name: discard_jobs
-- Ends pending jobs without running them; no row is deleted.
update /*queue.*/job_queue
set status = 'failed', last_error = 'discarded', finished_at = clock_timestamp()
where id = any(%(ids)s) and status = 'pending';

-- name: purge_jobs
-- Deletes jobs that are completed or have failed.
delete from /*queue.*/job_queue
where id = any(%(ids)s) and status in ('completed', 'failed');
