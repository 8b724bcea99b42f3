"""Pure functions from a history to its anomalies; linear in its length, but for sorting."""
