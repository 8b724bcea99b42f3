-- name: read_roles
-- Which of these group roles are there; roles belong to the whole server, not to one database.
select rolname::text from pg_roles where rolname = any(%(roles)s);

-- name: may_create_roles
-- Whether we may make roles.
select rolcreaterole or rolsuper from pg_roles where rolname = current_user;

-- name: create_roles
-- Group roles without a login of their own; another database's init may make them at the same time.
do $$
declare
  role_name text;
begin
  foreach role_name in array array[
    'job_queue_worker', 'job_queue_producer', 'job_queue_reader', 'job_queue_migrator'
  ] loop
    if not exists (select from pg_roles where rolname = role_name) then
      begin
        execute format('create role %I nologin', role_name);
      exception
        when duplicate_object or unique_violation then null;
      end;
    end if;
  end loop;
end
$$;

-- name: grant_job_queue_worker
-- Claims and completes jobs; reads as a member of consumer groups, numbers what has no number, removes what is old.
grant select, update, delete on /*queue.*/job_queue to job_queue_worker;
grant select, update on /*queue.*/job_partition to job_queue_worker;
grant select on /*queue.*/job_topic, /*queue.*/job_cluster, /*queue.*/job_schema_migration to job_queue_worker;
grant select on /*queue.*/job_progress, /*queue.*/job_depth, /*queue.*/job_failure to job_queue_worker;
grant update (owner_group, owner_kind) on /*queue.*/job_topic to job_queue_worker;
grant usage on sequence /*queue.*/job_lease to job_queue_worker;
grant select, insert, update, delete on
  /*queue.*/job_group, /*queue.*/job_group_member, /*queue.*/job_group_partition, /*queue.*/job_group_offset
  to job_queue_worker;

-- name: grant_job_queue_producer
-- Writes jobs, takes their offsets from the partitions' heads, makes topics; of rows it sees where they are, no more.
grant insert on /*queue.*/job_queue to job_queue_producer;
grant select (id, status, created_at, topic, partition, log_offset, deduplication_key, message_id)
  on /*queue.*/job_queue to job_queue_producer;
grant select, insert on /*queue.*/job_topic to job_queue_producer;
grant select, insert, update on /*queue.*/job_partition to job_queue_producer;
grant update (epoch) on /*queue.*/job_topic to job_queue_producer;
grant select, insert, update, delete on /*queue.*/dual_producer to job_queue_producer;
grant insert, select (topic, message_id) on /*queue.*/dual_inbox to job_queue_producer;
grant select on /*queue.*/job_cluster, /*queue.*/job_schema_migration to job_queue_producer;
do $$
begin
  execute format(
    'grant usage on sequence %s to job_queue_producer',
    pg_get_serial_sequence($name$/*queue.*/job_queue$name$, 'id')
  );
end
$$;

-- name: grant_job_queue_reader
-- Looks at everything, changes nothing.
grant select on
  /*queue.*/job_queue, /*queue.*/job_topic, /*queue.*/job_partition, /*queue.*/job_cluster, /*queue.*/job_group,
  /*queue.*/job_group_member, /*queue.*/job_group_partition, /*queue.*/job_group_offset,
  /*queue.*/job_progress, /*queue.*/job_depth, /*queue.*/job_failure, /*queue.*/job_schema_migration,
  /*queue.*/dual_producer, /*queue.*/dual_inbox
  to job_queue_reader;

-- name: grant_job_queue_migrator
-- Drains and administers: writes the queue and everything beside it, but does not change its shape.
grant select, insert, update, delete on
  /*queue.*/job_queue, /*queue.*/job_topic, /*queue.*/job_partition, /*queue.*/job_group,
  /*queue.*/job_group_member, /*queue.*/job_group_partition, /*queue.*/job_group_offset,
  /*queue.*/dual_producer, /*queue.*/dual_inbox
  to job_queue_migrator;
grant select on
  /*queue.*/job_progress, /*queue.*/job_depth, /*queue.*/job_failure, /*queue.*/job_cluster,
  /*queue.*/job_schema_migration
  to job_queue_migrator;
grant usage on sequence /*queue.*/job_lease to job_queue_migrator;
do $$
begin
  execute format(
    'grant usage on sequence %s to job_queue_migrator',
    pg_get_serial_sequence($name$/*queue.*/job_queue$name$, 'id')
  );
end
$$;
