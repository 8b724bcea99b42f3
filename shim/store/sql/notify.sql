-- name: announce
-- Wakes who listens; each text is sent once, in the order given.
select pg_notify(%(channel)s, text) from unnest(%(texts)s::text[]) as given (text);
