-- name: copy_rows
-- Rows of job_queue in binary, in the column order of shim.store.rows.
copy /*queue.*/job_queue (
  topic, partition, log_offset, timestamp_ms, timestamp_type, key, value, headers, encoding, payload,
  created_at, last_error, process_after
) from stdin (format binary);

-- name: judge_json
-- Whether jsonb takes each of these texts: null where it does, else the SQLSTATE.
select /*queue.*/job_jsonb_sqlstate(value) as sqlstate
from unnest(%(values)s::text[]) with ordinality as given (value, position)
order by position;
