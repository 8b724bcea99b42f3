-- name: read_source
-- What was frozen when a topic's drain began, and what its queue is now.
select source.id, source.topic, source.cluster_id, source.topic_id, source.partitions, source.cleanup_policy,
  source.uncertain, coalesce(terms.sequencer, 'kafka') as sequencer,
  coalesce(terms.keep_value, true) as keep_value
from /*migrator.*/drain_source as source
left join /*queue.*/job_topic as terms on terms.topic = source.topic
where source.queue_schema = %(queue_schema)s and source.topic = %(topic)s;

-- name: read_positions
-- Where the drain of every partition began, and where it stands.
select partition, start_offset, next_offset, end_offset, window_end, lost, unexplained
from /*migrator.*/drain_offset
where source_id = %(source_id)s
order by partition;

-- name: read_low_watermarks
-- Below them retention has removed the rows.
select partition, start_offset
from /*queue.*/job_partition
where topic = %(topic)s;

-- name: read_leaves
-- The next leaves of a partition: whole batches of the drain, those together that begin among the same so many offsets.
select min(from_offset) as start, max(to_offset) as stop, sum(to_offset - from_offset)::bigint as offsets,
  sum(rows)::bigint as rows, sum(digest_high) as high, sum(digest_low) as low
from /*migrator.*/drain_batch
where source_id = %(source_id)s and partition = %(partition)s
  and from_offset >= %(start)s and from_offset < %(stop)s
group by from_offset / %(width)s::bigint
order by 1;

-- name: find_batch
-- The batch that accounts for an offset.
select from_offset, to_offset
from /*migrator.*/drain_batch
where source_id = %(source_id)s and partition = %(partition)s
  and from_offset <= %(offset)s and to_offset > %(offset)s
order by from_offset desc
limit 1;
