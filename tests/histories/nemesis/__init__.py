"""The faults of a run: what strikes processes, Postgres, the way between them, and the order of commits."""
