"""What an application imports in place of ``confluent_kafka``: the same API on one Postgres table.

The clients arrive with a later release; what stands today is the store beneath them.
"""
