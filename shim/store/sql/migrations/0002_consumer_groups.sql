-- Consumer groups: who is a member, who holds which partition; and how long a topic's rows are kept.

-- Rows that wait for an offset: from plain SQL, from callers' own transactions, and delayed ones until they are due.
-- On a table that is in use the runner has built it before, concurrently.
create index if not exists job_queue_unsequenced_idx on /*queue.*/job_queue (topic, process_after, id)
  where log_offset is null and status = 'pending';

-- What identifies this queue to clients, as a cluster's id does in Kafka; it survives a dump and a failover.
create table /*queue.*/job_cluster (
  only_row   boolean primary key default true check (only_row),
  cluster_id text not null
);
insert into /*queue.*/job_cluster (cluster_id)
values (rtrim(translate(encode(decode(replace(gen_random_uuid()::text, '-', ''), 'hex'), 'base64'), '+/', '-_'), '='));

alter table /*queue.*/job_topic
  add column topic_id     uuid not null default gen_random_uuid(),
  add column retention_ms bigint check (retention_ms >= 0);
-- Topics that are there already keep their rows until somebody decides otherwise.
alter table /*queue.*/job_topic
  alter column retention_ms set default 604800000;
comment on column /*queue.*/job_topic.retention_ms is 'how long rows are kept after they were created; null: for ever';

alter table /*queue.*/job_partition
  add column start_offset bigint not null default 0;
comment on column /*queue.*/job_partition.start_offset is 'the low watermark: rows below it were removed, or never came';
update /*queue.*/job_partition as head
set start_offset = coalesce(
  (select min(job.log_offset) from /*queue.*/job_queue as job
   where job.topic = head.topic and job.partition = head.partition and job.log_offset is not null),
  head.next_offset
);
alter table /*queue.*/job_partition
  add constraint job_partition_start_check check (start_offset between 0 and next_offset);

-- One row per consumer group; whoever changes its members or its assignment holds this row.
create table /*queue.*/job_group (
  group_id   text primary key check (group_id <> ''),
  generation integer not null default 0,
  assignor   text not null default '',
  changed_at timestamptz not null default now()
) with (fillfactor = 50);

-- One row per live member; its lease is renewed by its process, and once it is over nothing brings it back.
create table /*queue.*/job_group_member (
  member_id   text primary key check (member_id <> ''),
  group_id    text not null references /*queue.*/job_group on delete cascade,
  instance_id text,
  client_id   text not null,
  host        text not null,
  topics      text[] not null,
  strategies  text[] not null,
  session_ms  integer not null check (session_ms > 0),
  lease_until timestamptz not null,
  joined_at   timestamptz not null default clock_timestamp(),
  unique (group_id, instance_id)
) with (fillfactor = 50);
comment on column /*queue.*/job_group_member.topics is 'names of topics; one that begins with ^ is a pattern';

-- One row per partition of a subscribed topic: who is to hold it, who does, and how many have held it so far. No foreign
-- key to the topic: that it is gone is a change which the group has to notice.
create table /*queue.*/job_group_partition (
  group_id  text not null references /*queue.*/job_group on delete cascade,
  topic     text not null,
  partition integer not null check (partition >= 0),
  target    text,
  holder    text,
  epoch     bigint not null default 0,
  primary key (group_id, topic, partition)
) with (fillfactor = 50);
comment on column /*queue.*/job_group_partition.holder is 'a member; one that has no row any more holds nothing';
comment on column /*queue.*/job_group_partition.epoch is 'one more with each holder: a commit under an older one is fenced';
