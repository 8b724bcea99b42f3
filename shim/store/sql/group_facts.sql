-- name: list_groups
-- Every group, those too that only ever committed offsets.
select group_id from /*queue.*/job_group
union
select group_id from /*queue.*/job_group_offset
order by group_id;

-- name: describe_groups
-- How each of these groups stands: how many partitions somebody still has to let go of, and how many nobody took yet.
select given.group_id,
  grp.group_id is not null or exists (
    select from /*queue.*/job_group_offset as standing where standing.group_id = given.group_id
  ) as known,
  coalesce(grp.generation, 0) as generation, coalesce(grp.assignor, '') as assignor,
  count(*) filter (where holder.member_id is not null and assigned.holder is distinct from assigned.target) as kept,
  count(*) filter (where holder.member_id is null and assigned.target is not null) as untaken
from unnest(%(group_ids)s::text[]) as given (group_id)
left join /*queue.*/job_group as grp on grp.group_id = given.group_id
left join /*queue.*/job_group_partition as assigned on assigned.group_id = given.group_id
left join /*queue.*/job_group_member as holder
  on holder.member_id = assigned.holder and holder.group_id = assigned.group_id
group by given.group_id, grp.group_id;

-- name: describe_members
-- The live members of these groups and what each holds.
select member.group_id, member.member_id, member.instance_id, member.client_id, member.host,
  array_agg(assigned.topic order by assigned.topic, assigned.partition)
    filter (where assigned.topic is not null) as topics,
  array_agg(assigned.partition order by assigned.topic, assigned.partition)
    filter (where assigned.topic is not null) as partitions
from /*queue.*/job_group_member as member
left join /*queue.*/job_group_partition as assigned
  on assigned.group_id = member.group_id and assigned.holder = member.member_id
where member.group_id = any(%(group_ids)s) and member.lease_until > clock_timestamp()
group by member.member_id
order by member.group_id, member.member_id;

-- name: has_live_member
-- Whether anybody is in the group.
select exists (
  select from /*queue.*/job_group_member where group_id = %(group_id)s and lease_until > clock_timestamp()
);

-- name: delete_group_offsets
-- Where a group stood.
with standing as (
  select topic, partition
  from /*queue.*/job_group_offset
  where group_id = %(group_id)s
  order by topic, partition
  for update
)
delete from /*queue.*/job_group_offset as committed
using standing
where committed.group_id = %(group_id)s
  and committed.topic = standing.topic and committed.partition = standing.partition;

-- name: delete_group
-- The group with what is left of its members and its assignment.
delete from /*queue.*/job_group
where group_id = %(group_id)s;
