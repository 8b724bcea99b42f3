-- name: read_rights
-- What the current role may do, table by table; a right on some columns counts.
select
  has_any_column_privilege('/*queue.*/job_queue', 'select'),
  has_any_column_privilege('/*queue.*/job_queue', 'insert'),
  has_table_privilege('/*queue.*/job_queue', 'delete'),
  has_any_column_privilege('/*queue.*/job_topic', 'insert'),
  has_any_column_privilege('/*queue.*/job_topic', 'update'),
  has_table_privilege('/*queue.*/job_topic', 'delete'),
  has_any_column_privilege('/*queue.*/job_topic', 'select'),
  has_any_column_privilege('/*queue.*/job_group_offset', 'insert'),
  has_table_privilege('/*queue.*/job_group', 'delete');
