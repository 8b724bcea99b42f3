-- name: bound
-- Limits this transaction alone, whatever the role's own settings are; a client that vanishes is noticed in 30 s.
select set_config('lock_timeout', %(lock_timeout)s, true),
  set_config('statement_timeout', %(statement_timeout)s, true),
  set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, true),
  set_config('client_connection_check_interval', '2s', true),
  set_config('tcp_keepalives_idle', '10', true),
  set_config('tcp_keepalives_interval', '5', true),
  set_config('tcp_keepalives_count', '3', true),
  set_config('tcp_user_timeout', '30000', true);

-- name: commit_as
-- What the commit of this transaction waits for.
select set_config('synchronous_commit', %(synchronous_commit)s, true);
