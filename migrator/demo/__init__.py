"""The whole story on throw-away servers: records go into Kafka, the real commands move them, an oracle compares.

The oracle shares nothing with the drain. What was produced is kept in memory and held against what the table has.
"""
