"""Real servers that are started for a while and leave nothing behind: Postgres and Apache Kafka.

``migrator demo`` and the tests run on them. A *guardian* process of its own (``guardian.py``) ends the servers and
removes their folders when the process that started them dies without a chance to do so, by SIGKILL included.
"""
