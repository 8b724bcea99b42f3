-- The article's table, column for column, and then what Kafka knew of each record.

-- part: queue
-- What an existing job_queue of the article's shape is brought to, without a rewrite; adoption compares with this part.

create type /*queue.*/job_status as enum ('pending', 'processing', 'completed', 'failed');

create table /*queue.*/job_queue (
  id             bigserial primary key,
  payload        jsonb not null,
  status         /*queue.*/job_status not null default 'pending',
  retry_count    integer not null default 0,
  last_error     text,
  created_at     timestamptz not null default now(),
  process_after  timestamptz not null default now(),
  locked_at      timestamptz,
  topic          text not null default 'default',
  partition      integer,
  log_offset     bigint,
  key            bytea,
  value          bytea,
  headers        bytea[],
  timestamp_ms   bigint,
  timestamp_type smallint,
  encoding       text,
  message_id     uuid,
  locked_by      text,
  lease          bigint,
  constraint job_queue_partition_check check (log_offset is null or partition is not null),
  constraint job_queue_log_key unique (topic, partition, log_offset)
);

-- Claims walk this index in its own order: topic first, so that another topic's backlog costs nothing.
create index job_queue_claim_idx on /*queue.*/job_queue (topic, process_after, id) where status = 'pending';

-- Recovery of jobs whose worker died looks here.
create index job_queue_recovery_idx on /*queue.*/job_queue (locked_at) where status = 'processing';

-- part: others
-- What adoption adds as it stands.

comment on column /*queue.*/job_queue.payload is 'the JSON view of the value, for SQL; JSON null when the value is neither JSON nor text';
comment on column /*queue.*/job_queue.value is 'the exact bytes produced; null for a tombstone (see encoding) and for rows inserted by plain SQL';
comment on column /*queue.*/job_queue.headers is 'name, value, name, value, ... in order; a header may repeat, and its value may be null';
comment on column /*queue.*/job_queue.encoding is 'json, text, bytes, tombstone, or json-SQLSTATE: JSON that jsonb would not take';
comment on column /*queue.*/job_queue.log_offset is 'Kafka''s own offset for drained rows, continued from there; null until sequenced';

-- One row per topic: who numbers it, and whether its jobs may run here.
create table /*queue.*/job_topic (
  topic       text primary key check (topic <> ''),
  partitions  integer not null check (partitions > 0),
  partitioner text not null default 'consistent_random',
  sequencer   text not null default 'postgres' check (sequencer in ('kafka', 'postgres')),
  gate        text not null default 'open' check (gate in ('open', 'closed')),
  keep_value  boolean not null default true,
  owner_group text,
  owner_kind  text check (owner_kind in ('consumer', 'share')),
  created_at  timestamptz not null default now(),
  opened_at   timestamptz,
  check ((owner_group is null) = (owner_kind is null))
);

-- One row per partition: the next offset to give out. Whoever numbers rows holds this row until commit.
create table /*queue.*/job_partition (
  topic       text not null references /*queue.*/job_topic on delete cascade,
  partition   integer not null check (partition >= 0),
  next_offset bigint not null default 0 check (next_offset >= 0),
  primary key (topic, partition)
) with (fillfactor = 50);

comment on column /*queue.*/job_topic.opened_at is 'when the gate was first opened; before that no job of the topic can have run here';

-- Where each consumer group stands: the next offset that it will read.
create table /*queue.*/job_group_offset (
  group_id         text not null check (group_id <> ''),
  topic            text not null references /*queue.*/job_topic on delete cascade,
  partition        integer not null check (partition >= 0),
  committed_offset bigint not null check (committed_offset >= 0),
  leader_epoch     integer,
  metadata         text not null default '',
  committed_at     timestamptz not null default now(),
  primary key (group_id, topic, partition)
) with (fillfactor = 50);

-- Why jsonb would not take a text: null when it would, else Postgres' own SQLSTATE. Postgres is the judge of its JSON.
create function /*queue.*/job_jsonb_sqlstate(value text) returns text
language plpgsql immutable strict parallel safe as $$
begin
  perform value::jsonb;
  return null;
exception
  when data_exception or program_limit_exceeded or internal_error then
    return sqlstate;
end
$$;
