-- name: read_isolation
-- Whether each statement of this transaction sees what others committed before it.
select current_setting('transaction_isolation') = 'read committed';
