"""The only room in which ``confluent_kafka`` is imported: facts, records and configuration of a cluster."""
