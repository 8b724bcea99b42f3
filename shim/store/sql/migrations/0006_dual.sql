-- Dual writes: whose write counts, who writes on both sides, and what Kafka has not confirmed yet.

alter table /*queue.*/job_topic
  add column epoch  bigint  not null default 0 check (epoch >= 0),
  add column fenced boolean not null default false;
comment on column /*queue.*/job_topic.epoch is 'one more with each fence and each change of side; 0: nobody has ever written it on both sides';
comment on column /*queue.*/job_topic.fenced is 'whether dual producers refuse messages, so that the other side can become their primary';

-- One row per dual producer and topic: that it lives, and the last epoch in which nothing of an earlier one is on its way.
create table /*queue.*/dual_producer (
  topic         text not null references /*queue.*/job_topic on delete cascade,
  producer      text not null check (producer <> ''),
  host          text not null,
  acknowledged  bigint not null default 0,
  lease_until   timestamptz not null,
  registered_at timestamptz not null default clock_timestamp(),
  primary key (topic, producer)
) with (fillfactor = 50);

-- Copies of what was sent to Kafka, until the drain has met them there. Nothing here is a job: what Kafka never had is
-- listed, and never runs.
create table /*queue.*/dual_inbox (
  topic        text not null references /*queue.*/job_topic on delete cascade,
  message_id   uuid not null,
  producer     text not null,
  sequence     bigint not null,
  key          bytea,
  value        bytea,
  headers      bytea[],
  timestamp_ms bigint,
  created_at   timestamptz not null default clock_timestamp(),
  primary key (topic, message_id)
);

-- Dual-written rows by their id; no other row is in it, so nothing else pays for it. On a table that is in use the
-- runner has built it before, concurrently.
create index if not exists job_queue_message_idx on /*queue.*/job_queue (topic, message_id)
  where message_id is not null;
