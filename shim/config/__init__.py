"""What a client is told: librdkafka's properties, how they are read, and the settings that come of them."""
