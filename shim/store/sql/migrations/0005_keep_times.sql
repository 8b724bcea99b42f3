-- Finished jobs: how long each kind is kept, where removing them goes on, and VACUUM that keeps up with a queue.

alter table /*queue.*/job_topic
  add column completed_retention_ms bigint check (completed_retention_ms >= 0),
  add column failed_retention_ms    bigint check (failed_retention_ms >= 0);
comment on column /*queue.*/job_topic.completed_retention_ms is 'how long a completed job is kept; null: as retention_ms says';
comment on column /*queue.*/job_topic.failed_retention_ms is 'how long a job that failed for good is kept; null: as retention_ms says';

alter table /*queue.*/job_partition
  add column swept_offset bigint not null default 0;
comment on column /*queue.*/job_partition.swept_offset is 'where the search for finished jobs to remove goes on';

-- Jobs of plain SQL that were finished without ever getting an offset. No other row is in it, so nothing else pays for
-- it. On a table that is in use the runner has built it before, concurrently.
create index if not exists job_queue_plain_idx on /*queue.*/job_queue (topic, created_at)
  where log_offset is null and status in ('completed', 'failed');

-- Each job leaves two or three dead rows. By default VACUUM waits until a fifth of the table is dead, history included,
-- and then pauses between pages. What a user has set before stays; migrator doctor names it.
do $$
declare
  wanted text;
  given text[] := coalesce((select reloptions from pg_class where oid = '/*queue.*/job_queue'::regclass), '{}');
begin
  foreach wanted in array array[
    'autovacuum_vacuum_scale_factor=0',
    'autovacuum_vacuum_threshold=50000',
    'autovacuum_vacuum_cost_delay=0',
    'autovacuum_analyze_scale_factor=0',
    'autovacuum_analyze_threshold=100000'
  ] loop
    if not exists (select from unnest(given) as own where split_part(own, '=', 1) = split_part(wanted, '=', 1)) then
      execute format('alter table %s set (%s)', '/*queue.*/job_queue'::regclass, wanted);
    end if;
  end loop;
end
$$;

-- The same figures as before, each read off an index of its own: history costs nothing.
create or replace view /*queue.*/job_depth as
select topic.topic, pending.due, pending.delayed, pending.parked,
  (
    select count(*) from /*queue.*/job_queue as job where job.topic = topic.topic and job.status = 'processing'
  ) as processing,
  (select count(*) from /*queue.*/job_queue as job where job.topic = topic.topic and job.status = 'failed') as failed,
  pending.oldest_due
from /*queue.*/job_topic as topic
cross join lateral (
  select
    count(*) filter (where job.process_after <= now()) as due,
    count(*) filter (
      where job.process_after > now() and job.process_after < timestamptz '100000-01-01 00:00:00+00'
    ) as delayed,
    count(*) filter (where job.process_after >= timestamptz '100000-01-01 00:00:00+00') as parked,
    now() - min(job.process_after) filter (where job.process_after <= now()) as oldest_due
  from /*queue.*/job_queue as job
  where job.topic = topic.topic and job.status = 'pending'
) as pending;
