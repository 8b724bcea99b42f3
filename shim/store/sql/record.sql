-- name: of_job
-- A record as clients read it, of a row of the queue; those that claim jobs ask for the same columns by this name.
select
  job.topic, job.partition, job.log_offset, job.key,
  case
    when job.value is not null then job.value
    when job.encoding = 'text' then convert_to(job.payload #>> '{}', 'UTF8')
    when job.encoding is distinct from 'tombstone' then convert_to(job.payload::text, 'UTF8')
  end as value,
  job.headers,
  coalesce(
    job.timestamp_ms,
    case when isfinite(job.created_at) then (extract(epoch from job.created_at) * 1000)::bigint else -1 end
  ) as timestamp_ms,
  coalesce(job.timestamp_type, 1::smallint) as timestamp_type,
  job.value is null and job.encoding is distinct from 'tombstone' and job.encoding is distinct from 'text' as viewed
from /*queue.*/job_queue as job;
