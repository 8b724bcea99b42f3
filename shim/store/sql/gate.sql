-- name: parked_ids
-- The oldest parked jobs; held ones wait for a person and stay.
select id
from /*queue.*/job_queue
where topic = %(topic)s and status = 'pending' and process_after >= timestamptz '100000-01-01 00:00:00+00'
  and (last_error is null or last_error not like 'held: %%')
order by created_at, id
limit %(limit)s;

-- name: unpark
-- Lets a batch of parked jobs run: at once when they were due, after their own delay when they had one.
update /*queue.*/job_queue
set process_after = case
  when process_after = 'infinity' then least(created_at, now())
  else process_after - interval '876582000 hours'
end
-- Behind "case" the primary key alone finds the rows; else every batch reads the claim index of all parked jobs.
where id = any(%(ids)s)
  and case when status = 'pending' then process_after >= timestamptz '100000-01-01 00:00:00+00' end;

-- name: park
-- Hides a batch of pending jobs from every claim; a job's own delay is kept by moving it 100,000 years on.
with batch as materialized (
  select id
  from /*queue.*/job_queue
  where topic = %(topic)s and status = 'pending' and process_after < timestamptz '100000-01-01 00:00:00+00'
  order by process_after, id
  limit %(limit)s
  for no key update skip locked
)
update /*queue.*/job_queue as job
set process_after = case
  when job.process_after <= now() then 'infinity'
  else job.process_after + interval '876582000 hours'
end
from batch
where job.id = batch.id;

-- name: count_by_gate
-- How many pending jobs may run, are parked, and wait for a person; and how many are being worked on.
select
  count(*) filter (where status = 'pending' and process_after < timestamptz '100000-01-01 00:00:00+00') as claimable,
  count(*) filter (where status = 'pending' and process_after >= timestamptz '100000-01-01 00:00:00+00'
                     and (last_error is null or last_error not like 'held: %%')) as parked,
  count(*) filter (where status = 'pending' and process_after >= timestamptz '100000-01-01 00:00:00+00'
                     and last_error like 'held: %%') as held,
  count(*) filter (where status = 'processing') as processing
from /*queue.*/job_queue
where topic = %(topic)s and status in ('pending', 'processing');
