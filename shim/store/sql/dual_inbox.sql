-- name: put_copies
-- Copies of messages that go to Kafka; those that the drain has met already are left out. Tells which topics Kafka does
-- not number: of those there are none.
with given as materialized (
  select *
  from unnest(
    %(topics)s::text[], %(message_ids)s::uuid[], %(producers)s::text[], %(sequences)s::bigint[], %(keys)s::bytea[],
    %(values)s::bytea[], %(headers)s::text[], %(timestamps_ms)s::bigint[]
  ) as one (topic, message_id, producer, sequence, key, value, headers, timestamp_ms)
), put as (
  insert into /*queue.*/dual_inbox (topic, message_id, producer, sequence, key, value, headers, timestamp_ms)
  select given.topic, given.message_id, given.producer, given.sequence, given.key, given.value,
    given.headers::bytea[], given.timestamp_ms
  from given
  join /*queue.*/job_topic as owned on owned.topic = given.topic and owned.sequencer = 'kafka'
  where not exists (
    select
    from /*queue.*/job_queue as job
    where job.topic = given.topic and job.message_id = given.message_id
  )
  order by given.topic, given.message_id
  on conflict (topic, message_id) do nothing
)
select distinct given.topic
from given
left join /*queue.*/job_topic as owned on owned.topic = given.topic
where owned.sequencer is distinct from 'kafka';

-- name: meet_copies
-- Removes the copies of what the drain writes, in the drain's own transaction.
with met as materialized (
  select copy.topic, copy.message_id
  from /*queue.*/dual_inbox as copy
  join unnest(%(topics)s::text[], %(message_ids)s::uuid[]) as given (topic, message_id)
    on given.topic = copy.topic and given.message_id = copy.message_id
  order by copy.topic, copy.message_id
  for update of copy
)
delete from /*queue.*/dual_inbox as copy
using met
where copy.topic = met.topic and copy.message_id = met.message_id;

-- name: sweep_copies
-- Removes the copies that came when the drain had passed already; looks at the next few, and tells where it stopped.
with looked as materialized (
  select copy.message_id
  from /*queue.*/dual_inbox as copy
  where copy.topic = %(topic)s and copy.message_id > %(after)s
  order by copy.message_id
  limit %(limit)s
), late as materialized (
  select copy.message_id
  from /*queue.*/dual_inbox as copy
  join looked on looked.message_id = copy.message_id
  where copy.topic = %(topic)s and exists (
    select
    from /*queue.*/job_queue as job
    where job.topic = %(topic)s and job.message_id = copy.message_id
  )
  order by copy.message_id
  for update of copy skip locked
), removed as (
  delete from /*queue.*/dual_inbox as copy
  using late
  where copy.topic = %(topic)s and copy.message_id = late.message_id
  returning copy.message_id
)
select
  (select count(*) from looked) as looked,
  (select count(*) from removed) as removed,
  (select looked.message_id from looked order by looked.message_id desc limit 1) as last;

-- name: list_phantoms
-- Copies of which the table has no row, without their bytes.
select
  copy.topic, copy.message_id, copy.producer, copy.sequence, copy.created_at,
  octet_length(copy.value) as size, left(encode(sha256(copy.value), 'hex'), 16) as digest
from /*queue.*/dual_inbox as copy
where copy.topic = %(topic)s and copy.message_id > %(after)s and not exists (
    select
    from /*queue.*/job_queue as job
    where job.topic = copy.topic and job.message_id = copy.message_id
  )
order by copy.message_id
limit %(limit)s;
