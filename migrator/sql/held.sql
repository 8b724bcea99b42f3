-- name: count_held
-- How many rows wait for a person.
select count(*)
from /*queue.*/job_queue
where status = 'pending' and process_after = 'infinity' and last_error like 'held: %%'
  and (%(topics)s::text[] is null or topic = any(%(topics)s))
  and (%(partition)s::integer is null or partition = %(partition)s)
  and (%(offset)s::bigint is null or log_offset = %(offset)s);

-- name: list_held
-- Held rows without their bytes; a row that keeps no value has the size and digest of its payload.
select
  id, topic, partition, log_offset as "offset", substr(last_error, 7) as reason, created_at,
  octet_length(coalesce(value, convert_to(payload::text, 'UTF8'))) as size,
  left(encode(sha256(coalesce(value, convert_to(payload::text, 'UTF8'))), 'hex'), 16) as digest
from /*queue.*/job_queue
where status = 'pending' and process_after = 'infinity' and last_error like 'held: %%'
  and (%(topics)s::text[] is null or topic = any(%(topics)s))
  and (%(partition)s::integer is null or partition = %(partition)s)
  and (%(offset)s::bigint is null or log_offset = %(offset)s)
order by topic, partition, log_offset, id
limit %(limit)s;

-- name: held_ids
-- The next held rows of a topic: the claim index has them in this order.
select id
from /*queue.*/job_queue
where topic = %(topic)s and status = 'pending' and process_after = 'infinity' and last_error like 'held: %%'
  and (%(partition)s::integer is null or partition = %(partition)s)
  and (%(offset)s::bigint is null or log_offset = %(offset)s)
  and id > %(after)s
order by id
limit %(limit)s;

-- name: release_held
-- Lets a batch of held rows go: they run when their gate is open, and are parked like all others when it is not.
update /*queue.*/job_queue
set last_error = null,
  process_after = case when %(open)s then least(created_at, now()) else process_after end
-- Behind "case" the primary key alone finds the rows; else every batch reads the claim index of all parked jobs.
where id = any(%(ids)s)
  and case when status = 'pending' then process_after = 'infinity' and last_error like 'held: %%' end;

-- name: discard_held
-- Ends a batch of held rows without running them; nothing is deleted.
update /*queue.*/job_queue
set status = 'failed', last_error = 'discarded: ' || substr(last_error, 7)
where id = any(%(ids)s)
  and case when status = 'pending' then process_after = 'infinity' and last_error like 'held: %%' end;
