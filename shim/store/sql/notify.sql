-- name: announce
-- Wakes who listens; each text is sent once, in the order given. What may be lost need not wait for the disk.
select pg_notify(%(channel)s, text)
from (select set_config('synchronous_commit', 'off', true)) as commit, unnest(%(texts)s::text[]) as given (text);
