-- name: dead_headers
-- The headers of a topic's dead letters.
select letter.headers
from /*migrator.*/drain_dead_letter as letter
join /*migrator.*/drain_source as source on source.id = letter.source_id
where source.queue_schema = %(queue_schema)s and source.topic = %(topic)s and letter.headers is not null;
