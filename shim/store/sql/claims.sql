-- name: read_terms
-- On what terms these topics' jobs are claimed, and who owns them.
select topic, owner_group, owner_kind, gate, lease_ms, max_deliveries, retry_backoff_ms, retry_backoff_max_ms, key_order
from /*queue.*/job_topic
where topic = any(%(topics)s);

-- name: own_topics
-- Makes a share group the owner of those of these topics that have none; in one order, as everywhere.
with free as materialized (
  select topic
  from /*queue.*/job_topic
  where topic = any(%(topics)s) and owner_group is null
  order by topic
  for no key update
)
update /*queue.*/job_topic as topic
set owner_group = %(group_id)s, owner_kind = 'share'
from free
where topic.topic = free.topic;

-- name: claim
-- The oldest jobs that are due and free become this worker's, and what it has done is completed: one trip, one commit.
-- The lower bound only skips what the index still holds of jobs that are gone. By their ids, so that the primary key
-- alone finds them, whatever the statistics say. There is a row in any case, which counts what was completed.
with done as (
  update /*queue.*/job_queue
  set status = 'completed', finished_at = clock_timestamp()
  where id = any(%(done_ids)s) and lease = %(done_lease)s and case when status = 'processing' then true end
  returning id
), due as materialized (
  select id
  from /*queue.*/job_queue
  where topic = %(topic)s and status = 'pending' and process_after <= now()
    and (process_after, id) > (%(after)s::timestamptz, %(after_id)s::bigint)
    and log_offset is not null
  order by process_after, id
  limit %(limit)s
  for no key update skip locked
), claimed as (
  update /*queue.*/job_queue
  set status = 'processing', locked_at = clock_timestamp(), locked_by = %(worker)s,
    lease = (select nextval('/*queue.*/job_lease') where exists (select from due))
  where id = any(array(select id from due))
  returning *
)
select (select count(*) from done) as completed, job.id, job.lease, job.retry_count,
  job.process_after::text as process_after /*+ record.of_job */
from (values (1)) as always (one)
left join claimed as job on true
order by job.process_after, job.id;

-- name: lock_claims
-- One claim at a time where keys are worked on one job at a time: two would each find another job of the same key free.
select pg_advisory_xact_lock(hashtextextended('claims of /*queue.*/job_queue ' || %(topic)s, 0));

-- name: first_of_keys
-- Of each key that nobody works on the oldest job that is due, and every job without a key; looks no further than so
-- many jobs. To be run in a statement after the lock's, which sees what the lock's last holder did.
with ahead as materialized (
  select id, key, process_after
  from /*queue.*/job_queue
  where topic = %(topic)s and status = 'pending' and process_after <= now() and log_offset is not null
  order by process_after, id
  limit %(window)s
), busy as materialized (
  select distinct key
  from /*queue.*/job_queue
  where status = 'processing' and topic = %(topic)s and key is not null
), first as (
  select id, process_after, row_number() over (partition by key order by process_after, id) as place, key
  from ahead
  where key is null or not exists (select from busy where busy.key = ahead.key)
)
select array_agg(id) as ids, (select count(*) from ahead) as seen
from (
  select id from first where place = 1 or key is null order by process_after, id limit %(limit)s
) as chosen;

-- name: end
-- Completes what is done before a claim by key, so that the keys are free for it.
update /*queue.*/job_queue
set status = 'completed', finished_at = clock_timestamp()
where id = any(%(done_ids)s) and lease = %(done_lease)s and case when status = 'processing' then true end;

-- name: take
-- These jobs become this worker's, unless somebody was faster. By hand, in psql, nobody asks for the lock of claims.
with due as materialized (
  select id
  from /*queue.*/job_queue
  where id = any(%(ids)s) and case when status = 'pending' then process_after <= now() end
  for no key update skip locked
), claimed as (
  update /*queue.*/job_queue
  set status = 'processing', locked_at = clock_timestamp(), locked_by = %(worker)s,
    lease = (select nextval('/*queue.*/job_lease') where exists (select from due))
  where id = any(array(select id from due))
  returning *
)
select 0::bigint as completed, job.id, job.lease, job.retry_count,
  job.process_after::text as process_after /*+ record.of_job */
from claimed as job
order by job.process_after, job.id;

-- name: recover
-- Jobs whose claim has run out: counted, and delivered again after their pause, or failed at the limit. Where the gate
-- is closed they are parked, so whoever runs this keeps the gate as it is. The lower bound only skips what the index
-- still holds of claims that have ended.
with expired as materialized (
  select id
  from /*queue.*/job_queue
  where topic = %(topic)s and status = 'processing'
    and locked_at < now() - %(lease_ms)s::bigint * interval '1 millisecond'
    and locked_at >= coalesce(
      now() - (%(lease_ms)s::bigint + %(window_ms)s::bigint) * interval '1 millisecond', '-infinity'
    )
  order by locked_at
  limit %(limit)s
  for no key update skip locked
)
update /*queue.*/job_queue as job
set status = (case when retry_count + 1 >= terms.max_deliveries then 'failed' else 'pending' end)::/*queue.*/job_status,
  retry_count = retry_count + 1,
  last_error = case when retry_count + 1 >= terms.max_deliveries
    then 'lease expired at the last delivery' else 'lease expired'
  end,
  finished_at = case when retry_count + 1 >= terms.max_deliveries then clock_timestamp() end,
  process_after = case
    when retry_count + 1 >= terms.max_deliveries then process_after
    else clock_timestamp()
      + /*queue.*/job_backoff(retry_count + 1, terms.retry_backoff_ms, terms.retry_backoff_max_ms)
      + case when terms.gate = 'closed' then interval '876582000 hours' else interval '0' end
  end,
  locked_at = null, locked_by = null, lease = null
from /*queue.*/job_topic as terms
where job.id = any(array(select id from expired)) and terms.topic = %(topic)s
returning job.id, job.status::text;
