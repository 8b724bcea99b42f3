-- name: try_sequencing
-- Whether nobody else gives offsets to rows of this topic right now; two at once would mix up their order.
select pg_try_advisory_xact_lock(hashtextextended('sequencing of /*queue.*/job_queue ' || %(topic)s, 0));

-- name: lock_waiting
-- The oldest rows that are due and have no offset; those that somebody works on are left.
select id, partition, key
from /*queue.*/job_queue
where topic = %(topic)s and log_offset is null and status = 'pending' and process_after <= now()
order by process_after, id
limit %(limit)s
for update skip locked;

-- name: number_rows
-- Gives each row its place in the log.
update /*queue.*/job_queue as job
set partition = given.partition, log_offset = given.log_offset
from unnest(%(ids)s::bigint[], %(partitions)s::integer[], %(offsets)s::bigint[])
  as given (id, partition, log_offset)
where job.id = given.id;
