-- name: read_outcome
-- What became of a transaction: null when it is too long ago; and whether this server only follows another one.
select
  case when not pg_is_in_recovery() then pg_xact_status(%(xid)s::text::xid8) end as status,
  pg_is_in_recovery() as standby;
