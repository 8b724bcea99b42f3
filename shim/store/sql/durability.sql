-- name: read_durability
-- What a commit of this session waits for.
select current_setting('synchronous_commit') as synchronous_commit;
