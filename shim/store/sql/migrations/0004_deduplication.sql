-- Deduplication: of each key of a topic at most one job that is not done.

-- On a table that is in use the runner has added it before, by itself, and then built the index, concurrently.
alter table /*queue.*/job_queue
  add column if not exists deduplication_key text;
comment on column /*queue.*/job_queue.deduplication_key is 'of the jobs of a topic with the same key at most one is pending or processing; null: any number';

create unique index if not exists job_queue_deduplication_idx on /*queue.*/job_queue (topic, deduplication_key)
  where deduplication_key is not null and status in ('pending', 'processing');
