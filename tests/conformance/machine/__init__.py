"""Random commands of an application, performed by clients and by a model of what Kafka's rules say of them."""
