-- name: register_producer
-- A dual producer's topics, those that exist; one that is there already is alive again.
insert into /*queue.*/dual_producer (topic, producer, host, lease_until)
select owned.topic, %(producer)s, %(host)s, clock_timestamp() + make_interval(secs => %(lease_s)s)
from /*queue.*/job_topic as owned
where owned.topic = any(%(topics)s)
order by owned.topic
on conflict (topic, producer) do update set lease_until = excluded.lease_until;

-- name: begin_epochs
-- From now on the drain looks for ids in these topics.
update /*queue.*/job_topic as owned
set epoch = 1
from (
  select topic
  from /*queue.*/job_topic
  where topic = any(%(topics)s) and epoch = 0
  order by topic
  for no key update
) as new
where owned.topic = new.topic and owned.epoch = 0;

-- name: forget_lapsed
-- Registrations of producers that nobody has heard of for a day.
delete from /*queue.*/dual_producer as gone
using (
  select topic, producer
  from /*queue.*/dual_producer
  where lease_until < clock_timestamp() - interval '1 day'
  for update skip locked
) as lapsed
where gone.topic = lapsed.topic and gone.producer = lapsed.producer;

-- name: read_modes
-- Whose write counts in each topic, and whether any does at the moment.
select topic, sequencer, fenced, epoch, true as registered
from /*queue.*/job_topic
where topic = any(%(topics)s)
order by topic;

-- name: beat
-- Renews a dual producer's leases, acknowledges epochs, and reads the modes: for all of its topics at once.
with mine as (
  update /*queue.*/dual_producer as own
  set lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    acknowledged = greatest(own.acknowledged, given.acknowledged)
  from unnest(%(topics)s::text[], %(acknowledged)s::bigint[]) as given (topic, acknowledged)
  where own.topic = given.topic and own.producer = %(producer)s
  returning own.topic
)
select owned.topic, owned.sequencer, owned.fenced, owned.epoch, mine.topic is not null as registered
from /*queue.*/job_topic as owned
left join mine on mine.topic = owned.topic
where owned.topic = any(%(topics)s)
order by owned.topic;

-- name: leave
-- A dual producer that has ended, with nothing on its way.
delete from /*queue.*/dual_producer
where producer = %(producer)s;

-- name: dismiss
-- A dual producer that a person knows to be dead; one that lives is left.
delete from /*queue.*/dual_producer
where topic = %(topic)s and producer = %(producer)s and lease_until <= clock_timestamp();

-- name: list_producers
-- Who writes a topic on both sides, and whether it has acknowledged the topic's present epoch.
select own.topic, own.producer, own.host, own.registered_at, own.acknowledged,
  own.acknowledged >= owned.epoch as current, own.lease_until > clock_timestamp() as alive
from /*queue.*/dual_producer as own
join /*queue.*/job_topic as owned on owned.topic = own.topic
where own.topic = %(topic)s
order by own.producer;

-- name: read_mode
-- Whose write counts in a topic, and whether any does at the moment.
select topic, sequencer, fenced, epoch, true as registered
from /*queue.*/job_topic
where topic = %(topic)s;

-- name: set_fence
-- Fences a topic's dual producers, or lifts the fence; nothing when it is so already.
update /*queue.*/job_topic
set fenced = %(fenced)s, epoch = epoch + 1
where topic = %(topic)s and fenced <> %(fenced)s;

-- name: hand_over
-- The other side numbers the topic, and is the primary of its dual producers, who may go on.
update /*queue.*/job_topic
set sequencer = 'postgres', fenced = false, epoch = epoch + 1
where topic = %(topic)s;
