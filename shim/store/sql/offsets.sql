-- name: commit_offsets
-- Writes where a group stands and tells, per partition, whether it could. A member's partitions are locked until the
-- transaction ends, so that nobody takes one while the effects of what was read from it are not to be seen yet; the
-- lock is one that a new target does not wait for.
with given as (
  select topic, partition, committed_offset, leader_epoch, metadata, epoch
  from unnest(
    %(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[], %(leader_epochs)s::integer[],
    %(metadata)s::text[], %(epochs)s::bigint[]
  ) as given (topic, partition, committed_offset, leader_epoch, metadata, epoch)
), fenced_in as materialized (
  select assigned.topic, assigned.partition
  from /*queue.*/job_group_partition as assigned
  join given on given.topic = assigned.topic and given.partition = assigned.partition
  where assigned.group_id = %(group_id)s and assigned.holder = %(member_id)s
    and assigned.epoch = coalesce(given.epoch, assigned.epoch)
  order by assigned.topic, assigned.partition
  for key share of assigned
), living as (
  select coalesce(bool_or(member_id = %(member_id)s), false) as mine, count(*) > 0 as anybody
  from /*queue.*/job_group_member
  where group_id = %(group_id)s and lease_until > clock_timestamp()
), judged as (
  select given.*,
    case
      when topic.topic is null then 'unknown-topic'
      when %(member_id)s::text is null then case when living.anybody then 'unknown-member' else 'ok' end
      when not living.mine then 'unknown-member'
      when fenced_in.topic is not null then 'ok'
      when given.epoch is null and not exists (
        select from /*queue.*/job_group_partition as assigned
        join /*queue.*/job_group_member as holder
          on holder.member_id = assigned.holder and holder.group_id = assigned.group_id
        where assigned.group_id = %(group_id)s
          and assigned.topic = given.topic and assigned.partition = given.partition
      ) then 'ok'
      else 'illegal-generation'
    end as result
  from given
  cross join living
  left join fenced_in on fenced_in.topic = given.topic and fenced_in.partition = given.partition
  left join /*queue.*/job_topic as topic
    on topic.topic = given.topic and given.partition >= 0 and given.partition < topic.partitions
), written as (
  insert into /*queue.*/job_group_offset as standing (
    group_id, topic, partition, committed_offset, leader_epoch, metadata, committed_at
  )
  select %(group_id)s, topic, partition, committed_offset, leader_epoch, metadata, clock_timestamp()
  from judged
  where result = 'ok'
  order by topic, partition
  on conflict (group_id, topic, partition) do update
  set committed_offset = excluded.committed_offset, leader_epoch = excluded.leader_epoch,
    metadata = excluded.metadata, committed_at = excluded.committed_at
)
select topic, partition, result from judged;

-- name: read_offsets
-- Where a group stands in these partitions.
select standing.topic, standing.partition, standing.committed_offset, standing.leader_epoch, standing.metadata
from /*queue.*/job_group_offset as standing
join unnest(%(topics)s::text[], %(partitions)s::integer[]) as given (topic, partition)
  on given.topic = standing.topic and given.partition = standing.partition
where standing.group_id = %(group_id)s;

-- name: read_all_offsets
-- Where a group stands, everywhere.
select topic, partition, committed_offset, leader_epoch, metadata
from /*queue.*/job_group_offset
where group_id = %(group_id)s
order by topic, partition;

-- name: delete_offsets
-- Forgets where a group stands, except in topics that a live member reads.
with given as (
  select topic, partition
  from unnest(%(topics)s::text[], %(partitions)s::integer[]) as given (topic, partition)
), judged as (
  select given.topic, given.partition, exists (
    select from /*queue.*/job_group_member as member
    cross join lateral unnest(member.topics) as wanted (name)
    where member.group_id = %(group_id)s and member.lease_until > clock_timestamp()
      and case when starts_with(wanted.name, '^') then given.topic ~ wanted.name else given.topic = wanted.name end
  ) as subscribed
  from given
), standing as (
  select known.topic, known.partition
  from /*queue.*/job_group_offset as known
  join judged on judged.topic = known.topic and judged.partition = known.partition and not judged.subscribed
  where known.group_id = %(group_id)s
  order by known.topic, known.partition
  for update of known
), deleted as (
  delete from /*queue.*/job_group_offset as known
  using standing
  where known.group_id = %(group_id)s and known.topic = standing.topic and known.partition = standing.partition
)
select topic, partition, subscribed from judged;
