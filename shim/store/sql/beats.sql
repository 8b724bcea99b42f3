-- name: beat
-- Renews the leases of all members of a process, tells each one's generation (null: its lease is over, or it was
-- removed), and, of the groups that are looked at, whether one has to be assigned anew: a lease is over, or there are
-- other partitions than there were.
with given as (
  select member_id, group_id
  from unnest(%(member_ids)s::text[], %(group_ids)s::text[]) as given (member_id, group_id)
), live as materialized (
  select member_id
  from /*queue.*/job_group_member
  where member_id = any(%(member_ids)s) and lease_until > clock_timestamp()
  order by member_id
  for no key update
), renewed as (
  update /*queue.*/job_group_member as member
  set lease_until = clock_timestamp() + member.session_ms * interval '1 millisecond'
  from live
  where member.member_id = live.member_id
  returning member.member_id
), wanted as materialized (
  select distinct member.group_id, named.name
  from /*queue.*/job_group_member as member
  cross join lateral unnest(member.topics) as named (name)
  where member.group_id = any(%(looked_at)s)
), subscribed as (
  select wanted.group_id, topic.topic, topic.partitions
  from wanted
  join /*queue.*/job_topic as topic on topic.topic = wanted.name
  union
  select wanted.group_id, topic.topic, topic.partitions
  from wanted
  join /*queue.*/job_topic as topic on topic.topic ~ case when starts_with(wanted.name, '^') then wanted.name end
), assigned as (
  select group_id, topic, count(*) as partitions
  from /*queue.*/job_group_partition
  where group_id = any(%(looked_at)s) and target is not null
  group by group_id, topic
), stale as (
  select group_id
  from /*queue.*/job_group_member
  where group_id = any(%(looked_at)s) and lease_until <= clock_timestamp()
  union
  select group_id
  from subscribed
  full join assigned using (group_id, topic)
  where subscribed.partitions is distinct from assigned.partitions
)
select given.member_id, grp.generation, given.group_id in (select stale.group_id from stale) as stale
from given
left join renewed on renewed.member_id = given.member_id
left join /*queue.*/job_group as grp on grp.group_id = given.group_id and renewed.member_id is not null;
