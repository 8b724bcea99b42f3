-- What the drain knows: where it stands, what it wrote, and what it could not write.

-- One row per drained topic: its identity in Kafka, frozen when the drain began.
create table /*migrator.*/drain_source (
  id             integer generated always as identity primary key,
  queue_schema   text not null,
  topic          text not null,
  cluster_id     text not null,
  topic_id       text,
  partitions     integer not null check (partitions > 0),
  cleanup_policy text not null,
  retention_ms   bigint not null,
  start_choice   text not null,
  end_choice     text not null,
  format         text not null,
  uncertain      text not null default 'enqueue' check (uncertain in ('enqueue', 'hold', 'skip')),
  uncertain_window bigint not null default 0,
  queue_oid      bigint not null,
  complete       boolean not null default false,
  created_at     timestamptz not null default now(),
  completed_at   timestamptz,
  unique (queue_schema, topic)
);
comment on column /*migrator.*/drain_source.queue_oid is 'the job_queue that was written to: a recreated table has another';

-- One row per partition: the only truth about position. Every batch begins with a compare-and-set on it.
create table /*migrator.*/drain_offset (
  source_id    integer not null references /*migrator.*/drain_source on delete cascade,
  partition    integer not null check (partition >= 0),
  epoch        bigint not null default 0,
  owner        text,
  lease_until  timestamptz,
  next_offset  bigint not null,
  start_offset bigint not null check (start_offset >= 0),
  end_offset   bigint,
  window_end   bigint not null,
  low_at_start bigint not null,
  high_at_start bigint not null,
  stable_at_start bigint not null,
  rows         bigint not null default 0,
  dead         bigint not null default 0,
  held         bigint not null default 0,
  skipped      bigint not null default 0,
  compacted    bigint not null default 0,
  aborted      bigint not null default 0,
  marker       bigint not null default 0,
  lost         bigint not null default 0,
  unexplained  bigint not null default 0,
  primary key (source_id, partition),
  check (next_offset >= start_offset),
  check (end_offset is null or next_offset <= end_offset),
  check (next_offset - start_offset
         = rows + dead + skipped + compacted + aborted + marker + lost + unexplained)
) with (fillfactor = 50);
comment on column /*migrator.*/drain_offset.window_end is 'records below it fall into the uncertain window of the group that the drain started from';
comment on column /*migrator.*/drain_offset.held is 'how many of rows were parked for a person to decide';

-- The ledger: one row per batch and partition, written in the batch's own transaction. It outlives the jobs.
create table /*migrator.*/drain_batch (
  source_id    integer not null,
  partition    integer not null,
  from_offset  bigint not null,
  to_offset    bigint not null,
  delivered    bigint not null,
  rows         bigint not null,
  dead         bigint not null,
  held         bigint not null,
  skipped      bigint not null,
  compacted    bigint not null,
  aborted      bigint not null,
  marker       bigint not null,
  lost         bigint not null,
  unexplained  bigint not null,
  min_timestamp_ms bigint,
  max_timestamp_ms bigint,
  digest_high  numeric not null,
  digest_low   numeric not null,
  epoch        bigint not null,
  committed_at timestamptz not null default clock_timestamp(),
  primary key (source_id, partition, from_offset),
  foreign key (source_id, partition) references /*migrator.*/drain_offset on delete cascade,
  check (to_offset > from_offset),
  check (delivered = rows + dead + skipped),
  check (to_offset - from_offset = delivered + compacted + aborted + marker + lost + unexplained)
);
comment on column /*migrator.*/drain_batch.digest_high is 'sum of the first 8 digest bytes of each row, as signed integers; digest_low: of the next 8';

-- Records that no row of job_queue can hold, or that a forced format rejects.
create table /*migrator.*/drain_dead_letter (
  id             bigint generated always as identity primary key,
  source_id      integer not null references /*migrator.*/drain_source on delete cascade,
  partition      integer not null,
  log_offset     bigint not null,
  key            bytea,
  value          bytea,
  headers        bytea[],
  timestamp_ms   bigint not null,
  timestamp_type smallint not null,
  stage          text not null check (stage in ('read', 'format', 'write')),
  sqlstate       text,
  constraint_name text,
  column_name    text,
  reason         text not null,
  created_at     timestamptz not null default now(),
  retried_at     timestamptz,
  retried_offset bigint,
  unique (source_id, partition, log_offset)
);
