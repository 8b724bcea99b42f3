"""The queue on Postgres. Knows nothing of how Kafka clients spell things."""
