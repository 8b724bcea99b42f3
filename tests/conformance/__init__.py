"""One suite, two clients: what holds for ``confluent_kafka`` on Apache Kafka must hold for ``shim`` on Postgres."""
