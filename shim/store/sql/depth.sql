-- name: read_depth
-- How deep each topic's queue is, and for how many seconds the oldest of its due jobs has waited.
select topic, due, delayed, parked, processing, failed, extract(epoch from oldest_due)::float8 as oldest_due_s
from /*queue.*/job_depth
order by topic;

-- name: read_lags
-- How many offsets each consumer group is behind; offsets that no row has any more are counted too, so it costs nothing.
select committed.group_id, committed.topic,
  sum(greatest(head.next_offset - greatest(committed.committed_offset, head.start_offset), 0))::bigint as offsets
from /*queue.*/job_group_offset as committed
join /*queue.*/job_partition as head on head.topic = committed.topic and head.partition = committed.partition
group by committed.group_id, committed.topic
order by committed.group_id, committed.topic;

-- name: read_dead
-- How many rows of the queue are dead, by the server's own count.
select n_dead_tup
from pg_stat_user_tables
where relid = '/*queue.*/job_queue'::regclass;
