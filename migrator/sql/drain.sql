-- name: insert_source
-- A topic's identity, frozen; nothing when the topic is known already.
insert into /*migrator.*/drain_source (
  queue_schema, topic, cluster_id, topic_id, partitions, cleanup_policy, retention_ms,
  start_choice, end_choice, format, uncertain, uncertain_window, queue_oid
)
values (
  %(queue_schema)s, %(topic)s, %(cluster_id)s, %(topic_id)s, %(partitions)s, %(cleanup_policy)s, %(retention_ms)s,
  %(start_choice)s, %(end_choice)s, %(format)s, %(uncertain)s,
  %(uncertain_window)s, %(queue_oid)s
)
on conflict (queue_schema, topic) do nothing;

-- name: read_source
-- A topic's identity as it was frozen, and whether its drain has reached its end.
select id, topic, cluster_id, topic_id, partitions, cleanup_policy, start_choice, end_choice, format,
  uncertain, uncertain_window, queue_oid, complete
from /*migrator.*/drain_source
where queue_schema = %(queue_schema)s and topic = %(topic)s;

-- name: lock_source
-- Serialises two drains that start at the same instant.
select id
from /*migrator.*/drain_source
where id = %(source_id)s
for no key update;

-- name: insert_offsets
-- Every partition's range, frozen.
insert into /*migrator.*/drain_offset (
  source_id, partition, next_offset, start_offset, end_offset, window_end,
  low_at_start, high_at_start, stable_at_start
)
select %(source_id)s, partition, start_offset, start_offset, end_offset, window_end, low, high, stable
from unnest(
  %(partitions)s::integer[], %(starts)s::bigint[], %(ends)s::bigint[], %(window_ends)s::bigint[],
  %(lows)s::bigint[], %(highs)s::bigint[], %(stables)s::bigint[]
) as given (partition, start_offset, end_offset, window_end, low, high, stable)
on conflict (source_id, partition) do nothing;

-- name: read_offsets
-- Where every partition stands, and who holds it.
select partition, epoch, owner, lease_until, lease_until > clock_timestamp() as leased, next_offset, start_offset,
  end_offset, window_end, rows, dead, held, skipped, compacted, aborted, marker, lost, unexplained
from /*migrator.*/drain_offset
where source_id = %(source_id)s
order by partition;

-- name: claim_partitions
-- Takes the partitions that nobody holds, or whose holder is known to be dead; the epoch shuts the old one out. A row
-- that is locked is in use: its holder is in the middle of a batch, whose new lease nobody sees before it commits.
update /*migrator.*/drain_offset as held
set epoch = held.epoch + 1,
  owner = %(owner)s,
  lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
from (
  select source_id, partition
  from /*migrator.*/drain_offset
  where source_id = %(source_id)s
    and partition = any(%(partitions)s)
    and (owner is null or lease_until <= clock_timestamp() or owner = any(%(dead_owners)s))
  order by partition
  for no key update skip locked
) as free
where held.source_id = free.source_id and held.partition = free.partition
returning held.partition, held.epoch, held.next_offset;

-- name: renew_leases
-- Keeps partitions while nothing is written; those of a batch in flight renew themselves.
update /*migrator.*/drain_offset as held
set lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
from (
  select source_id, partition
  from /*migrator.*/drain_offset
  where source_id = any(%(source_ids)s) and owner = %(owner)s
  order by source_id, partition
  for no key update skip locked
) as mine
where held.source_id = mine.source_id and held.partition = mine.partition;

-- name: release_partitions
-- Lets go, so that the next drain need not wait for the lease.
update /*migrator.*/drain_offset
set owner = null, lease_until = null
where source_id = any(%(source_ids)s) and owner = %(owner)s;

-- name: compare_and_set
-- First statement of every batch: moves the position if it is still where this batch was read from, in our epoch.
update /*migrator.*/drain_offset as stored
set next_offset = wanted.to_offset,
  lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s),
  rows = stored.rows + wanted.delivered - wanted.skipped,
  skipped = stored.skipped + wanted.skipped,
  compacted = stored.compacted + wanted.compacted,
  aborted = stored.aborted + wanted.aborted,
  marker = stored.marker + wanted.marker,
  lost = stored.lost + wanted.lost,
  unexplained = stored.unexplained + wanted.unexplained
from unnest(
  %(source_ids)s::integer[], %(partitions)s::integer[], %(epochs)s::bigint[],
  %(from_offsets)s::bigint[], %(to_offsets)s::bigint[], %(delivered)s::bigint[], %(skipped)s::bigint[],
  %(compacted)s::bigint[], %(aborted)s::bigint[], %(marker)s::bigint[], %(lost)s::bigint[], %(unexplained)s::bigint[]
) as wanted (
  source_id, partition, epoch, from_offset, to_offset, delivered, skipped,
  compacted, aborted, marker, lost, unexplained
)
where stored.source_id = wanted.source_id and stored.partition = wanted.partition
  and stored.epoch = wanted.epoch and stored.next_offset = wanted.from_offset
