-- name: overview
-- What the table holds, for people.
select encoding, status, count(*) as rows, count(distinct partition) as partitions,
  pg_size_pretty(sum(octet_length(value))) as bytes
from /*queue.*/job_queue
where topic = 'emails'
group by encoding, status
order by count(*) desc, encoding;

-- name: a_job
-- A job as SQL sees it.
select id, partition, log_offset, payload -> 'to' ->> 'address' as address, payload ->> 'subject' as subject
from /*queue.*/job_queue
where topic = 'emails' and payload ? 'subject'
order by id
limit 3;

-- name: claim
-- The article's claim, in one statement.
with next_jobs as (
  select id from /*queue.*/job_queue
  where status = 'pending' and process_after <= now()
  order by created_at
  limit 1
  for update skip locked
)
update /*queue.*/job_queue as job
set status = 'processing', locked_at = now()
from next_jobs
where job.id = next_jobs.id
returning job.id, job.topic, job.partition, job.log_offset, job.status;

-- name: complete
-- The job is done.
update /*queue.*/job_queue
set status = 'completed'
where status = 'processing'
returning id, status;

-- name: dead_letters
-- The dead letters, for people.
select letter.stage, letter.reason, count(*) as letters, min(letter.log_offset) as first_offset
from /*migrator.*/drain_dead_letter as letter
join /*migrator.*/drain_source as source on source.id = letter.source_id
where source.topic = 'emails-strict'
group by letter.stage, letter.reason
order by count(*) desc;

-- name: rows_of_topic
-- The oracle reads every row that bears an offset.
select partition, log_offset, key, value, headers, timestamp_ms
from /*queue.*/job_queue
where topic = %(topic)s and log_offset is not null;

-- name: dead_of_topic
-- The oracle reads every dead letter.
select letter.partition, letter.log_offset, letter.key, letter.value, letter.headers, letter.timestamp_ms
from /*migrator.*/drain_dead_letter as letter
join /*migrator.*/drain_source as source on source.id = letter.source_id
where source.topic = %(topic)s;

-- name: wrong_payloads
-- The oracle has Postgres parse every JSON value once more, and counts the payloads that differ.
select count(*)
from /*queue.*/job_queue
where topic = %(topic)s and encoding = 'json'
  and payload is distinct from convert_from(value, 'UTF8')::jsonb;

-- name: ledger_of_topic
-- The oracle reads the account of every batch, in order.
select batch.partition, batch.from_offset, batch.to_offset, batch.rows, batch.dead,
  batch.held + batch.skipped + batch.compacted + batch.aborted + batch.marker + batch.lost + batch.unexplained as others
from /*migrator.*/drain_batch as batch
join /*migrator.*/drain_source as source on source.id = batch.source_id
where source.topic = %(topic)s
order by batch.partition, batch.from_offset;

-- name: ends_of_topic
-- The oracle reads where the drain stands, and the end that it had frozen.
select place.partition, place.next_offset, place.end_offset
from /*migrator.*/drain_offset as place
join /*migrator.*/drain_source as source on source.id = place.source_id
where source.topic = %(topic)s;
