"""The tool that moves a topic from Kafka into Postgres: run for a few weeks, then taken down.

It leans on ``shim.store`` and never the other way round: the shim stays in production for years.
"""
