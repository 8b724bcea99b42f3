-- name: announce
-- Wakes who listens; each text is sent once, in the order given.
select pg_notify(%(channel)s, text) from unnest(%(texts)s::text[]) as given (text);

-- name: backend
-- The process that serves us; a pooler gives its clients another number.
select pg_backend_pid();
