"""What the article has its readers type, word for word."""

TABLE = """
create type job_status as enum ('pending', 'processing', 'completed', 'failed');
create table job_queue (
  id bigserial primary key,
  payload jsonb not null,
  status job_status not null default 'pending',
  retry_count int not null default 0,
  last_error text,
  created_at timestamptz default now(),
  process_after timestamptz default now(),
  locked_at timestamptz
);
create index idx_job_queue_fetch on job_queue (process_after, created_at) where status = 'pending';
"""

INSERT = 'insert into job_queue (payload) values (\'{"to": "someone"}\')'

CLAIM = """
select id, payload from job_queue
where status = 'pending' and process_after <= now()
order by created_at
limit 10
for update skip locked
"""

START = "update job_queue set status = 'processing', locked_at = now() where id = any(%s)"

COMPLETE = "update job_queue set status = 'completed' where id = any(%s)"

CLAIM_IN_ONE = """
with next_jobs as (
  select id from job_queue
  where status = 'pending' and process_after <= now()
  order by created_at
  limit 10
  for update skip locked
)
update job_queue
set status = 'processing', locked_at = now()
from next_jobs
where job_queue.id = next_jobs.id
returning job_queue.id, job_queue.payload
"""

FAIL = """
update job_queue
set status = 'pending', retry_count = retry_count + 1, last_error = 'boom', process_after = now() + interval '1 minute'
where id = any(%s)
"""
