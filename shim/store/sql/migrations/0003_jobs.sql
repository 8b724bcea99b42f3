-- Jobs: how long a claim lasts, how often a job is tried and after which pause, and when it was finished.

alter table /*queue.*/job_queue
  add column finished_at timestamptz;
comment on column /*queue.*/job_queue.finished_at is 'when the job was completed, or failed for good';
comment on column /*queue.*/job_queue.lease is 'the fencing token of the last claim: who has another one may no longer settle the job';

alter table /*queue.*/job_topic
  add column lease_ms             bigint  not null default 30000 check (lease_ms between 100 and 31622400000),
  add column max_deliveries       integer not null default 5 check (max_deliveries > 0),
  add column retry_backoff_ms     bigint  not null default 1000 check (retry_backoff_ms between 0 and 31622400000),
  add column retry_backoff_max_ms bigint  not null default 300000 check (retry_backoff_max_ms between 0 and 31622400000),
  add column key_order            boolean not null default false;
comment on column /*queue.*/job_topic.lease_ms is 'how long a claim lasts that nobody renews';
comment on column /*queue.*/job_topic.max_deliveries is 'a job that was delivered so often and is still not done has failed';
comment on column /*queue.*/job_topic.retry_backoff_ms is 'the pause before the second delivery; it doubles with each further one';
comment on column /*queue.*/job_topic.key_order is 'whether one job at a time of each key is worked on, in the order of production';

-- A token for each claim, never given out twice.
create sequence /*queue.*/job_lease as bigint;

-- How long a job waits for its next delivery after so many: twice as long each time, up to a limit, and never quite the
-- same, so that jobs which failed together do not come back together.
create function /*queue.*/job_backoff(deliveries integer, first_ms bigint, longest_ms bigint) returns interval
language sql volatile parallel safe as $$
  select least(longest_ms, first_ms * 2.0 ^ least(greatest(deliveries, 1) - 1, 40)) * (0.5 + random() / 2)
    * interval '1 millisecond'
$$;

-- Failed jobs are few and are looked for. On a table that is in use the runner has built it before, concurrently.
create index if not exists job_queue_failed_idx on /*queue.*/job_queue (topic, id) where status = 'failed';

alter table /*queue.*/job_partition
  add column settled_offset bigint not null default 0;
comment on column /*queue.*/job_partition.settled_offset is 'below it, what the owning consumer group has worked off is completed';

-- Where every group stands, exactly, whatever the rows say by now. A share group has no offset: it has what is left.
create view /*queue.*/job_progress as
select committed.group_id, 'consumer' as kind, head.topic, head.partition, committed.committed_offset,
  head.next_offset as end_offset,
  (
    select count(*)
    from /*queue.*/job_queue as job
    where job.topic = head.topic and job.partition = head.partition and job.log_offset >= committed.committed_offset
  ) as remaining
from /*queue.*/job_group_offset as committed
join /*queue.*/job_partition as head on head.topic = committed.topic and head.partition = committed.partition
union all
select owned.owner_group, 'share', head.topic, head.partition, null, head.next_offset,
  (
    select count(*)
    from /*queue.*/job_queue as job
    where job.topic = head.topic and job.partition = head.partition and job.status in ('pending', 'processing')
  )
from /*queue.*/job_topic as owned
join /*queue.*/job_partition as head on head.topic = owned.topic
where owned.owner_kind = 'share';

-- How deep each topic's queue is, and how old.
create view /*queue.*/job_depth as
select topic.topic,
  count(job.id) filter (where job.status = 'pending' and job.process_after <= now()) as due,
  count(job.id) filter (
    where job.status = 'pending' and job.process_after > now()
      and job.process_after < timestamptz '100000-01-01 00:00:00+00'
  ) as delayed,
  count(job.id) filter (
    where job.status = 'pending' and job.process_after >= timestamptz '100000-01-01 00:00:00+00'
  ) as parked,
  count(job.id) filter (where job.status = 'processing') as processing,
  (select count(*) from /*queue.*/job_queue as lost where lost.topic = topic.topic and lost.status = 'failed') as failed,
  now() - min(job.process_after) filter (where job.status = 'pending' and job.process_after <= now()) as oldest_due
from /*queue.*/job_topic as topic
left join /*queue.*/job_queue as job on job.topic = topic.topic and job.status in ('pending', 'processing')
group by topic.topic;

-- Failed jobs with what became of them, the newest last.
create view /*queue.*/job_failure as
select job.id, job.topic, job.partition, job.log_offset, job.retry_count, job.last_error, job.created_at, job.finished_at
from /*queue.*/job_queue as job
where job.status = 'failed'
order by job.topic, job.id;
