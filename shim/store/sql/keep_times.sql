-- name: read_keep_times
-- How long what a topic holds is kept; null for all topics.
select topic, retention_ms, completed_retention_ms, failed_retention_ms
from /*queue.*/job_topic
where topic = any(%(topics)s) or %(topics)s::text[] is null
order by topic;

-- name: change_keep_times
-- Other keep-times for a topic; those that are not named stay.
update /*queue.*/job_topic
set retention_ms = case when 'retention_ms' = any(%(names)s) then %(retention_ms)s::bigint else retention_ms end,
  completed_retention_ms = case
    when 'completed_retention_ms' = any(%(names)s) then %(completed_retention_ms)s::bigint else completed_retention_ms
  end,
  failed_retention_ms = case
    when 'failed_retention_ms' = any(%(names)s) then %(failed_retention_ms)s::bigint else failed_retention_ms
  end
where topic = %(topic)s;
