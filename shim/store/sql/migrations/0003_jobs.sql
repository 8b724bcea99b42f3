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
