-- name: ensure_group
-- A group comes into being with its first member.
insert into /*queue.*/job_group (group_id)
values (%(group_id)s)
on conflict (group_id) do nothing;

-- name: hold_group
-- Waits for whoever changes the group, and goes before those that come. Should this process be stopped before it is
-- done, the server cuts it off, so that the group does not stand still with it.
select generation, assignor, set_config('idle_in_transaction_session_timeout', %(patience)s, true)
from /*queue.*/job_group
where group_id = %(group_id)s
for no key update;

-- name: hold_free_group
-- The same, but it finds nothing where somebody else is at it.
select generation, assignor, set_config('idle_in_transaction_session_timeout', %(patience)s, true)
from /*queue.*/job_group
where group_id = %(group_id)s
for no key update skip locked;

-- name: check_patterns
-- Fails with invalid_regular_expression when Postgres cannot read one of these patterns.
select '' ~ pattern
from unnest(%(patterns)s::text[]) as given (pattern);

-- name: renew_member
-- A member that joins again, or a new life of a static member: it is handed what its former one was to hold, and what
-- that one holds is free to take. Tells whether it asks for the same as before.
with former as (
  select member_id, topics, strategies
  from /*queue.*/job_group_member
  where group_id = %(group_id)s and (member_id = %(member_id)s or instance_id = %(instance_id)s)
  order by member_id
  for update
), handed as (
  update /*queue.*/job_group_partition as assigned
  set target = %(member_id)s
  from former
  where assigned.group_id = %(group_id)s and assigned.target = former.member_id and former.member_id <> %(member_id)s
)
update /*queue.*/job_group_member as member
set member_id = %(member_id)s,
  client_id = %(client_id)s,
  host = %(host)s,
  topics = %(topics)s,
  strategies = %(strategies)s,
  session_ms = %(session_ms)s::integer,
  lease_until = clock_timestamp() + %(session_ms)s::integer * interval '1 millisecond'
from former
where member.member_id = former.member_id
returning former.topics = member.topics and former.strategies = member.strategies as unchanged;

-- name: add_member
-- A new member.
insert into /*queue.*/job_group_member (
  member_id, group_id, instance_id, client_id, host, topics, strategies, session_ms, lease_until
) values (
  %(member_id)s, %(group_id)s, %(instance_id)s, %(client_id)s, %(host)s, %(topics)s, %(strategies)s,
  %(session_ms)s::integer, clock_timestamp() + %(session_ms)s::integer * interval '1 millisecond'
);

-- name: read_live_member
-- Whether this member is there and its lease is not over.
select
from /*queue.*/job_group_member
where member_id = %(member_id)s and group_id = %(group_id)s and lease_until > clock_timestamp();

-- name: read_instance
-- Who goes by this instance id.
select member_id
from /*queue.*/job_group_member
where group_id = %(group_id)s and instance_id = %(instance_id)s;

-- name: remove_member
-- A member that leaves.
delete from /*queue.*/job_group_member
where member_id = %(member_id)s and group_id = %(group_id)s;

-- name: remove_expired
-- Members whose lease is over. Nobody waits here for a beat: either it came first and saves its member, or it comes to
-- nothing and the member goes next time.
with expired as (
  select member_id
  from /*queue.*/job_group_member
  where group_id = %(group_id)s and lease_until <= clock_timestamp()
  order by member_id
  for update skip locked
)
delete from /*queue.*/job_group_member as member
using expired
where member.member_id = expired.member_id;

-- name: read_subscribers
-- The members with the topics that they subscribe to and that exist, and how many partitions these have.
select member.member_id, member.instance_id, member.strategies,
  array_agg(found.topic) filter (where found.topic is not null) as topics,
  array_agg(found.partitions) filter (where found.topic is not null) as partitions
from /*queue.*/job_group_member as member
left join lateral (
  select topic.topic, topic.partitions
  from /*queue.*/job_topic as topic
  where topic.topic = any(member.topics)
  union
  select topic.topic, topic.partitions
  from unnest(member.topics) as wanted (name)
  join /*queue.*/job_topic as topic on topic.topic ~ case when starts_with(wanted.name, '^') then wanted.name end
) as found on true
where member.group_id = %(group_id)s
group by member.member_id
order by member.member_id;

-- name: read_targets
-- Who is to hold each partition and who does, as far as there are such members.
select assigned.topic, assigned.partition, target.member_id, holder.member_id
from /*queue.*/job_group_partition as assigned
left join /*queue.*/job_group_member as target
  on target.member_id = assigned.target and target.group_id = assigned.group_id
left join /*queue.*/job_group_member as holder
  on holder.member_id = assigned.holder and holder.group_id = assigned.group_id
where assigned.group_id = %(group_id)s and (assigned.target is not null or holder.member_id is not null);

-- name: write_targets
-- A new generation: who is to hold what. No lock that a commit takes stands against it.
with given as (
  select topic, partition, target
  from unnest(%(topics)s::text[], %(partitions)s::integer[], %(targets)s::text[]) as given (topic, partition, target)
), cleared as (
  update /*queue.*/job_group_partition as assigned
  set target = null
  where group_id = %(group_id)s and target is not null
    and not exists (
      select from given where given.topic = assigned.topic and given.partition = assigned.partition
    )
), written as (
  insert into /*queue.*/job_group_partition as assigned (group_id, topic, partition, target)
  select %(group_id)s, topic, partition, target from given order by topic, partition
  on conflict (group_id, topic, partition) do update
  set target = excluded.target
  where assigned.target is distinct from excluded.target
)
update /*queue.*/job_group
set generation = generation + 1, assignor = %(assignor)s, changed_at = clock_timestamp()
where group_id = %(group_id)s
returning generation;

-- name: remove_idle_partitions
-- Partitions that nobody is to hold or holds; one whose last commit is still open goes next time.
with idle as (
  select topic, partition
  from /*queue.*/job_group_partition as assigned
  where group_id = %(group_id)s and target is null
    and not exists (
      select from /*queue.*/job_group_member as holder
      where holder.member_id = assigned.holder and holder.group_id = assigned.group_id
    )
  order by topic, partition
  for update skip locked
)
delete from /*queue.*/job_group_partition as assigned
using idle
where assigned.group_id = %(group_id)s and assigned.topic = idle.topic and assigned.partition = idle.partition;