returning (extract(epoch from clock_timestamp()) * 1000000)::bigint - 946684800000000 as now_us;

-- name: set_aside
-- Corrects the counters for records of this batch that became dead letters, and tells how many are held.
update /*migrator.*/drain_offset as stored
set rows = stored.rows - batch.dead,
  dead = stored.dead + batch.dead,
  held = stored.held + batch.held
from unnest(%(source_ids)s::integer[], %(partitions)s::integer[], %(dead)s::bigint[], %(held)s::bigint[])
  as batch (source_id, partition, dead, held)
where stored.source_id = batch.source_id and stored.partition = batch.partition
  and (batch.dead > 0 or batch.held > 0);

-- name: insert_ledger
-- The batch's account, one row per partition.
insert into /*migrator.*/drain_batch (
  source_id, partition, from_offset, to_offset, delivered, rows, dead, held, skipped,
  compacted, aborted, marker, lost, unexplained, min_timestamp_ms, max_timestamp_ms,
  digest_high, digest_low, epoch
)
select *
from unnest(
  %(source_ids)s::integer[], %(partitions)s::integer[], %(from_offsets)s::bigint[], %(to_offsets)s::bigint[],
  %(delivered)s::bigint[], %(rows)s::bigint[], %(dead)s::bigint[], %(held)s::bigint[], %(skipped)s::bigint[],
  %(compacted)s::bigint[], %(aborted)s::bigint[], %(marker)s::bigint[], %(lost)s::bigint[],
  %(unexplained)s::bigint[], %(min_timestamps)s::bigint[], %(max_timestamps)s::bigint[],
  %(digests_high)s::numeric[], %(digests_low)s::numeric[], %(epochs)s::bigint[]
);

-- name: insert_dead_letter
-- A record that no row can hold, with all its bytes.
insert into /*migrator.*/drain_dead_letter (
  source_id, partition, log_offset, key, value, headers, timestamp_ms, timestamp_type,
  stage, sqlstate, constraint_name, column_name, reason
)
values (
  %(source_id)s, %(partition)s, %(log_offset)s, %(key)s, %(value)s, %(headers)s::bytea[], %(timestamp_ms)s,
  %(timestamp_type)s, %(stage)s, %(sqlstate)s, %(constraint_name)s, %(column_name)s, %(reason)s
);

-- name: complete_source
-- Every partition has reached its frozen end.
update /*migrator.*/drain_source
set complete = true, completed_at = coalesce(completed_at, now())
where id = %(source_id)s
  and not exists (
    select from /*migrator.*/drain_offset
    where source_id = %(source_id)s and (end_offset is null or next_offset < end_offset)
  )
returning id;

-- name: extend_ends
-- Freezes a new end behind a drain that had reached its old one, or lets it follow.
update /*migrator.*/drain_offset as stored
set end_offset = case when given.end_offset is null then null else greatest(given.end_offset, stored.next_offset) end
from unnest(%(partitions)s::integer[], %(ends)s::bigint[]) as given (partition, end_offset)
where stored.source_id = %(source_id)s and stored.partition = given.partition;

-- name: reopen_source
-- A drain with a new end is not complete.
update /*migrator.*/drain_source
set complete = false, completed_at = null, end_choice = %(end_choice)s
where id = %(source_id)s;

-- name: queue_identity
-- Which table job_queue is, and whether it survives a crash.
select oid::bigint as oid, relpersistence::text as persistence
from pg_class
where oid = to_regclass(%(qualified)s);

-- name: count_rows
-- How many rows of a topic the drain wrote, and how many are there: one statement, so that both are of one moment.
select
  (select coalesce(sum(rows), 0) from /*migrator.*/drain_offset where source_id = %(source_id)s)::bigint as written,
  (select count(*) from /*queue.*/job_queue where topic = %(topic)s and log_offset is not null) as present;

-- name: count_dead_letters
-- How many of a topic's dead letters were not retried.
select count(*)
from /*migrator.*/drain_dead_letter
where source_id = %(source_id)s and retried_at is null;

-- name: count_held
-- How many of a topic's rows wait for a person.
select count(*)
from /*queue.*/job_queue
where topic = %(topic)s and status = 'pending' and process_after = 'infinity' and last_error like 'held: %%';

-- name: bound_transaction
-- Limits this transaction alone, whatever the role's own settings are; a client that vanishes is noticed in 30 s.
select set_config('lock_timeout', %(lock_timeout)s, true),
  set_config('statement_timeout', %(statement_timeout)s, true),
  set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, true),
  set_config('client_connection_check_interval', %(check_interval)s, true),
  set_config('tcp_keepalives_idle', '10', true),
  set_config('tcp_keepalives_interval', '5', true),
  set_config('tcp_keepalives_count', '3', true),
  set_config('tcp_user_timeout', '30000', true);

-- name: analyze_queue
-- Statistics after a bulk load; without the right to it Postgres warns and goes on.
analyze /*queue.*/job_queue;
