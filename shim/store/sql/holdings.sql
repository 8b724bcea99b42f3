-- name: read_assignment
-- What a live member is to hold, what it holds, and what of the rest nobody else does.
select grp.generation, grp.assignor, assigned.topic, assigned.partition, assigned.epoch,
  coalesce(assigned.target = member.member_id, false) as mine,
  coalesce(assigned.holder = member.member_id, false) as held,
  not exists (
    select from /*queue.*/job_group_member as holder
    where holder.member_id = assigned.holder and holder.group_id = assigned.group_id
  ) as free
from /*queue.*/job_group_member as member
join /*queue.*/job_group as grp on grp.group_id = member.group_id
left join /*queue.*/job_group_partition as assigned
  on assigned.group_id = member.group_id and member.member_id in (assigned.target, assigned.holder)
where member.member_id = %(member_id)s and member.group_id = %(group_id)s
  and member.lease_until > clock_timestamp();

-- name: acquire_partitions
-- Takes what a member is to hold and nobody holds any more; what has a commit in an open transaction is passed over.
with given as (
  select topic, partition
  from unnest(%(topics)s::text[], %(partitions)s::integer[]) as given (topic, partition)
), free as materialized (
  select assigned.topic, assigned.partition
  from /*queue.*/job_group_partition as assigned
  join given on given.topic = assigned.topic and given.partition = assigned.partition
  where assigned.group_id = %(group_id)s and assigned.target = %(member_id)s
    and assigned.holder is distinct from %(member_id)s
    and not exists (
      select from /*queue.*/job_group_member as holder
      where holder.member_id = assigned.holder and holder.group_id = assigned.group_id
    )
  order by assigned.topic, assigned.partition
  for update of assigned skip locked
), taken as (
  update /*queue.*/job_group_partition as assigned
  set holder = %(member_id)s, epoch = assigned.epoch + 1
  from free
  where assigned.group_id = %(group_id)s and assigned.topic = free.topic and assigned.partition = free.partition
  returning assigned.topic, assigned.partition, assigned.epoch
)
select topic, partition, epoch from taken
union all
select assigned.topic, assigned.partition, assigned.epoch
from /*queue.*/job_group_partition as assigned
join given on given.topic = assigned.topic and given.partition = assigned.partition
where assigned.group_id = %(group_id)s and assigned.holder = %(member_id)s;

-- name: release_partitions
-- Gives back what a member holds, but not under a commit in an open transaction: that would lose its fence.
with given as (
  select topic, partition
  from unnest(%(topics)s::text[], %(partitions)s::integer[]) as given (topic, partition)
), held as materialized (
  select assigned.topic, assigned.partition
  from /*queue.*/job_group_partition as assigned
  join given on given.topic = assigned.topic and given.partition = assigned.partition
  where assigned.group_id = %(group_id)s and assigned.holder = %(member_id)s
  order by assigned.topic, assigned.partition
  for update of assigned skip locked
)
update /*queue.*/job_group_partition as assigned
set holder = null
from held
where assigned.group_id = %(group_id)s and assigned.topic = held.topic and assigned.partition = held.partition
returning assigned.topic, assigned.partition;
